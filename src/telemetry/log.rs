//! The log: one line an event on standard error, as text or as JSON.
//!
//! Lines go through a bounded queue to a thread of their own. A reader of standard error that is
//! stuck must never hold up a rollback, so what does not fit is dropped, and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const QUEUE: usize = 4096;

/// Writes the log of this process: `SERIN_LOG` filters (default `info`), and `SERIN_LOG_FORMAT`
/// set to `json` makes each line a document. A process that already has a log keeps it.
pub fn init() {
    let filter = EnvFilter::try_from_env("SERIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let (lines, queue) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    let thread = std::thread::Builder::new().name("serin-log".into());
    if thread.spawn(move || write(&queue, &counted, &mut io::stderr())).is_err() {
        return eprintln!("serin: no thread for the log; it stays silent");
    }
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(Queue { lines, dropped });
    let json = std::env::var("SERIN_LOG_FORMAT").is_ok_and(|format| format == "json");
    let _already_there = if json {
        log.json().try_init()
    } else {
        log.with_target(false).with_ansi(false).try_init()
    };
}

/// Writes what comes through the queue, and how much did not.
fn write(queue: &Receiver<Vec<u8>>, dropped: &AtomicU64, output: &mut impl Write) {
    while let Ok(line) = queue.recv() {
        // Nobody is left to be told that the log cannot be written.
        let _ = output.write_all(&line);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "serin: {lost} lines of the log were dropped");
        }
    }
}

/// The end of the queue that events are written to.
#[derive(Clone, Debug)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(line.to_vec()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_lines_says_so_and_blocks_nobody() {
        let (lines, queue) = sync_channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut log = Queue { lines, dropped: Arc::clone(&dropped) };
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        drop(log);
        let mut output = Vec::new();
        write(&queue, &dropped, &mut output);
        let said = String::from_utf8(output).unwrap();
        assert_eq!(said, "one\nserin: 2 lines of the log were dropped\ntwo\n");
    }
}
