//! What the frames are read from and written to. The h2 crate writes each answer by itself; what
//! comes together in one turn is collected here and leaves in one write, and under TLS in one
//! record.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Meter;
use super::preface::PREFACE;
use crate::clock;
use crate::wire::h1::side::Shared;
use crate::wire::h1::slab::Slab;

/// A client's connection as its frames see it.
#[derive(Clone)]
pub(super) struct Cork(Rc<RefCell<Inner>>);

struct Inner {
    side: Shared,
    /// What is to be written.
    held: Option<Slab>,
    meter: Meter,
    /// Whether the client has taken anything since that was last asked.
    has_moved: bool,
    /// Whether anything has come.
    has_begun: bool,
    is_flooded: bool,
}

impl Cork {
    pub(super) fn new(side: Shared) -> Self {
        let meter = Meter::new(PREFACE.len());
        let (has_moved, has_begun, is_flooded) = (false, false, false);
        let inner = Inner { side, held: None, meter, has_moved, has_begun, is_flooded };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// Whether anything has come.
    pub(super) fn has_begun(&self) -> bool {
        self.0.borrow().has_begun
    }

    /// Whether a frame has come.
    pub(super) fn has_greeted(&self) -> bool {
        self.0.borrow().meter.has_greeted()
    }

    /// Whether the rest of something is to come that is no body.
    pub(super) fn is_amid(&self) -> bool {
        self.0.borrow().meter.is_amid()
    }

    /// Whether the request on `stream` is to be refused for a path, its own or one before it.
    pub(super) fn is_tainted(&self, stream: u32) -> bool {
        self.0.borrow().meter.is_tainted(stream)
    }

    /// Whether the client sends too many frames that carry nothing.
    pub(super) fn is_flooded(&self) -> bool {
        self.0.borrow().is_flooded
    }

    /// Whether the client has taken anything since this was last asked.
    pub(super) fn take_moved(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().has_moved)
    }

    /// Writes all that was collected.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_drain(cx)
    }

    /// Reads and throws away. 0 means that nothing more will come.
    pub(super) fn poll_waste(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let inner = self.0.borrow();
        let mut side = inner.side.borrow_mut();
        side.inbox = None;
        side.poll_read(cx)
    }
}

impl Inner {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(held) = &mut self.held else { return Poll::Ready(Ok(())) };
        let io = &mut self.side.borrow_mut().io;
        while !held.is_empty() {
            match ready!(Pin::new(&mut *io).poll_write(cx, held.data()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    held.advance(count);
                    self.has_moved = true;
                }
            }
        }
        // TLS may hold some of it.
        ready!(Pin::new(io).poll_flush(cx))?;
        self.held = None;
        Poll::Ready(Ok(()))
    }

    /// By way of the worker's own buffer, which is large and warm: TLS would fill all of `into` with
    /// zeros first.
    fn read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut side = self.side.borrow_mut();
        // What came before it was known to be HTTP/2 is there already.
        if side.inbox.is_none() {
            ready!(side.poll_read(cx))?;
        }
        if let Some(slab) = &mut side.inbox {
            let count = slab.len().min(into.remaining());
            into.put_slice(&slab.data()[..count]);
            slab.advance(count);
            side.inbox.take_if(|slab| slab.is_empty());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Cork {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        let before = into.filled().len();
        ready!(inner.read(cx, into))?;
        let news = &into.filled()[before..];
        inner.has_begun |= !news.is_empty();
        let points = inner.meter.see(news);
        if points > 0 {
            inner.is_flooded |= inner.meter.charge(points, clock::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cork {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        let is_full = |slab: &Slab| !slab.is_empty() && !slab.has_room(bytes.len());
        if inner.held.as_ref().is_some_and(is_full) {
            ready!(inner.poll_drain(cx))?;
        }
        // One that TLS has emptied and not flushed is begun anew, or it would grow.
        inner.held.take_if(|slab| slab.is_empty());
        inner.held.get_or_insert_with(Slab::new).push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            match self.as_mut().poll_write(cx, part) {
                Poll::Ready(Ok(written)) => count += written,
                Poll::Pending if count > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The connection's task drains at the end of its turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_drain(cx))?;
        let mut side = inner.side.borrow_mut();
        Pin::new(&mut side.io).poll_shutdown(cx)
    }
}
