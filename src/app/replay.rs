//! `serin judge`: the same judge outside of the proxy, over standard input and output.

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use crate::judge::protocol::Session;

/// A longer line is answered with an error, piece by piece: no input may fill the memory.
const LINE_MAX: u64 = 16 << 20;

/// Answers every line of standard input until it ends.
pub fn run() -> ExitCode {
    match answer(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the answers has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serin: judge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut session = Session::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some(answer) = session.line(&String::from_utf8_lossy(&line)) {
            writeln!(output, "{answer}")?;
            // Somebody may be waiting for the verdict before the next tick.
            output.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_answer_and_bad_ones_do_not_end_it() {
        let input = concat!(
            r#"{"type":"init","stages":[0.1],"edges_ms":[0,1,2],"dt":0.25,"#,
            r#""baseline":{"n":0,"err":0,"hist":[]},"cfg":{}}"#,
            "\nnonsense\n{\n",
            r#"{"type":"tick","i":0,"t":0.25,"dt":0.25,"stage":0,"weight":0.1,"#,
            r#""stable":{"n":9,"err":0,"hist":[[0,9]]},"canary":{"n":1,"err":0,"hist":[[0,1]]}}"#,
            "\n{\"type\":\"end\"}\n"
        );
        let mut output = Vec::new();
        answer(&mut input.as_bytes(), &mut output).unwrap();
        let lines: Vec<serde_json::Value> = String::from_utf8(output)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0]["verdict"], "hold");
        assert!(lines[1]["error"].as_str().unwrap().contains("line 2"), "{lines:?}");
        assert!(lines[2]["error"].is_string());
        assert_eq!(lines[3]["verdict"], "hold");
    }
}
