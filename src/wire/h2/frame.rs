//! Frames, as far as their heads go (RFC 9113 §4.1, §6), and why streams and connections end (§7).
//! Pure.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The longest payload that we take and send: every peer takes this much.
pub(super) const PAYLOAD_MAX: usize = 16 << 10;
/// The largest number of a stream, and the largest window.
pub(super) const MAX: u32 = u32::MAX >> 1;

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reason(u32);

impl Reason {
    pub(super) const NO_ERROR: Self = Self(0);
    pub(super) const PROTOCOL: Self = Self(1);
    pub(super) const INTERNAL: Self = Self(2);
    pub(super) const FLOW_CONTROL: Self = Self(3);
    pub(super) const STREAM_CLOSED: Self = Self(5);
    pub(super) const FRAME_SIZE: Self = Self(6);
    pub(super) const REFUSED: Self = Self(7);
    pub(super) const CANCEL: Self = Self(8);
    pub(super) const COMPRESSION: Self = Self(9);
    pub(super) const CALM: Self = Self(11);

    pub(super) const fn bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    /// The head at the beginning of `bytes`; `None` where more of it must come.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        // The first bit means nothing.
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(stream) & MAX })
    }

    pub(super) fn bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = FrameHead { length: 0x01_02_03, kind: HEADERS, flags: 5, stream: 7 };
        assert_eq!(head.bytes(), [1, 2, 3, 1, 5, 0, 0, 0, 7]);
        assert_eq!(FrameHead::read(&head.bytes()), Some(head));
        assert_eq!(FrameHead::read(&[1, 2, 3, 1, 5, 0x80, 0, 0, 7, 9]), Some(head));
        assert_eq!(FrameHead::read(&head.bytes()[..8]), None);
        assert!(head.has(END_HEADERS) && !head.has(PADDED));
    }
}
