//! What follows a head: passed on piece by piece, never collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::Error;
use super::client::Lease;
use crate::clock;

/// How long an upstream may take for a piece of an answer that is late already.
const LATE_PIECE: Duration = Duration::from_secs(1);
/// Later than any limit.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// When the last byte of a client's body was handed over to the upstream's connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload(Rc<Cell<Option<Instant>>>);

impl Upload {
    fn end(&self) {
        if self.0.get().is_none() {
            self.0.set(Some(clock::now()));
        }
    }

    /// When, if it has been.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.0.get()
    }
}

/// A message's body.
#[derive(Debug)]
pub struct Body {
    kind: Kind,
    idle: Option<IdleLimit>,
}

#[derive(Debug)]
enum Kind {
    Bytes(Bytes),
    /// From a client; `left` is how many more bytes are taken.
    Request {
        incoming: Incoming,
        left: u64,
        upload: Upload,
    },
    /// From an upstream, whose connection is given back at the end.
    Response {
        incoming: Incoming,
        lease: Option<Lease>,
    },
}

/// Bounds the wait for the next piece, and the whole.
#[derive(Debug)]
struct IdleLimit {
    limit: Duration,
    deadline: Option<Instant>,
    /// Armed at the first wait: most bodies never wait.
    sleep: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self { kind: Kind::Bytes(Bytes::new()), idle: None }
    }

    /// A body of our own.
    pub const fn of(bytes: Bytes) -> Self {
        Self { kind: Kind::Bytes(bytes), idle: None }
    }

    pub(super) fn of_request(incoming: Incoming, bytes_max: u64, idle: Duration) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        let limit = IdleLimit { limit: idle, deadline: None, sleep: None, moved: true };
        Self {
            kind: Kind::Request { incoming, left: bytes_max, upload: Upload::default() },
            idle: Some(limit),
        }
    }

    pub(super) fn of_response(incoming: Incoming, lease: Lease) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self { kind: Kind::Response { incoming, lease: None }, idle: None };
        }
        Self { kind: Kind::Response { incoming, lease: Some(lease) }, idle: None }
    }

    /// Bounds the wait for the whole.
    pub fn bound(&mut self, deadline: Instant) {
        let limit = Duration::MAX;
        self.idle = Some(IdleLimit { limit, deadline: Some(deadline), sleep: None, moved: true });
    }

    /// Bounds the wait for each piece.
    pub(super) fn bound_idle(&mut self, limit: Duration) {
        match &mut self.idle {
            Some(idle) => idle.limit = limit,
            None => {
                self.idle = Some(IdleLimit { limit, deadline: None, sleep: None, moved: true });
            }
        }
    }

    /// Tells when the last byte of a client's body was handed over; nothing where there is none.
    pub(super) fn upload(&self) -> Option<Upload> {
        match &self.kind {
            Kind::Request { upload, .. } => Some(upload.clone()),
            _ => None,
        }
    }

    /// Whether there is nothing (more) in it.
    pub fn is_done(&self) -> bool {
        self.is_end_stream()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.kind {
            Kind::Bytes(bytes) if bytes.has_remaining() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Kind::Bytes(_) => Poll::Ready(None),
            Kind::Request { incoming, left, upload } => {
                let piece = Pin::new(&mut *incoming).poll_frame(cx);
                if matches!(piece, Poll::Ready(None | Some(Err(_)))) || incoming.is_end_stream() {
                    upload.end();
                }
                piece.map(|piece| match piece? {
                    Err(_) => Some(Err(Error::ClientBody)),
                    Ok(frame) => {
                        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                        match left.checked_sub(length) {
                            None => Some(Err(Error::ClientTooLarge)),
                            Some(rest) => {
                                *left = rest;
                                Some(Ok(frame))
                            }
                        }
                    }
                })
            }
            Kind::Response { incoming, lease } => {
                let piece = Pin::new(&mut *incoming).poll_frame(cx);
                let ended = matches!(piece, Poll::Ready(None))
                    || (matches!(piece, Poll::Ready(Some(Ok(_)))) && incoming.is_end_stream());
                if ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                piece.map(|piece| piece.map(|piece| piece.map_err(|_| Error::Truncated)))
            }
        }
    }
}

impl IdleLimit {
    /// Completes when the wait has been too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = |now: Instant| {
            // Past its deadline an answer is cut off only while the upstream is waited for: a client
            // that reads slowly makes it late through no fault of the pool.
            let deadline = self.deadline.map(|deadline| deadline.max(now + LATE_PIECE));
            match (now.checked_add(self.limit), deadline) {
                (Some(idle), Some(deadline)) => idle.min(deadline),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => now + FAR,
            }
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if self.moved {
                    sleep.as_mut().reset(at(clock::now()));
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(at(clock::now())))),
        };
        self.moved = false;
        sleep.as_mut().poll(cx)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let piece = self.poll_piece(cx);
        let too_slow = match &self.kind {
            Kind::Request { .. } => Error::ClientSlow,
            _ => Error::Timeout,
        };
        let Some(idle) = &mut self.idle else { return piece };
        if piece.is_ready() {
            idle.moved = true;
            return piece;
        }
        idle.poll(cx).map(|()| Some(Err(too_slow)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Bytes(bytes) => bytes.is_empty(),
            Kind::Request { incoming, .. } | Kind::Response { incoming, .. } => {
                incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Request { incoming, .. } | Kind::Response { incoming, .. } => {
                incoming.size_hint()
            }
        }
    }
}
