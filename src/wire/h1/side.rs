//! The client's side of a connection, shared by the task that serves it and by the body of the
//! request that it is serving.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::framing::Framing;
use super::outbox::Outbox;
use super::reader::Reader;
use super::slab::Slab;
use crate::clock;
use crate::net::Socket;
use crate::wire::Error;

/// How much of later requests is read while one is under way.
const AHEAD_MAX: usize = 4 << 10;

/// What a client's connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin {
    /// Makes the end of the connection look like the failure it is.
    fn reset_at_close(&self);

    /// Whether the other end has refused what was sent to it.
    fn is_broken(&self) -> bool;

    /// Whether the other end has ended its half, or has gone, behind bytes that were not read.
    fn has_ended(&self, _: &mut Context<'_>) -> bool {
        false
    }

    /// The socket, where bytes go to it as they are.
    fn plain(&mut self) -> Option<&mut Socket> {
        None
    }

    /// Whether it has taken bytes that are not on their way yet: then it wants to be flushed.
    fn holds_back(&self) -> bool {
        false
    }
}

impl Io for Socket {
    fn reset_at_close(&self) {
        if let Err(error) = Self::reset_at_close(self) {
            tracing::debug!(%error, "a connection that broke off ends as if it had not");
        }
    }

    fn is_broken(&self) -> bool {
        Self::is_broken(self)
    }

    fn has_ended(&self, cx: &mut Context<'_>) -> bool {
        Self::has_ended(self, cx)
    }

    fn plain(&mut self) -> Option<&mut Socket> {
        Some(self)
    }
}

impl Io for TlsStream<Socket> {
    fn reset_at_close(&self) {
        Io::reset_at_close(self.get_ref().0);
    }

    fn is_broken(&self) -> bool {
        self.get_ref().0.is_broken()
    }

    fn has_ended(&self, cx: &mut Context<'_>) -> bool {
        self.get_ref().0.has_ended(cx)
    }

    fn holds_back(&self) -> bool {
        self.get_ref().1.wants_write()
    }
}

/// One client's side; there is one task for it, so it is never borrowed twice.
pub(crate) type Shared = Rc<RefCell<Side<dyn Io>>>;

/// What has come from a client and not been used, and what is on its way to it.
pub(crate) struct Side<I: ?Sized> {
    pub(crate) inbox: Option<Slab>,
    pub(crate) outbox: Outbox,
    /// The body of the request under way.
    pub(crate) reader: Reader,
    /// How many more bytes of it are taken.
    left: u64,
    /// Since when it has been waited for.
    pub(crate) waiting: Option<Instant>,
    /// Whether it has been waited for too long.
    pub(crate) late: bool,
    /// Whether the client has said that it sends nothing more.
    pub(crate) ended: bool,
    is_tunnel: bool,
    /// Whether what has left the outbox is held back below.
    is_held_back: bool,
    pub(crate) io: I,
}

impl<I> Side<I> {
    pub(crate) fn new(io: I) -> Self {
        Self {
            inbox: None,
            outbox: Outbox::default(),
            reader: Reader::DONE,
            left: 0,
            waiting: None,
            late: false,
            ended: false,
            is_tunnel: false,
            is_held_back: false,
            io,
        }
    }
}

impl<I: ?Sized> fmt::Debug for Side<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl<I: Io + ?Sized> Side<I> {
    /// A request begins whose body is `framing`, and at most `bytes_max` long.
    pub(crate) fn begin(&mut self, framing: Framing, bytes_max: u64) {
        self.reader = Reader::new(framing);
        self.left = bytes_max;
        (self.waiting, self.late) = (None, false);
    }

    /// From now on the client's bytes are no HTTP, and end when it says so.
    pub(crate) fn begin_tunnel(&mut self) {
        self.begin(Framing::UntilClose, u64::MAX);
        self.is_tunnel = true;
    }

    /// Reads once into the inbox. 0 means that nothing more will come.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read_some(usize::MAX, cx)
    }

    fn poll_read_some(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let slab = self.inbox.get_or_insert_with(Slab::new);
        let read = slab.poll_fill(Pin::new(&mut self.io), most, cx);
        if slab.is_empty() {
            self.inbox = None;
        }
        if matches!(read, Poll::Ready(Ok(0))) {
            self.ended = true;
        }
        read
    }

    /// Whether bytes behind the request under way are read.
    pub(crate) fn reads_ahead(&self) -> bool {
        self.reader.is_done() && self.ahead() < AHEAD_MAX
    }

    fn ahead(&self) -> usize {
        self.inbox.as_ref().map_or(0, Slab::len)
    }

    /// Whether the client has gone; `ended` tells whether it has ended its half. What it asks
    /// meanwhile is kept for later, up to a bound: behind it neither is seen at once.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.ended && self.reads_ahead() {
            match self.poll_read_some(AHEAD_MAX - self.ahead(), cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => break,
            }
        }
        self.inbox.as_mut().into_iter().for_each(Slab::shrink);
        false
    }

    /// The next bytes of the request's body.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Slab, Error>>> {
        while !self.reader.is_done() {
            let Some(mut slab) = self.inbox.take() else {
                match self.poll_read(cx) {
                    Poll::Pending if self.late => {
                        return Poll::Ready(Some(Err(Error::ClientSlow)));
                    }
                    Poll::Pending => {
                        if !self.is_tunnel && self.waiting.is_none() {
                            self.waiting = Some(clock::now());
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0)) if self.reader.close().is_ok() => continue,
                    Poll::Ready(_) => return Poll::Ready(Some(Err(Error::ClientBody))),
                }
            };
            (self.waiting, self.late) = (None, false);
            match self.reader.take(&mut slab) {
                Ok(rest) => self.inbox = rest,
                Err(_) => return Poll::Ready(Some(Err(Error::ClientBody))),
            }
            match self.left.checked_sub(slab.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(Error::ClientTooLarge))),
            }
            if !slab.is_empty() {
                return Poll::Ready(Some(Ok(slab)));
            }
        }
        Poll::Ready(None)
    }

    /// Throws away what has come of a body that nobody wants, so that a request which was refused
    /// for another reason does not cost the connection.
    pub(crate) fn discard(&mut self) {
        while !self.reader.is_done()
            && let Some(mut slab) = self.inbox.take()
        {
            match self.reader.take(&mut slab) {
                Ok(rest) => self.inbox = rest,
                // What follows cannot be told from it: the connection ends with this request.
                Err(_) => break,
            }
        }
    }

    /// Throws away what still comes of the body of a request that was answered before it had come.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(piece) = ready!(self.poll_piece(cx)) {
            piece?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once; tells how many bytes the client took.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut io = Pin::new(&mut self.io);
        if self.is_held_back && self.outbox.is_empty() {
            ready!(io.poll_flush(cx))?;
            self.is_held_back = false;
            return Poll::Ready(Ok(0));
        }
        let count = ready!(self.outbox.poll_write(io.as_mut(), cx))?;
        self.is_held_back = io.holds_back();
        Poll::Ready(Ok(count))
    }

    /// Writes once what nothing but the end of the connection follows.
    pub(crate) fn poll_write_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.io.plain() {
            Some(socket) => self.outbox.poll_write_last(socket, cx),
            None => self.poll_write(cx),
        }
    }

    /// Whether all that was to be written is on its way.
    pub(crate) const fn is_written(&self) -> bool {
        self.outbox.is_empty() && !self.is_held_back
    }
}

#[cfg(test)]
mod tests;
