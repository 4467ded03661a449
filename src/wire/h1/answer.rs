//! An answer on its way to the client: its head and the first bytes of its body in one write, and
//! then piece by piece, as fast as the client takes it.

use std::task::{Context, Poll};
use std::time::Duration;

use super::chunked;
use super::framing::{Asked, Framing, Sent};
use super::side::{Io, Shared, Side};
use super::slab::Slab;
use super::splice::{self, Pipe};
use crate::wire::{Body, Error, Response, Watch};

/// An answer that is being sent.
pub(super) struct Answer<W> {
    body: Body,
    watch: Option<W>,
    sent: Sent,
    trailers: bool,
    ended: Option<Result<(), Error>>,
    /// What a large body goes through.
    pipe: Option<Pipe>,
    /// How many bytes the client took.
    written: usize,
}

/// What a client has as soon as it was sent: ten segments (RFC 6928). Of more than that it may have
/// only the beginning.
const AT_ONCE: usize = 14_600;

/// How an answer is getting on.
pub(super) enum Progress {
    /// The upstream is waited for; `moved` when the client took something before.
    Waits { moved: bool },
    /// The client is waited for; `moved` when it took something before.
    Stuck { moved: bool },
    /// It ended well.
    Done { keep: bool },
    /// It did not, or the client is gone.
    Gone,
}

impl<W: Watch> Answer<W> {
    pub(super) fn new(
        response: Response<W>,
        mut asked: Asked,
        piece_limit: Duration,
        side: &mut Side<dyn Io>,
    ) -> Self {
        let Response { head, mut body, watch } = response;
        let goes_on = body.may_upload();
        if !goes_on {
            side.discard();
        }
        // Of a request that is still coming nobody wants the rest when it has failed.
        asked.keep &= side.reader.is_done() || goes_on && head.status() < 400;
        let mut slab = Slab::new();
        let mut sent = head.write(asked, body.framing(), &mut slab);
        side.outbox.push(slab);
        let mut ended = None;
        if head.status() == 101 {
            sent = Sent { framing: Framing::UntilClose, keep: false };
        } else if sent.framing == Framing::None {
            body = Body::empty();
            ended = Some(Ok(()));
        }
        body.bound_idle(piece_limit);
        let trailers = asked.trailers;
        Self { body, watch, sent, trailers, ended, pipe: None, written: 0 }
    }

    /// Whether the client may be reading it for a while after its last byte was written.
    pub(super) const fn is_long(&self) -> bool {
        self.written > AT_ONCE
    }

    pub(super) fn poll(&mut self, side: &Shared, cx: &mut Context<'_>) -> Progress {
        let mut moved = false;
        loop {
            if (self.ended.is_none() || self.pipe.is_some())
                && side.borrow().outbox.is_empty()
                && let Some(progress) = self.poll_pipe(&mut side.borrow_mut(), moved, cx)
            {
                return progress;
            }
            // The body may read from the client's side, so that is not held here.
            while self.ended.is_none() && side.borrow().outbox.has_room() {
                match self.body.poll_piece(cx) {
                    Poll::Pending => break,
                    Poll::Ready(piece) => self.add(piece, &mut side.borrow_mut()),
                }
            }
            let mut client = side.borrow_mut();
            if client.is_written() {
                return match self.ended {
                    None => Progress::Waits { moved },
                    Some(result) => self.end(result, &client),
                };
            }
            let is_last = self.ended == Some(Ok(())) && !self.sent.keep;
            let written = if is_last { client.poll_write_last(cx) } else { client.poll_write(cx) };
            match written {
                Poll::Ready(Ok(count)) => {
                    self.written = self.written.saturating_add(count);
                    moved = true;
                }
                Poll::Ready(Err(_)) => return Progress::Gone,
                Poll::Pending => {
                    drop(client);
                    if self.ended.is_none()
                        && let Err(error) = self.body.poll_upload(cx)
                    {
                        self.ended = Some(Err(error));
                    }
                    return Progress::Stuck { moved };
                }
            }
        }
    }

    /// Lets the kernel move the rest of a large body; `None` where there is nothing (more) for it
    /// to do.
    fn poll_pipe(
        &mut self,
        client: &mut Side<dyn Io>,
        mut moved: bool,
        cx: &mut Context<'_>,
    ) -> Option<Progress> {
        let socket = client.io.plain()?;
        if self.pipe.is_none() {
            let is_worth_it = matches!(self.sent.framing, Framing::Length(_))
                && self.body.unread().is_some_and(|left| left >= splice::WORTH);
            self.pipe = if is_worth_it { Pipe::new() } else { None };
        }
        let pipe = self.pipe.as_mut()?;
        self.written = usize::MAX;
        loop {
            while !pipe.is_empty() {
                match pipe.poll_drain(socket, cx) {
                    Poll::Ready(Ok(_)) => moved = true,
                    Poll::Ready(Err(_)) => return Some(Progress::Gone),
                    Poll::Pending => return Some(Progress::Stuck { moved }),
                }
            }
            if self.body.is_done() {
                self.ended = Some(Ok(()));
            }
            if self.ended.is_some() {
                self.pipe = None;
                return None;
            }
            match self.body.poll_into(pipe, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.ended = Some(Err(error)),
                Poll::Pending => return Some(Progress::Waits { moved }),
            }
        }
    }

    fn add(&mut self, piece: Option<Result<Slab, Error>>, side: &mut Side<dyn Io>) {
        let mut slab = match piece {
            Some(Ok(slab)) => slab,
            None => Slab::new(),
            Some(Err(error)) => {
                self.ended = Some(Err(error));
                return;
            }
        };
        let is_chunked = self.sent.framing == Framing::Chunked;
        if is_chunked {
            chunked::encode(&mut slab);
        }
        if self.body.is_done() {
            self.ended = Some(Ok(()));
            if is_chunked {
                chunked::end(&mut slab, |slab| {
                    if self.trailers {
                        self.body.write_trailers(slab);
                    }
                });
            }
        }
        if !slab.is_empty() {
            side.outbox.push(slab);
        }
    }

    fn end(&mut self, result: Result<(), Error>, side: &Side<dyn Io>) -> Progress {
        if let Some(watch) = self.watch.take() {
            watch.ended(result);
        }
        if result.is_ok() {
            return Progress::Done { keep: self.sent.keep };
        }
        // Without a length or a last chunk only the way it ends can tell the client.
        if self.sent.framing == Framing::UntilClose {
            side.io.reset_at_close();
        }
        Progress::Gone
    }
}
