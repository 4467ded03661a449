//! What a client sends beside requests. Frames that carry nothing cost it less than us, so they are
//! counted off the bytes as they come; a client that sends too many is told to calm down
//! (RFC 9113 §10.5). Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::block::Block;
use super::fragment;

/// What a client may send in frames that carry nothing, in points a [`SPAN`].
const POINTS_MAX: u32 = 2000;
/// A request that is taken back has cost an upstream something.
const POINTS_OF_RESET: u32 = 10;
const SPAN: Duration = Duration::from_secs(1);
/// Bytes of a frame's head (RFC 9113 §4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Follows the frames of a client.
#[derive(Debug)]
pub(super) struct Meter {
    head: [u8; HEAD],
    /// How much of the next head has come.
    got: usize,
    /// How many bytes come before the next head.
    skip: usize,
    /// Whether a head of a request has begun and not ended.
    is_in_head: bool,
    has_greeted: bool,
    block: Block,
    /// The first request whose path has a fragment. Later ones may take it from a table.
    tainted_from: Option<u32>,
    points: u32,
    /// When the span began that they are counted in.
    since: Option<Instant>,
}

impl Meter {
    /// For a connection that begins with `preface` bytes that are no frames.
    pub(super) fn new(preface: usize) -> Self {
        Self {
            head: [0; HEAD],
            got: 0,
            skip: preface,
            is_in_head: false,
            has_greeted: false,
            block: Block::default(),
            tainted_from: None,
            points: 0,
            since: None,
        }
    }

    /// Whether the request on `stream` is to be refused: a path has a fragment, its own or that of
    /// a request before it.
    pub(super) fn is_tainted(&self, stream: u32) -> bool {
        self.tainted_from.is_some_and(|first| stream >= first)
    }

    /// Whether the rest of something is to come that is no body: of a head, or of a frame.
    pub(super) const fn is_amid(&self) -> bool {
        self.is_in_head || self.got > 0 || self.skip > 0 && self.head[3] != DATA
    }

    /// Whether a frame has come.
    pub(super) const fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// Follows `bytes`; tells how many points they cost.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> u32 {
        let mut points = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            if skipped > 0 && matches!(self.head[3], HEADERS | CONTINUATION) {
                self.block.add(&bytes[..skipped]);
                points += self.part();
            }
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.got).min(bytes.len());
            self.head[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
            self.got += taken;
            bytes = &bytes[taken..];
            if self.got == HEAD {
                points += self.frame();
                self.got = 0;
            }
        }
        points
    }

    /// A head is whole.
    fn frame(&mut self) -> u32 {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skip = usize::try_from(length).unwrap_or(usize::MAX);
        self.has_greeted = true;
        match kind {
            HEADERS => {
                self.is_in_head = true;
                self.block.begin();
                self.part()
            }
            CONTINUATION => self.part() + u32::from(length == 0),
            DATA => u32::from(length == 0 && flags & END_STREAM == 0),
            RST_STREAM => POINTS_OF_RESET,
            WINDOW_UPDATE => 0,
            _ => 1,
        }
    }

    /// A part of a header block may be whole, and the block with it.
    fn part(&mut self) -> u32 {
        if self.skip > 0 {
            return 0;
        }
        let [_, _, _, kind, flags, stream @ ..] = self.head;
        self.block.end_part(if kind == HEADERS { flags } else { 0 });
        if flags & END_HEADERS == 0 || !self.is_in_head {
            return 0;
        }
        self.is_in_head = false;
        if self.tainted_from.is_none() && fragment::is_in_path(self.block.bytes()) {
            // The first bit means nothing (RFC 9113 §4.1).
            self.tainted_from = Some(u32::from_be_bytes(stream) & 0x7fff_ffff);
        }
        0
    }

    /// Counts `points` at `now`; true when they are too many.
    pub(super) fn charge(&mut self, points: u32, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= SPAN) {
            (self.since, self.points) = (Some(now), 0);
        }
        self.points = self.points.saturating_add(points);
        self.points > POINTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    #[test]
    fn frames_that_carry_nothing_cost_points() {
        for (kind, flags, payload, points) in [
            (DATA, 0, 0, 1),
            (DATA, END_STREAM, 0, 0),
            (DATA, 0, 5, 0),
            (HEADERS, END_HEADERS, 20, 0),
            (2, 0, 5, 1),
            (RST_STREAM, 0, 4, 10),
            (4, 0, 6, 1),
            (6, 0, 8, 1),
            (WINDOW_UPDATE, 0, 4, 0),
            (CONTINUATION, 0, 0, 1),
            (CONTINUATION, 0, 9, 0),
            (0xbe, 0, 100, 1),
        ] {
            assert_eq!(Meter::new(0).see(&frame(kind, flags, payload)), points, "{kind} {payload}");
        }
    }

    #[test]
    fn it_makes_no_difference_how_frames_arrive() {
        let frames = [
            vec![7; 24],
            frame(4, 0, 6),
            frame(HEADERS, 0, 300),
            frame(CONTINUATION, 0, 0),
            frame(CONTINUATION, END_HEADERS, 3),
            frame(DATA, 0, 0),
            frame(6, 0, 8),
            frame(RST_STREAM, 0, 4),
        ]
        .concat();
        for piece in 1..frames.len() {
            let mut meter = Meter::new(24);
            let points: u32 = frames.chunks(piece).map(|bytes| meter.see(bytes)).sum();
            assert_eq!(points, 14, "in pieces of {piece}");
            assert!(!meter.is_amid());
        }
        for (count, is_amid) in [(23, false), (24, false), (30, true), (38, true), (39, false)] {
            let mut meter = Meter::new(24);
            meter.see(&frames[..count]);
            assert_eq!(meter.is_amid(), is_amid, "after {count} bytes");
            assert_eq!(meter.has_greeted(), count >= 33);
        }
        let mut meter = Meter::new(24);
        meter.see(&frames[..24 + 15 + 309]);
        assert!(meter.is_amid(), "a head of which half has come");
        meter = Meter::new(0);
        meter.see(&frame(DATA, 0, 10)[..15]);
        assert!(!meter.is_amid(), "a body has a limit of its own");
    }

    #[test]
    fn a_request_whose_path_has_a_fragment_taints_those_after_it() {
        let block = b"\x82\x87\x44\x04/a#b";
        let mut frames = frame(HEADERS, 0, 4);
        frames[9..].copy_from_slice(&block[..4]);
        let mut rest = frame(CONTINUATION, END_HEADERS, 4);
        rest[9..].copy_from_slice(&block[4..]);
        frames.extend(rest);
        for piece in 1..frames.len() {
            let mut meter = Meter::new(0);
            for bytes in frames.chunks(piece) {
                meter.see(bytes);
            }
            assert!(meter.is_tainted(1) && meter.is_tainted(3), "in pieces of {piece}");
        }
        // The first bit of a number means nothing.
        frames[5] = 0x80;
        frames[18] = 0x80;
        frames[8] = 5;
        frames[21] = 5;
        let mut meter = Meter::new(0);
        meter.see(&frames);
        assert!(!meter.is_tainted(3) && meter.is_tainted(5));
    }

    #[test]
    fn a_client_may_do_a_second_of_it_again_and_again_but_not_more() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = Meter::new(0);
        assert!(!meter.charge(POINTS_MAX, at(0)));
        assert!(!meter.charge(POINTS_MAX, at(1000)));
        assert!(meter.charge(1, at(1999)));
    }
}
