//! A connection to an upstream with a request under way: the request's body goes out while the
//! answer comes in, polled by the task of the client's connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::client::Idle;
use super::framing::Framing;
use super::reader::Reader;
use super::slab::Slab;
use super::splice::Pipe;
use super::upload::Upload;
use crate::clock;
use crate::net::Socket;
use crate::wire::caller::Caller;
use crate::wire::response::{ResponseHead, Taken};
use crate::wire::{Body, Error, Head};

/// How many interim answers an upstream may send before its answer.
const INTERIMS_MAX: u32 = 16;
/// How long an upstream may take for a piece of an answer that is late already.
const LATE_PIECE: Duration = Duration::from_secs(1);
/// Later than any limit.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    key: u64,
    /// Where it goes after the answer.
    idle: Option<Idle>,
    inbox: Option<Slab>,
    /// How much is read at once.
    most: usize,
    upload: Upload,
    reader: Reader,
    /// Whether the upstream keeps the connection after the answer.
    keep: bool,
    is_tunnel: bool,
    interims: u32,
    /// Whether one of them was a 100.
    has_continued: bool,
    alarm: Alarm,
    /// What is waited for now, and when that is too long.
    limit: Option<Instant>,
    deadline: Option<Instant>,
    piece_limit: Duration,
}

impl Link {
    /// One that leads nowhere yet.
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            socket: Socket::default(),
            key: 0,
            idle: None,
            inbox: None,
            most: usize::MAX,
            upload: Upload::default(),
            reader: Reader::DONE,
            keep: true,
            is_tunnel: false,
            interims: 0,
            has_continued: false,
            alarm: Alarm::default(),
            limit: None,
            deadline: None,
            piece_limit: Duration::MAX,
        })
    }

    /// Leads to upstream `key` over `socket`, until that goes back to `idle`.
    pub(crate) fn lead(&mut self, socket: Socket, key: u64, idle: Idle) {
        (self.socket, self.key, self.idle) = (socket, key, Some(idle));
    }

    /// Begins to send a request.
    pub(crate) fn begin(&mut self, head: &Head, body: Body) {
        let mut slab = Slab::new();
        if head.has_authority() {
            head.write("", &mut slab);
        } else {
            let peer = self.socket.peer_addr().map(|peer| peer.to_string());
            head.write(&peer.unwrap_or_default(), &mut slab);
        }
        self.upload.begin(slab, body, head.framing() == Framing::Chunked);
        (self.interims, self.has_continued) = (0, false);
        (self.limit, self.deadline) = (None, None);
        self.piece_limit = Duration::MAX;
    }

    /// The request's body, where not a byte of the request has left.
    pub(crate) fn take_back(&mut self) -> Option<Body> {
        self.upload.take_back()
    }

    /// Waits for the head of the answer to `head`, for `wait` after the last byte of the request
    /// was sent: until then it is the client that is waited for, whose body has a limit of its own.
    pub(crate) fn poll_head(
        &mut self,
        head: &Head,
        wait: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(ResponseHead, Framing), Error>> {
        loop {
            if let Err(error) = self.poll_upload(cx) {
                return Poll::Ready(Err(error));
            }
            if self.upload.is_refused() && !self.upload.has_begun() {
                return Poll::Ready(Err(Error::Reset));
            }
            if let Some(slab) = &mut self.inbox {
                match ResponseHead::take(slab.data(), head.is_head()) {
                    Err(_) => return Poll::Ready(Err(Error::Protocol)),
                    Ok(None) => {}
                    Ok(Some(taken)) => {
                        slab.advance(taken.used);
                        if slab.is_empty() {
                            self.inbox = None;
                        }
                        match self.take_head(taken, head) {
                            Ok(None) => continue,
                            Ok(Some(answered)) => {
                                self.limit = None;
                                return Poll::Ready(Ok(answered));
                            }
                            Err(error) => return Poll::Ready(Err(error)),
                        }
                    }
                }
            }
            self.most = head.caller().map_or(usize::MAX, Caller::appetite);
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                // Once it has said anything it may have done what it was asked.
                Poll::Ready(_) if self.inbox.is_some() || self.interims > 0 => {
                    return Poll::Ready(Err(Error::Truncated));
                }
                Poll::Ready(_) => return Poll::Ready(Err(Error::Reset)),
                Poll::Pending => return self.poll_first_byte(head, wait, cx).map(Err),
            }
        }
    }

    /// `None` for an interim answer, which is passed on to the client.
    fn take_head(
        &mut self,
        taken: Taken,
        asked: &Head,
    ) -> Result<Option<(ResponseHead, Framing)>, Error> {
        let Taken { head, answered, .. } = taken;
        match head.status() {
            101 if asked.wants_upgrade() && asked.has_asked_for(&head) => {
                let caller = asked.caller().ok_or(Error::Protocol)?;
                self.upload.begin_tunnel(caller.tunnel());
                self.reader = Reader::new(Framing::UntilClose);
                (self.keep, self.is_tunnel) = (false, true);
                Ok(Some((head, Framing::UntilClose)))
            }
            101 => Err(Error::Protocol),
            status @ 100..200 => {
                self.interims += 1;
                if self.interims > INTERIMS_MAX {
                    return Err(Error::Protocol);
                }
                // Nobody gets a 100 who has not asked for one, and nobody gets two.
                let is_again = status == 100 && std::mem::replace(&mut self.has_continued, true);
                let wanted = status != 100 || (asked.awaits_100() && !is_again);
                if let Some(caller) = asked.caller().filter(|_| wanted) {
                    caller.interim(head);
                }
                Ok(None)
            }
            _ => {
                if asked.awaits_100() && !self.has_continued && !self.upload.has_begun_body() {
                    // Then the body need not come any more (RFC 9110 §10.1.1).
                    self.upload.refuse();
                }
                self.reader = Reader::new(answered.framing);
                self.keep = answered.keep;
                Ok(Some((head, answered.framing)))
            }
        }
    }

    fn poll_first_byte(
        &mut self,
        head: &Head,
        wait: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Error> {
        // Until the whole request is sent, the upstream is waited for only while it takes nothing,
        // or while the client waits for its 100.
        let awaits_100 = head.awaits_100() && !self.has_continued && !self.upload.has_begun_body();
        let its_turn = self.upload.is_over() || self.upload.is_stuck() || awaits_100;
        if !its_turn {
            self.limit = None;
            return Poll::Pending;
        }
        let limit = *self.limit.get_or_insert_with(|| clock::now() + wait);
        self.alarm.poll_until(limit, cx).map(|()| Error::Timeout)
    }

    /// Sends as much of the request as there is and the upstream takes.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let moved = self.upload.poll(Pin::new(&mut self.socket), cx)?;
        // Whoever takes something, or has taken the last of it, is not late yet; a tunnel lives in
        // either direction.
        if moved && (self.reader.is_done() || self.upload.is_over() || self.is_tunnel) {
            self.limit = None;
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let slab = self.inbox.get_or_insert_with(Slab::new);
        let read = slab.poll_fill(Pin::new(&mut self.socket), self.most, cx);
        if slab.is_empty() {
            self.inbox = None;
        }
        read
    }

    /// The next bytes of the answer's body.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Slab, Error>>> {
        let error = |error| Poll::Ready(Some(Err(error)));
        if !self.upload.is_over()
            && let Err(of_client) = self.poll_upload(cx)
        {
            return error(of_client);
        }
        while !self.reader.is_done() {
            let Some(mut slab) = self.inbox.take() else {
                match self.poll_read(cx) {
                    Poll::Pending => return self.poll_late(cx).map(|()| Some(Err(Error::Timeout))),
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0)) if self.reader.close().is_ok() => continue,
                    Poll::Ready(_) => return error(Error::Truncated),
                }
            };
            match self.reader.take(&mut slab) {
                Ok(rest) => self.inbox = rest,
                Err(_) => return error(Error::Protocol),
            }
            self.limit = None;
            if !slab.is_empty() {
                return Poll::Ready(Some(Ok(slab)));
            }
        }
        Poll::Ready(None)
    }

    /// How many bytes of the answer's body have not been read, where they are the next to come and
    /// nothing else is to be done on the connection.
    pub(crate) fn unread(&self) -> Option<u64> {
        match self.reader.framing() {
            Framing::Length(left) if self.inbox.is_none() && self.upload.is_over() => Some(left),
            _ => None,
        }
    }

    /// Moves bytes of the answer's body into `pipe`.
    pub(crate) fn poll_into(
        &mut self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Some(left) = self.unread() else { return Poll::Ready(Ok(())) };
        match pipe.poll_fill(&mut self.socket, left, cx) {
            Poll::Pending => self.poll_late(cx).map(|()| Err(Error::Timeout)),
            Poll::Ready(Ok(count @ 1..)) => {
                self.reader.skip(count);
                self.limit = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(_) => Poll::Ready(Err(Error::Truncated)),
        }
    }

    /// Completes when the wait for a piece has been too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // While the request still comes, it may be the client that makes the answer late as a whole.
        let is_coming = !self.is_tunnel && !self.upload.is_over() && !self.upload.is_stuck();
        let limit = *self.limit.get_or_insert_with(|| {
            let now = clock::now();
            // Past its deadline an answer is cut off only while the upstream is waited for: a
            // client that reads slowly makes it late through no fault of the pool. One that comes
            // drop by drop is not waited for anew with each.
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                self.deadline = Some(now + LATE_PIECE);
            }
            let deadline = self.deadline.filter(|_| !is_coming);
            match (now.checked_add(self.piece_limit), deadline) {
                (Some(piece), Some(deadline)) => piece.min(deadline),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => now + FAR,
            }
        });
        self.alarm.poll_until(limit, cx)
    }

    /// Bounds the wait for the whole answer. A tunnel is no answer and may last.
    pub(crate) const fn bound(&mut self, deadline: Instant) {
        if !self.is_tunnel {
            self.deadline = Some(deadline);
        }
    }

    /// Bounds how much is read at once.
    pub(crate) const fn read_at_most(&mut self, bytes: usize) {
        self.most = bytes;
    }

    /// Bounds the wait for each piece.
    pub(crate) const fn bound_idle(&mut self, limit: Duration) {
        self.piece_limit = limit;
    }

    /// Whether the answer has ended.
    pub(crate) fn is_answered(&self) -> bool {
        self.reader.is_done()
    }

    /// The trailers of an answer that has ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.reader.trailers()
    }

    /// Keeps the connection for another request where that is safe, and closes it otherwise.
    pub(crate) fn end(mut self: Box<Self>) {
        if self.keep && self.upload.is_sent() && self.inbox.is_none() {
            self.upload.forget();
            self.reader = Reader::DONE;
            if let Some(idle) = self.idle.take() {
                let socket = std::mem::take(&mut self.socket);
                idle.park(self.key, socket, self);
            }
        }
    }
}
