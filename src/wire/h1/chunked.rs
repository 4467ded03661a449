//! The chunked coding (RFC 9112 §7.1): one strict decoder that takes bytes as they come, and the
//! encoder. A body is decoded and encoded anew, so nothing of a client's framing goes on: neither
//! extensions nor what another server might read otherwise. Pure.

use super::parse::Malformed;
use super::slab::Slab;

/// Bytes of extensions of one chunk.
const EXTENSION_MAX: usize = 4 << 10;
/// Bytes of extensions of a whole body: they are work that carries nothing.
const EXTENSIONS_MAX: usize = 64 << 10;
/// Bytes of all trailers.
const TRAILERS_MAX: usize = 8 << 10;
/// Digits of a size: as many as fit 64 bits.
const DIGITS_MAX: u8 = 16;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// In a size, after this many digits.
    Size(u8),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerLine,
    TrailerLf,
    LastLf,
    Done,
}

/// Takes the chunks off a body.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the size that is being read, then of the chunk.
    left: u64,
    extension: usize,
    extensions: usize,
    /// The trailer lines as they came, without the empty one at the end.
    pub(crate) trailers: Vec<u8>,
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Decoded {
    /// How many of them were read.
    pub(crate) used: usize,
    /// How many bytes of the body stand at their beginning now.
    pub(crate) data: usize,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        let state = State::Size(0);
        Self { state, left: 0, extension: 0, extensions: 0, trailers: Vec::new() }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `bytes` up to the end of the body, and moves the body's own bytes together at their
    /// beginning.
    pub(crate) fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Malformed> {
        let (mut at, mut data) = (0, 0);
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = bytes.len() - at;
                let run = usize::try_from(self.left).map_or(here, |left| left.min(here));
                if at > data {
                    bytes.copy_within(at..at + run, data);
                }
                (at, data) = (at + run, data + run);
                self.left -= run as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.step(bytes[at])?;
            at += 1;
        }
        Ok(Decoded { used: at, data })
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                self.left = self.left << 4 | u64::from(hex(byte));
                State::Size(digits + 1)
            }
            (State::Size(1..), b'\r') => State::SizeLf,
            (State::Size(1..), b';') => {
                self.extension = 0;
                State::Extension
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension += 1;
                self.extensions += 1;
                if self.extension > EXTENSION_MAX || self.extensions > EXTENSIONS_MAX {
                    return Err(Malformed);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::Trailer, b'\r') => State::LastLf,
            (State::Trailer | State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => {
                self.keep(byte)?;
                State::TrailerLine
            }
            (State::TrailerLine, b'\r') => {
                self.keep(byte)?;
                State::TrailerLf
            }
            (State::TrailerLf, b'\n') => {
                self.keep(byte)?;
                State::Trailer
            }
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.trailers.len() == TRAILERS_MAX {
            return Err(Malformed);
        }
        self.trailers.push(byte);
        Ok(())
    }
}

const fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// Makes a chunk of the bytes in `slab`, which has room for that; of none, nothing.
pub(crate) fn encode(slab: &mut Slab) {
    let length = slab.len();
    if length > 0 {
        let mut line = [0; 18];
        slab.put_before(size_line(length, &mut line));
        slab.push(b"\r\n");
    }
}

/// Ends a body, with the whole lines that `trailers` writes.
pub(crate) fn end(slab: &mut Slab, trailers: impl FnOnce(&mut Slab)) {
    slab.push(b"0\r\n");
    trailers(slab);
    slab.push(b"\r\n");
}

/// The line before a chunk of `length` bytes.
pub(crate) fn size_line(length: usize, line: &mut [u8; 18]) -> &[u8] {
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    let mut rest = length;
    loop {
        start -= 1;
        line[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            return &line[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body, the bytes it took, and its trailers.
    type Whole = (Vec<u8>, usize, Vec<u8>);

    /// Decodes `bytes` in pieces of `step`.
    fn decode(bytes: &[u8], step: usize) -> Result<Option<Whole>, Malformed> {
        let (mut decoder, mut body, mut used) = (Decoder::new(), Vec::new(), 0);
        for piece in bytes.chunks(step) {
            let mut piece = piece.to_vec();
            let decoded = decoder.decode(&mut piece)?;
            body.extend_from_slice(&piece[..decoded.data]);
            used += decoded.used;
            if decoder.is_done() {
                return Ok(Some((body, used, decoder.trailers)));
            }
        }
        Ok(None)
    }

    #[test]
    fn malformed_chunks_are_found_out_wherever_they_are_cut() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(EXTENSION_MAX + 1));
        let all = format!("1;{}\r\na\r\n", "x".repeat(4000)).repeat(17);
        let trailers = format!("0\r\nx: {}\r\n\r\n", "y".repeat(TRAILERS_MAX));
        #[rustfmt::skip]
        let table: &[&str] = &[
            "+1\r\na\r\n0\r\n\r\n", "-1\r\n", "0x1\r\na\r\n", " 1\r\na\r\n", "1 \r\na\r\n", "\r\n", ";x\r\n",
            "g\r\n", "10000000000000000\r\n", "00000000000000001\r\na\r\n",
            "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na0\r\n\r\n", "1\r\nab\r\n", "1\r\na\r0\r\n",
            "1\rx", "1;x\n", "1;\0\r\n", "0\r\n\n", "0\r\nx: y\n\r\n", "0\r\n\rx", "0\r\nx: \0\r\n\r\n",
            "1\r\na\r\n\r\n0\r\n\r\n", &long, &all, &trailers,
        ];
        for bytes in table {
            for step in [1, 3, usize::MAX] {
                assert_eq!(decode(bytes.as_bytes(), step), Err(Malformed), "{bytes:?} by {step}");
            }
        }
    }

    #[test]
    fn extensions_and_trailers_are_taken_off() {
        let bytes = b"3;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n000\r\nx: y\r\nz: \r\n\r\nGET /";
        for step in 1..bytes.len() {
            let (body, used, trailers) = decode(bytes, step).unwrap().unwrap();
            assert_eq!((&body[..], used), (&b"abc0123456789"[..], bytes.len() - 5), "by {step}");
            assert_eq!(trailers, b"x: y\r\nz: \r\n");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1usize..400,
        ) {
            let mut bytes = Vec::new();
            for piece in &pieces {
                let mut slab = Slab::of(piece);
                encode(&mut slab);
                bytes.extend_from_slice(slab.data());
            }
            let mut last = Slab::new();
            end(&mut last, |_| ());
            bytes.extend_from_slice(last.data());
            let length = bytes.len();
            bytes.extend_from_slice(b"next");
            let (body, used, _) = decode(&bytes, step).unwrap().unwrap();
            prop_assert_eq!((body, used), (pieces.concat(), length));
        }

        #[test]
        fn how_bytes_are_cut_changes_nothing(
            bytes in "([0-3;\r\na-c]|\r\n|0\r\n\r\n|1\r\na\r\n){0,12}",
            step in 1usize..9,
        ) {
            let cut = decode(bytes.as_bytes(), step);
            prop_assert_eq!(cut, decode(bytes.as_bytes(), usize::MAX));
        }
    }
}
