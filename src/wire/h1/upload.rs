//! A request on its way to an upstream: its head and the first piece of its body in one write, and
//! then piece by piece, as fast as the upstream takes it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::chunked;
use super::outbox::Outbox;
use super::slab::Slab;
use crate::wire::{Body, Error};

/// A request that is being sent.
#[derive(Debug)]
pub(crate) struct Upload {
    outbox: Outbox,
    body: Body,
    is_chunked: bool,
    is_tunnel: bool,
    /// Whether all of the body is in the outbox, or has left it.
    is_whole: bool,
    /// Whether any byte of the request has left.
    has_begun: bool,
    /// The length of the first piece of the body, once there is one.
    first_piece: Option<usize>,
    /// Whether the upstream takes no more.
    is_refused: bool,
    is_stuck: bool,
}

impl Default for Upload {
    fn default() -> Self {
        Self {
            outbox: Outbox::default(),
            body: Body::empty(),
            is_chunked: false,
            is_tunnel: false,
            is_whole: true,
            has_begun: false,
            first_piece: None,
            is_refused: false,
            is_stuck: false,
        }
    }
}

impl Upload {
    /// Begins with the bytes of a head.
    pub(crate) fn begin(&mut self, head: Slab, body: Body, is_chunked: bool) {
        // A chunked body has an end to be sent even where nothing is left of it.
        let is_whole = body.is_done() && !is_chunked;
        *self = Self { is_whole, body, is_chunked, ..Self::default() };
        self.outbox.push(head);
    }

    /// From now on all that the client sends is passed on.
    pub(crate) fn begin_tunnel(&mut self, client: Body) {
        let (is_tunnel, is_whole, has_begun) = (true, false, true);
        *self = Self { body: client, is_tunnel, is_whole, has_begun, ..Self::default() };
    }

    /// Lets go of the client.
    pub(crate) fn forget(&mut self) {
        self.body = Body::empty();
    }

    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(crate) const fn has_begun_body(&self) -> bool {
        self.first_piece.is_some()
    }

    /// Nothing more is sent.
    pub(crate) const fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// Whether the upstream takes no more. It may have answered nevertheless.
    pub(crate) const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether the upstream is waited for, in taking more.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Whether all was sent.
    pub(crate) const fn is_sent(&self) -> bool {
        self.is_whole && !self.is_refused && self.outbox.is_empty()
    }

    /// Whether nothing more will be sent.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_refused || self.is_sent() && !self.is_tunnel
    }

    /// The body, where not a byte of the request has left.
    pub(crate) fn take_back(&mut self) -> Option<Body> {
        if self.has_begun {
            return None;
        }
        let mut piece = self.outbox.take_back();
        if let (Some(piece), Some(length)) = (&mut piece, self.first_piece) {
            piece.truncate(length);
        }
        let mut body = std::mem::replace(&mut self.body, Body::empty());
        body.put_back(piece);
        Some(body)
    }

    /// Sends as much as there is and `io` takes; true when that is anything.
    ///
    /// # Errors
    /// Those of the client's body. That the upstream takes no more is none.
    pub(crate) fn poll<I: AsyncWrite>(
        &mut self,
        mut io: Pin<&mut I>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Error> {
        let mut moved = false;
        while !self.is_refused {
            while !self.is_whole && self.outbox.has_room() {
                match self.body.poll_piece(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Err(error))) => return Err(error),
                    Poll::Ready(Some(Ok(piece))) => self.add(piece),
                    Poll::Ready(None) => self.add_end(Slab::new()),
                }
            }
            if self.outbox.is_empty() {
                if self.is_tunnel && self.is_whole {
                    // The client has ended its half. A failure here shows when reading.
                    let _ = io.as_mut().poll_shutdown(cx);
                    self.is_refused = true;
                }
                break;
            }
            match self.outbox.poll_write(io.as_mut(), cx) {
                Poll::Ready(Ok(_)) => {
                    self.has_begun = true;
                    self.is_stuck = false;
                    moved = true;
                }
                Poll::Ready(Err(_)) => {
                    self.is_refused = true;
                    if self.has_begun {
                        self.outbox.clear();
                    }
                }
                Poll::Pending => {
                    self.is_stuck = true;
                    break;
                }
            }
        }
        Ok(moved)
    }

    fn add(&mut self, mut piece: Slab) {
        let ends = self.body.is_done();
        if self.has_begun || self.first_piece.is_some() {
            if self.is_chunked {
                chunked::encode(&mut piece);
            }
            return if ends { self.add_end(piece) } else { self.outbox.push(piece) };
        }
        // It can be taken back as long as its bytes stay together and as they are.
        self.first_piece = Some(piece.len());
        if self.is_chunked {
            let mut line = [0; 18];
            self.outbox.push(Slab::of(chunked::size_line(piece.len(), &mut line)));
            piece.push(b"\r\n");
        }
        if ends {
            self.end(&mut piece);
        }
        self.outbox.push_apart(piece);
    }

    fn add_end(&mut self, mut last: Slab) {
        self.end(&mut last);
        if !last.is_empty() {
            self.outbox.push(last);
        }
    }

    fn end(&mut self, slab: &mut Slab) {
        if self.is_chunked {
            chunked::end(slab, |slab| self.body.write_trailers(slab));
        }
        self.is_whole = true;
    }
}
