//! The end of what a program wrote. Pure.

use super::text::{bounded_end, printable};

/// The most bytes of a program's output that are kept.
pub(super) const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// The last of what was written: that is where a program says why it fails.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    /// Adds what was written now.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Moving the rest to the front at every few bytes would cost more than twice the room.
        if self.bytes.len() > 2 * OUTPUT_BYTES_MAX {
            self.bytes.drain(..self.bytes.len() - OUTPUT_BYTES_MAX);
            self.cut = true;
        }
    }

    /// What is left of it as text; `None` when nothing was written.
    pub(super) fn text(&self) -> Option<String> {
        let start = self.bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
        let text = printable(&String::from_utf8_lossy(&self.bytes[start..]));
        let text = text.trim_end();
        // One more byte than there is room for makes the cut visible.
        let marked = if self.cut || start > 0 { format!("…{text}") } else { text.to_owned() };
        let text = bounded_end(&marked, OUTPUT_BYTES_MAX);
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_long_output_is_kept_and_its_beginning_is_not() {
        let mut tail = Tail::default();
        assert_eq!(tail.text(), None);
        tail.push(b"first\n");
        assert_eq!(tail.text().as_deref(), Some("first"));
        for line in 0..100_000 {
            tail.push(format!("line {line}\n").as_bytes());
            assert!(tail.bytes.len() <= 2 * OUTPUT_BYTES_MAX);
        }
        let text = tail.text().unwrap();
        assert!(text.len() <= OUTPUT_BYTES_MAX, "{}", text.len());
        assert!(text.starts_with('…') && text.ends_with("line 99999"), "{text}");
    }

    #[test]
    fn broken_text_stays_within_the_bound() {
        let mut tail = Tail::default();
        tail.push(&[0xff; OUTPUT_BYTES_MAX]);
        assert!(tail.text().unwrap().len() <= OUTPUT_BYTES_MAX);
    }
}
