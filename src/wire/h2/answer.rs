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
        let ended = ready!(self.poll_pieces(cx));
        if let (Some(result), Some(watch)) = (ended, self.watch.take()) {
            watch.ended(result);
        }
        Poll::Ready(())
    }

    /// Completes with `None` where the client is gone.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            // The next piece is taken when it can leave: whoever reads slowly holds one and no more.
            self.stream.reserve_capacity(1);
            // The end itself needs no window.
            let is_over = self.rest.is_none() && self.body.is_done();
            if self.stream.capacity() == 0 && !is_over {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => return self.poll_stuck(cx),
                }
            }
            self.stuck = None;
            let piece = match self.rest.take() {
                Some(rest) => Poll::Ready(Some(Ok(rest))),
                None => self.body.poll_piece(cx),
            };
            let sent = match piece {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => self.send(piece),
                Poll::Ready(None) => self.send(Slab::new()),
                Poll::Ready(Some(Err(error))) => {
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Some(Err(error)));
                }
            };
            match sent {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Some(Ok(()))),
                Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// Sends `piece`, and the end where it is the last; tells whether it is.
    fn send(&mut self, mut piece: Slab) -> Result<bool, h2::Error> {
        // Only what may leave is given away: until the rest has, the client can be too slow.
        self.stream.reserve_capacity(piece.len());
        self.rest = piece.split_off(self.stream.capacity());
        piece.shrink();
        let is_last = self.body.is_done() && self.rest.is_none();
        let trailers = self.body.trailers();
        if is_last && !trailers.is_empty() {
            let trailers = head::map(trailers);
            if !piece.is_empty() {
                self.stream.send_data(piece, false)?;
            }
            self.stream.send_trailers(trailers)?;
        } else if is_last || !piece.is_empty() {
            self.stream.send_data(piece, is_last)?;
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
