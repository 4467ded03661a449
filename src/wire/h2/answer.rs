//! An answer on its way: piece by piece, as fast as the client's windows open.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::frame::Reason;
use super::lane::Channel;
use crate::clock;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::framing::Asked;
use crate::wire::h1::slab::Slab;
use crate::wire::{Body, Error, Response, Watch};

/// An answer that is being sent.
pub(super) struct Answer<W> {
    body: Body,
    watch: Option<W>,
    /// What of a piece there was no room for.
    rest: Option<Slab>,
    stall: Duration,
    /// Since when there has been none.
    stuck: Option<Instant>,
    alarm: Alarm,
}

impl<W: Watch> Answer<W> {
    /// Sends the head of `response`; `None` where that is all. A client that makes no room for
    /// `stall` has its stream reset.
    pub(super) fn begin(
        response: Response<W>,
        asked: Asked,
        channel: &Channel,
        stall: Duration,
    ) -> Option<Self> {
        let Response { head, mut body, watch } = response;
        let framing = body.framing();
        let mut is_whole = body.is_done() && body.trailers().is_empty();
        is_whole |= !channel.begin(&head, asked, framing, is_whole);
        if is_whole {
            if let Some(watch) = watch {
                watch.ended(Ok(()));
            }
            return None;
        }
        body.bound_idle(stall);
        Some(Self { body, watch, rest: None, stall, stuck: None, alarm: Alarm::default() })
    }

    /// Completes when all is said, or cannot be.
    pub(super) fn poll(&mut self, channel: &Channel, cx: &mut Context<'_>) -> Poll<()> {
        let ended = ready!(self.poll_pieces(channel, cx));
        if let (Some(result), Some(watch)) = (ended, self.watch.take()) {
            watch.ended(result);
        }
        Poll::Ready(())
    }

    /// Completes with `None` where the client is gone.
    fn poll_pieces(
        &mut self,
        channel: &Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        loop {
            // The next piece is taken when this one has left: whoever reads slowly holds one and
            // no more.
            if self.rest.is_none() && !self.body.is_done() {
                if channel.is_held_up() {
                    // The request is woken when it is not.
                    channel.room();
                    return self.poll_stuck(channel, cx);
                }
                self.stuck = None;
                self.body.read_at_most(channel.appetite());
                match ready!(self.body.poll_piece(cx)) {
                    Some(Ok(piece)) => self.rest = Some(piece),
                    Some(Err(error)) => {
                        channel.reset(Reason::INTERNAL);
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => {}
                }
            }
            // The end itself needs no room.
            if let Some(piece) = &mut self.rest {
                let room = channel.room();
                if room == 0 {
                    piece.shrink();
                    return self.poll_stuck(channel, cx);
                }
                self.stuck = None;
                let count = room.min(piece.len());
                let is_piece = count == piece.len();
                let is_last = is_piece && self.body.is_done() && self.body.trailers().is_empty();
                channel.send(&piece.data()[..count], is_last);
                piece.advance(count);
                if is_piece {
                    self.rest = None;
                }
                if is_last {
                    return Poll::Ready(Some(Ok(())));
                }
            } else if self.body.is_done() {
                match self.body.trailers() {
                    [] => channel.send(&[], true),
                    trailers => channel.send_trailers(trailers),
                }
                return Poll::Ready(Some(Ok(())));
            }
        }
    }

    /// There is no room: the request may go on, but not for ever.
    fn poll_stuck(
        &mut self,
        channel: &Channel,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        if let Err(error) = self.body.poll_upload(cx) {
            channel.reset(Reason::INTERNAL);
            return Poll::Ready(Some(Err(error)));
        }
        let since = *self.stuck.get_or_insert_with(clock::now);
        self.alarm.poll_until(since + self.stall, cx).map(|()| {
            channel.reset(Reason::CANCEL);
            None
        })
    }
}
