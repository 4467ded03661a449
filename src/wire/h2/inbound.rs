//! The body of a request, as its stream brings it.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Channel;
use crate::clock;
use crate::wire::Error;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::slab::Slab;
use crate::wire::h1::trailers;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Inbound {
    channel: Channel,
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
    pub(super) fn new(channel: Channel, bytes_max: u64, idle: Duration) -> Box<Self> {
        Box::new(Self {
            channel,
            left: bytes_max,
            idle,
            waiting: None,
            alarm: Alarm::default(),
            is_done: false,
            is_tunnel: false,
            trailers: Vec::new(),
        })
    }

    /// What a tunnel carries may be as long as it likes, and pause.
    pub(crate) fn of_tunnel(channel: Channel) -> Box<Self> {
        let mut inbound = Self::new(channel, u64::MAX, Duration::ZERO);
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

    /// The next bytes. Whoever asks is woken when more of them come.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Slab, Error>>> {
        let error = |error| Poll::Ready(Some(Err(error)));
        if self.is_done {
            return Poll::Ready(None);
        }
        let piece = self.channel.take();
        if let Some(piece) = &piece {
            self.waiting = None;
            match self.left.checked_sub(piece.len() as u64) {
                Some(left) => self.left = left,
                None => return error(Error::ClientTooLarge),
            }
        }
        if self.channel.is_drained() {
            self.is_done = true;
            self.trailers = self.channel.take_trailers();
            if trailers::filter(&mut self.trailers).is_err() {
                return error(Error::ClientBody);
            }
        }
        match piece {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None if self.is_done => Poll::Ready(None),
            None => self.poll_late(cx).map(|()| Some(Err(Error::ClientSlow))),
        }
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
