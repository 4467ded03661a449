//! From bytes to what a client says: frames, whole, and each where it may stand. Pure.

use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEAD, HEADERS, MAX,
    PADDED, PAYLOAD_MAX, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use super::preface::PREFACE;
use crate::wire::stock::forget_large;

/// What a client says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Said<'a> {
    /// A part of a body. It costs more of the windows than its bytes where it was padded.
    Data {
        stream: u32,
        bytes: &'a [u8],
        cost: usize,
        ends: bool,
    },
    /// A whole header block: a request, or trailers.
    Block {
        stream: u32,
        block: &'a [u8],
        ends: bool,
    },
    Reset {
        stream: u32,
    },
    /// Numbers and values, six bytes each.
    Settings(&'a [u8]),
    Ping([u8; 8]),
    /// The answer to a ping of ours.
    Pong([u8; 8]),
    /// More may be sent; on no stream, on all of them together.
    Window {
        stream: u32,
        more: u32,
    },
    /// Nothing that anything follows from.
    Nothing,
}

/// What was taken off the bytes of a connection.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Frame<'a> {
    /// How many bytes it took.
    pub(super) used: usize,
    pub(super) said: Said<'a>,
    /// What it costs a client that says too much of it.
    pub(super) points: u32,
}

/// Follows what a client says.
#[derive(Debug)]
pub(super) struct Intake {
    /// How much of the preface is to come.
    preface: usize,
    has_greeted: bool,
    /// The header block that is coming, its stream, and whether that ends with it.
    block: Vec<u8>,
    block_of: Option<(u32, bool)>,
    block_max: usize,
}

impl Intake {
    /// Takes header blocks of at most `block_max` bytes.
    pub(super) const fn new(block_max: usize) -> Self {
        Self {
            preface: PREFACE.len(),
            has_greeted: false,
            block: Vec::new(),
            block_of: None,
            block_max,
        }
    }

    /// Whether a frame has come.
    pub(super) const fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// Whether a header block has begun, and not ended.
    pub(super) const fn is_in_block(&self) -> bool {
        self.block_of.is_some()
    }

    /// Whether, with `rest` left over, the rest of something is to come that is no body.
    pub(super) fn is_amid(&self, rest: &[u8]) -> bool {
        let is_body = FrameHead::read(rest).is_some_and(|head| head.kind == DATA);
        self.is_in_block() || !rest.is_empty() && !is_body
    }

    /// Takes what comes first off `bytes`; `None` where more must come.
    ///
    /// # Errors
    /// Why the connection has to end.
    pub(super) fn take<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, Reason> {
        if self.preface > 0 {
            let of_it = bytes.len().min(self.preface);
            let came = PREFACE.len() - self.preface;
            if bytes[..of_it] != PREFACE[came..came + of_it] {
                return Err(Reason::PROTOCOL);
            }
            self.preface -= of_it;
            return Ok((of_it > 0).then_some(Frame {
                used: of_it,
                said: Said::Nothing,
                points: 0,
            }));
        }
        if self.block_of.is_none() {
            forget_large(&mut self.block);
        }
        let Some(head) = FrameHead::read(bytes) else { return Ok(None) };
        if head.length > PAYLOAD_MAX {
            return Err(Reason::FRAME_SIZE);
        }
        // A connection begins with settings (RFC 9113 §3.4), and nothing comes between the parts of
        // a block (§6.10).
        let is_in_block = self.block_of.is_some_and(|(stream, _)| stream == head.stream);
        if !self.has_greeted && (head.kind != SETTINGS || head.has(ACK))
            || (head.kind == CONTINUATION) != self.block_of.is_some()
            || head.kind == CONTINUATION && !is_in_block
        {
            return Err(Reason::PROTOCOL);
        }
        self.has_greeted = true;
        let used = HEAD + head.length;
        let Some(payload) = bytes.get(HEAD..used) else { return Ok(None) };
        let (said, points) = self.frame(head, payload)?;
        Ok(Some(Frame { used, said, points }))
    }

    fn frame<'a>(
        &'a mut self,
        head: FrameHead,
        payload: &'a [u8],
    ) -> Result<(Said<'a>, u32), Reason> {
        let FrameHead { length, kind, stream, .. } = head;
        let is_of_stream = matches!(kind, DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION);
        let is_of_connection = matches!(kind, SETTINGS | PING | GOAWAY);
        if is_of_stream && stream % 2 == 0 || is_of_connection && stream != 0 {
            return Err(Reason::PROTOCOL);
        }
        let ends = head.has(END_STREAM);
        Ok(match kind {
            DATA => {
                let bytes = unpadded(head, payload, 0)?;
                let points = u32::from(bytes.is_empty() && !ends);
                (Said::Data { stream, bytes, cost: length, ends }, points)
            }
            HEADERS => {
                let before = if head.has(WITH_PRIORITY) { 5 } else { 0 };
                let part = unpadded(head, payload, before)?;
                if head.has(END_HEADERS) {
                    return Ok((Said::Block { stream, block: part, ends }, 0));
                }
                self.block.clear();
                self.block.extend_from_slice(part);
                self.block_of = Some((stream, ends));
                (Said::Nothing, 0)
            }
            CONTINUATION => {
                if self.block.len() + length > self.block_max {
                    return Err(Reason::CALM);
                }
                self.block.extend_from_slice(payload);
                let points = u32::from(length == 0);
                match self.block_of {
                    Some((stream, ends)) if head.has(END_HEADERS) => {
                        self.block_of = None;
                        (Said::Block { stream, block: &self.block, ends }, points)
                    }
                    _ => (Said::Nothing, points),
                }
            }
            RST_STREAM => {
                sized::<4>(payload)?;
                (Said::Reset { stream }, 1)
            }
            SETTINGS if head.has(ACK) => {
                sized::<0>(payload)?;
                (Said::Nothing, 1)
            }
            // A frame that is full of them costs more than one with the few there are.
            SETTINGS if length % 6 == 0 => {
                let points = u32::try_from(length / 60).unwrap_or(u32::MAX);
                (Said::Settings(payload), 1 + points)
            }
            SETTINGS => return Err(Reason::FRAME_SIZE),
            PING if head.has(ACK) => (Said::Pong(sized(payload)?), 1),
            PING => (Said::Ping(sized(payload)?), 1),
            WINDOW_UPDATE => {
                let more = u32::from_be_bytes(sized(payload)?) & MAX;
                (Said::Window { stream, more }, 0)
            }
            PRIORITY => {
                sized::<5>(payload)?;
                (Said::Nothing, 1)
            }
            GOAWAY if length < 8 => return Err(Reason::FRAME_SIZE),
            PUSH_PROMISE => return Err(Reason::PROTOCOL),
            // What is not known means nothing (§5.5).
            _ => (Said::Nothing, 1),
        })
    }
}

/// A payload of fixed size.
fn sized<const SIZE: usize>(payload: &[u8]) -> Result<[u8; SIZE], Reason> {
    payload.try_into().map_err(|_| Reason::FRAME_SIZE)
}

/// A payload without its padding, and without so many bytes before it.
fn unpadded(head: FrameHead, payload: &[u8], before: usize) -> Result<&[u8], Reason> {
    let (padding, payload) = match (head.has(PADDED), payload) {
        (false, _) => (0, payload),
        (true, [padding, rest @ ..]) => (usize::from(*padding), rest),
        (true, []) => return Err(Reason::FRAME_SIZE),
    };
    let end = payload.len().checked_sub(padding).ok_or(Reason::PROTOCOL)?;
    payload.get(before..end).ok_or(Reason::PROTOCOL)
}

#[cfg(test)]
mod tests;
