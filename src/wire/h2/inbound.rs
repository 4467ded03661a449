//! The body of a request, as its stream brings it.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use tokio::time::Instant;

use super::head;
use crate::clock;
use crate::wire::Error;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::slab::Slab;
use crate::wire::h1::trailers;

/// Several frames may make one piece, as long as it stays below this.
const PIECE: usize = 32 << 10;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Inbound {
    stream: RecvStream,
    /// How many more bytes are taken.
    left: u64,
    idle: Duration,
    /// Since when the next byte has been waited for.
    waiting: Option<Instant>,
    alarm: Alarm,
    is_done: bool,
    is_tunnel: bool,
    trailers: Vec<u8>,
}

impl Inbound {
    /// A body of at most `bytes_max` that may pause for `idle`.
    pub(super) fn new(stream: RecvStream, bytes_max: u64, idle: Duration) -> Box<Self> {
        let is_done = stream.is_end_stream();
        Box::new(Self {
            stream,
            left: bytes_max,
            idle,
            waiting: None,
            alarm: Alarm::default(),
            is_done,
            is_tunnel: false,
            trailers: Vec::new(),
        })
    }

    /// What a tunnel carries may be as long as it likes, and pause.
    pub(super) fn of_tunnel(stream: RecvStream) -> Box<Self> {
        let mut inbound = Self::new(stream, u64::MAX, Duration::ZERO);
        inbound.is_tunnel = true;
        inbound
    }

    /// Whether all of it was taken.
    pub(crate) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// The trailers of a body that has ended, as whole lines.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// The next bytes.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Slab, Error>>> {
        let mut piece = Slab::new();
        while !self.is_done && piece.len() < PIECE {
            match self.poll_frame(cx) {
                Poll::Ready(Ok(bytes)) => piece.push(&bytes),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending if piece.is_empty() => {
                    return self.poll_late(cx).map(|()| Some(Err(Error::ClientSlow)));
                }
                Poll::Pending => break,
            }
        }
        self.waiting = None;
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        let frame = ready!(self.stream.poll_data(cx));
        let Some(frame) = frame else {
            return self.poll_trailers(cx).map_ok(|()| Bytes::new());
        };
        let bytes = frame.map_err(|_| Error::ClientBody)?;
        // What is not read any more was paid for when it was.
        let _ = self.stream.flow_control().release_capacity(bytes.len());
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(Error::ClientTooLarge)?;
        self.is_done = self.stream.is_end_stream();
        Poll::Ready(Ok(bytes))
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(|_| Error::ClientBody)?;
        if let Some(trailers) = trailers {
            self.trailers = head::lines(&trailers);
            trailers::filter(&mut self.trailers).map_err(|_| Error::ClientBody)?;
        }
        self.is_done = true;
        Poll::Ready(Ok(()))
    }

    /// Completes when the wait has been too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_tunnel {
            return Poll::Pending;
        }
        let since = *self.waiting.get_or_insert_with(clock::now);
        self.alarm.poll_until(since + self.idle, cx)
    }
}
