//! Puts the header block of a request together from the frames that carry it (RFC 9113 §6.2). Pure.

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// A longer one is refused by whoever decodes it.
const BYTES_MAX: usize = 64 << 10;

/// The header block that is coming.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where the part of the last frame begins.
    part: usize,
}

impl Block {
    /// The first frame of a block begins.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.part = 0;
    }

    /// Takes bytes of a frame's payload.
    pub(super) fn add(&mut self, payload: &[u8]) {
        if self.bytes.len() + payload.len() <= BYTES_MAX {
            self.bytes.extend_from_slice(payload);
        }
    }

    /// A frame's payload is whole. Only the first frame of a block has flags.
    pub(super) fn end_part(&mut self, flags: u8) {
        let part = &self.bytes[self.part..];
        let is_padded = flags & PADDED != 0;
        let padding =
            part.first().map_or(0, |length| usize::from(*length) * usize::from(is_padded));
        let before = usize::from(is_padded) + if flags & PRIORITY == 0 { 0 } else { 5 };
        // What has more padding than bytes is refused by whoever decodes it.
        let end = part.len().saturating_sub(padding).max(before.min(part.len()));
        self.bytes.truncate(self.part + end);
        self.bytes.drain(self.part..self.part + before.min(end));
        self.part = self.bytes.len();
    }

    /// The block, as far as it has come.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_block_is_left_out_of_it() {
        for (payload, flags, want) in [
            (&b"block"[..], 0, &b"block"[..]),
            (b"\x02block..", PADDED, b"block"),
            (b"12345block", PRIORITY, b"block"),
            (b"\x0112345block.", PADDED | PRIORITY, b"block"),
            (b"\xffblock", PADDED, b""),
            (b"", PADDED | PRIORITY, b""),
            (b"123", PRIORITY, b""),
        ] {
            let mut block = Block::default();
            block.add(b"of another");
            block.begin();
            payload.iter().for_each(|byte| block.add(&[*byte]));
            block.end_part(flags);
            block.add(b"more");
            block.end_part(0);
            assert_eq!(block.bytes(), [want, b"more"].concat(), "{payload:?} {flags}");
        }
    }

    #[test]
    fn it_has_a_bound() {
        let mut block = Block::default();
        (0..100).for_each(|_| block.add(&[0; 1000]));
        assert!(block.bytes().len() <= BYTES_MAX);
    }
}
