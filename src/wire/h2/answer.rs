//! An answer on its way: piece by piece, as fast as the client's windows open.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::server::SendResponse;
use h2::{Reason, SendStream};
use tokio::time::Instant;

use super::head;
use crate::clock;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::framing::Asked;
use crate::wire::h1::slab::Slab;
use crate::wire::{Body, Error, Response, Watch};

/// An answer that is being sent.
pub(super) struct Answer<W> {
    stream: SendStream<Slab>,
    body: Body,
    watch: Option<W>,
    /// What of a piece no window was open for.
    rest: Option<Slab>,
    stall: Duration,
    /// Since when no window has been open.
    stuck: Option<Instant>,
    alarm: Alarm,
}

impl<W: Watch> Answer<W> {
    /// Sends the head of `response`; `None` where that is all, or the client is gone. One that opens
    /// no window for `stall` has its stream reset.
    pub(super) fn begin(
        response: Response<W>,
        asked: Asked,
        respond: &mut SendResponse<Slab>,
        stall: Duration,
    ) -> Option<Self> {
        let Response { head, mut body, watch } = response;
        let (answer, has_body) = head::answer(&head, asked, body.framing());
        if !has_body {
            body = Body::empty();
        }
        body.bound_idle(stall);
        let is_whole = body.is_done() && body.trailers().is_empty();
        // Whoever watches is told by being dropped that the client is gone.
        let stream = respond.send_response(answer, is_whole).ok()?;
        let answer =
            Self { stream, body, watch, rest: None, stall, stuck: None, alarm: Alarm::default() };
        if !is_whole {
            return Some(answer);
        }
        if let Some(watch) = answer.watch {
            watch.ended(Ok(()));
        }
        None
    }

    /// Completes when all is said, or cannot be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = match self.poll_pieces(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending if self.stream.poll_reset(cx).is_ready() => None,
            Poll::Pending => return Poll::Pending,
        };
        if let (Some(result), Some(watch)) = (ended, self.watch.take()) {
            watch.ended(result);
        }
        Poll::Ready(())
    }

    /// Completes with `None` where the client is gone.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        loop {
            // The next piece is taken when this one has left: whoever reads slowly holds one and
            // no more.
            if self.rest.is_none() && !self.body.is_done() {
                match ready!(self.body.poll_piece(cx)) {
                    Some(Ok(piece)) => self.rest = Some(piece),
                    Some(Err(error)) => {
                        self.stream.send_reset(Reason::INTERNAL_ERROR);
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => {}
                }
            }
            // The end itself needs no window.
            let wanted = self.rest.as_ref().map_or(0, Slab::len);
            if wanted > 0 {
                self.stream.reserve_capacity(wanted);
            }
            let window = self.stream.capacity();
            if wanted > 0 && window == 0 {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => return self.poll_stuck(cx),
                }
            }
            self.stuck = None;
            match self.send(window) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Some(Ok(()))),
                Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// Sends of the piece what the `window` is open for, and the end where that is all; tells
    /// whether it is. Only what may leave is given away: until the rest has, the client can be too
    /// slow.
    fn send(&mut self, window: usize) -> Result<bool, h2::Error> {
        let mut piece = self.rest.take().unwrap_or_else(Slab::new);
        self.rest = piece.split_off(window);
        piece.shrink();
        let is_last = self.body.is_done() && self.rest.is_none();
        let trailers = self.body.trailers();
        let has_trailers = is_last && !trailers.is_empty();
        if !piece.is_empty() || is_last && !has_trailers {
            self.stream.send_data(piece, is_last && !has_trailers)?;
        }
        if has_trailers {
            self.stream.send_trailers(head::map(trailers))?;
        }
        Ok(is_last)
    }

    /// No window is open: the request may go on, but not for ever.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        if let Err(error) = self.body.poll_upload(cx) {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
            return Poll::Ready(Some(Err(error)));
        }
        let since = *self.stuck.get_or_insert_with(clock::now);
        self.alarm.poll_until(since + self.stall, cx).map(|()| {
            self.stream.send_reset(Reason::CANCEL);
            None
        })
    }
}
