//! What follows a head: passed on piece by piece, never collected.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Error;
use super::h1::framing::Framing;
use super::h1::link::Link;
use super::h1::side::Shared;
use super::h1::slab::Slab;
use super::h1::splice::Pipe;
use super::h2::Inbound;

/// A message's body.
pub struct Body(Kind);

enum Kind {
    Bytes(Bytes),
    /// From a client; `back` is what was taken and not sent.
    Client {
        from: Source,
        back: Option<Slab>,
    },
    /// From an upstream, whose connection is given back at the end.
    Upstream {
        link: Option<Box<Link>>,
        framing: Framing,
        trailers: Vec<u8>,
    },
}

enum Source {
    Connection(Shared),
    Stream(Box<Inbound>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bytes(_) => "Body::Bytes",
            Kind::Client { .. } => "Body::Client",
            Kind::Upstream { .. } => "Body::Upstream",
        })
    }
}

impl Source {
    fn is_done(&self) -> bool {
        match self {
            Self::Connection(side) => side.borrow().reader.is_done(),
            Self::Stream(inbound) => inbound.is_done(),
        }
    }
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Bytes(Bytes::new()))
    }

    /// A body of our own.
    pub const fn of(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }

    /// What comes over a connection of HTTP/1.1.
    pub(super) const fn of_client(side: Shared) -> Self {
        Self(Kind::Client { from: Source::Connection(side), back: None })
    }

    /// What comes over a stream of HTTP/2.
    pub(super) const fn of_stream(inbound: Box<Inbound>) -> Self {
        Self(Kind::Client { from: Source::Stream(inbound), back: None })
    }

    /// The body of the answer that came over `link`.
    pub(super) fn of_upstream(link: Box<Link>, framing: Framing) -> Self {
        let mut body = Self(Kind::Upstream { link: Some(link), framing, trailers: Vec::new() });
        body.end();
        body
    }

    /// Bounds the wait for the whole.
    pub fn bound(&mut self, deadline: Instant) {
        if let Kind::Upstream { link: Some(link), .. } = &mut self.0 {
            link.bound(deadline);
        }
    }

    /// Bounds the wait for each piece.
    pub(super) fn bound_idle(&mut self, limit: Duration) {
        if let Kind::Upstream { link: Some(link), .. } = &mut self.0 {
            link.bound_idle(limit);
        }
    }

    /// Bounds how much of it is read at once.
    pub(super) fn read_at_most(&mut self, bytes: usize) {
        if let Kind::Upstream { link: Some(link), .. } = &mut self.0 {
            link.read_at_most(bytes);
        }
    }

    /// Whether there is nothing (more) in it.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.is_empty(),
            Kind::Client { from, back } => back.is_none() && from.is_done(),
            Kind::Upstream { link, .. } => link.is_none(),
        }
    }

    /// How it was framed when it came, or would best be.
    pub(super) fn framing(&self) -> Framing {
        match &self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Framing::None,
            Kind::Bytes(bytes) => Framing::Length(bytes.len() as u64),
            // Its head says how it goes on.
            Kind::Client { .. } => Framing::Chunked,
            Kind::Upstream { framing, .. } => *framing,
        }
    }

    /// The next bytes; `None` after the last.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Slab, Error>>> {
        match &mut self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Bytes(bytes) => Poll::Ready(Some(Ok(Slab::of(&std::mem::take(bytes))))),
            Kind::Client { from, back } => match (back.take(), from) {
                (Some(piece), _) => Poll::Ready(Some(Ok(piece))),
                (None, Source::Connection(side)) => side.borrow_mut().poll_piece(cx),
                (None, Source::Stream(inbound)) => inbound.poll_piece(cx),
            },
            Kind::Upstream { link, .. } => {
                let Some(link) = link else { return Poll::Ready(None) };
                let piece = link.poll_piece(cx);
                if matches!(piece, Poll::Ready(None | Some(Ok(_)))) {
                    self.end();
                }
                piece
            }
        }
    }

    /// Whether an upstream may still be sent the rest of the request.
    pub(super) const fn may_upload(&self) -> bool {
        matches!(self.0, Kind::Upstream { link: Some(_), .. })
    }

    /// How many bytes can be moved by [`Self::poll_into`].
    pub(super) fn unread(&self) -> Option<u64> {
        match &self.0 {
            Kind::Upstream { link: Some(link), .. } => link.unread(),
            _ => None,
        }
    }

    /// Moves the next bytes into `pipe`.
    pub(super) fn poll_into(
        &mut self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Kind::Upstream { link: Some(link), .. } = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let moved = link.poll_into(pipe, cx);
        if matches!(moved, Poll::Ready(Ok(()))) {
            self.end();
        }
        moved
    }

    /// Goes on sending a request whose answer has begun, while the answer's body is not asked for.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Upstream { link: Some(link), .. } => link.poll_upload(cx),
            _ => Ok(()),
        }
    }

    /// Takes back a piece that could not be sent.
    pub(super) fn put_back(&mut self, piece: Option<Slab>) {
        if let Kind::Client { back, .. } = &mut self.0 {
            *back = piece;
        }
    }

    /// The trailers of an upstream's answer that has ended, as whole lines.
    pub(super) fn trailers(&self) -> &[u8] {
        match &self.0 {
            Kind::Upstream { trailers, .. } => trailers,
            Kind::Bytes(_) | Kind::Client { .. } => &[],
        }
    }

    /// Writes the trailers of a body that has ended, as whole lines.
    pub(super) fn write_trailers(&self, out: &mut Slab) {
        match &self.0 {
            Kind::Client { from: Source::Connection(side), .. } => {
                out.push(side.borrow().reader.trailers());
            }
            Kind::Client { from: Source::Stream(inbound), .. } => out.push(inbound.trailers()),
            Kind::Bytes(_) | Kind::Upstream { .. } => out.push(self.trailers()),
        }
    }

    /// Lets go of the upstream's connection where the answer has ended.
    fn end(&mut self) {
        if let Kind::Upstream { link, trailers, .. } = &mut self.0
            && let Some(done) = link.take_if(|link| link.is_answered())
        {
            trailers.extend_from_slice(done.trailers());
            done.end();
        }
    }
}
