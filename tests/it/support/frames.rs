//! A client that speaks HTTP/2 frame by frame, for what no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame, and as much of it as a test asks for.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Status(u16),
    /// It was reset for this reason.
    Reset(u32),
    /// The connection ended for this reason.
    Goaway(u32),
    /// The connection ended for none.
    Closed,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that nobody compresses (RFC 7541 §6.2.3).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            // A length of up to 127 takes one byte, a longer one more (RFC 7541 §5.1).
            let mut rest = text.len();
            if rest < 127 {
                block.push(u8::try_from(rest).unwrap());
            } else {
                block.push(127);
                rest -= 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).unwrap() | 0x80);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request with these fields, that ends with its head or does not.
pub(crate) fn head(stream: u32, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let block = block(fields);
    let end = if ends { END_STREAM } else { 0 };
    let mut pieces = block.chunks(16_000).enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((number, piece)) = pieces.next() {
        let (kind, end) = if number == 0 { (HEADERS, end) } else { (CONTINUATION, 0) };
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, end | last, stream, piece));
    }
    frames
}

/// The fields of a request that nobody objects to.
pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// The fields of a request for a WebSocket (RFC 8441 §4).
pub(crate) const WEBSOCKET: [(&str, &str); 5] =
    [(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[2], GET[3]];

pub(crate) struct FrameClient(pub(crate) TcpStream);

impl FrameClient {
    /// Connects and says hello.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[]).await
    }

    pub(crate) async fn with_settings(address: SocketAddr, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self(stream);
        client.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        client
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next frame; `None` where the connection ends.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("no frame, and no end")
    }

    /// The next frame of this kind.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == kind => return frame,
                Some(_) => {}
                None => panic!("it ended before a frame of kind {kind}"),
            }
        }
    }

    /// What becomes of `stream`, to its end.
    pub(crate) async fn fate(&mut self, stream: u32) -> Fate {
        let (mut status, mut end) = (None, Fate::Closed);
        while let Some(frame) = self.next().await {
            match frame.kind {
                // One for no reason lets what is under way end well.
                GOAWAY => match word(&frame.payload[4..]) {
                    0 => end = Fate::Goaway(0),
                    reason => return Fate::Goaway(reason),
                },
                RST_STREAM if frame.stream == stream && status.is_none() => {
                    return Fate::Reset(word(&frame.payload));
                }
                HEADERS if frame.stream == stream => status = Some(status_of(&frame.payload)),
                _ => {}
            }
            if let Some(status) = status
                && frame.stream == stream
                && frame.flags & END_STREAM != 0
            {
                return Fate::Status(status);
            }
        }
        end
    }
}

/// The last number of a frame that has numbers.
pub(crate) fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// The status is the first field of an answer. The usual ones have a number (RFC 7541, appendix A),
/// the others are three digits, most often compressed (appendix B).
fn status_of(block: &[u8]) -> u16 {
    // The size of the table may be agreed on first (§6.3).
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    let known = [200, 204, 206, 304, 400, 404, 500];
    if block[0] & 0x80 != 0 {
        return known[usize::from(block[0] & 0x7f) - 8];
    }
    let (is_huffman, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let text = &block[2..2 + length];
    if !is_huffman {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut status = 0;
    for _ in 0..3 {
        let (five, six) = (&rest[..5], &rest[..6]);
        let digit = match u16::from_str_radix(five, 2).unwrap() {
            digit @ 0..3 => {
                rest = &rest[5..];
                digit
            }
            _ => {
                rest = &rest[6..];
                u16::from_str_radix(six, 2).unwrap() - 0b1_1001 + 3
            }
        };
        status = status * 10 + digit;
    }
    status
}
