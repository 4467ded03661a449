//! What is printed. Text that came over the network is made printable first, and a reader that
//! goes away early (`| head`) is no error.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::exit::Failure;

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// One document instead of text.
    pub(super) json: bool,
    /// Whether lines can be drawn again.
    pub(super) terminal: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { json, terminal: std::io::stdout().is_terminal() && !dumb }
    }

    /// Prints lines of text.
    pub(super) fn text(&self, text: &str) {
        self.raw(&lines(text));
    }

    /// Prints a document.
    pub(super) fn document(&self, value: &Value) {
        self.raw(&format!("{value:#}\n"));
    }

    /// Prints `text`, or the document where one is wanted.
    pub(super) fn either(&self, value: &Value, text: impl FnOnce() -> String) {
        if self.json { self.document(value) } else { self.text(&text()) }
    }

    /// Draws one line over the one before.
    pub(super) fn redraw(&self, line: &str) {
        // Without wrapping, a narrow terminal cuts the line instead of leaving pieces of it.
        self.raw(&format!("\r\x1b[2K\x1b[?7l{}\x1b[?7h", printable(line)));
    }

    /// Takes the drawn line away.
    pub(super) fn undraw(&self) {
        self.raw("\r\x1b[2K");
    }

    /// Prints one page of many: drawn over the one before, or after it. Says whether anybody is
    /// left to read more.
    pub(super) fn page(&self, value: &Value, text: &str) -> bool {
        match self {
            Self { json: true, .. } => self.raw(&format!("{value}\n")),
            Self { terminal: true, .. } => self.raw(&format!("\x1b[H\x1b[2J{}", lines(text))),
            _ => self.raw(&format!("{}\n", lines(text))),
        }
    }

    /// Prints `text` as it stands, and says whether anybody is left to read more.
    pub(super) fn raw(&self, text: &str) -> bool {
        let mut to = std::io::stdout().lock();
        to.write_all(text.as_bytes()).and_then(|()| to.flush()).is_ok()
    }

    /// Says why nothing was done: to people, and to the program that asked for a document.
    pub(super) fn failure(&self, failure: &Failure) {
        let mut text = format!("serin: {failure}");
        if let Some(hint) = failure.hint() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        self.complain(&text);
        if self.json {
            self.document(&failure.document());
        }
    }

    /// Prints to where errors go.
    pub(super) fn complain(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", printable(text.trim_end()));
    }
}

/// `text` as it is printed.
fn lines(text: &str) -> String {
    format!("{}\n", printable(text.trim_end()))
}

/// What a terminal would act on is shown as a replacement character.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.replace('\t', " ").chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc\r\nd"), "a\u{fffd}[2Jb c\u{fffd}\nd");
    }
}
