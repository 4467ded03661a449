//! What serves clients: the rules of a listener, and which protocol a connection speaks.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tower::Service;

use super::h1::connection::{Connection, End};
use super::h1::parse::HeadLimits;
pub use super::h1::side::Io;
use super::h1::side::{Shared, Side};
use super::{Client, Request, Response, Watch, h2};

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1, and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What one listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two pieces of a response's body.
    pub stream_idle: Duration,
    /// Whether HTTP/1.1 is served.
    pub http1: bool,
    /// Whether HTTP/2 is served.
    pub http2: bool,
    /// Streams that a client may have open on a connection of HTTP/2.
    pub h2_streams: u32,
}

impl Rules {
    pub(in crate::wire) const fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            fields: self.headers,
            bytes: self.header_bytes,
            target_bytes: self.target_bytes,
        }
    }
}

/// A connection, by what is spoken on it.
#[expect(
    clippy::large_enum_variant,
    reason = "most speak HTTP/1.1, and another box costs each of them"
)]
enum Speaks<S: Service<Request>, W> {
    Http1(Connection<S, W>),
    /// In a box, so that a connection of HTTP/1.1 has no room for it.
    Http2(Box<h2::Connection<S, W>>),
}

/// Nothing in it is pinned in place: the future of a request has a place of its own.
impl<S: Service<Request>, W> Unpin for Speaks<S, W> {}

impl<S, W> Speaks<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    fn http2(server: Rc<Server<S>>, side: Shared, client: Client) -> Self {
        Self::Http2(Box::new(h2::Connection::new(server, side, client)))
    }

    const fn is_draining(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_draining(),
            Self::Http2(connection) => connection.is_draining(),
        }
    }

    fn drain(&mut self) {
        match self {
            Self::Http1(connection) => connection.drain(),
            Self::Http2(connection) => connection.drain(),
        }
    }
}

/// A pinned place for the future of a request, used by one connection after another.
pub(super) type Slot<F> = Pin<Box<Option<F>>>;

/// How many places a server keeps for later.
const SPARE_MAX: usize = 1024;

/// What serves the connections of one port on one worker.
pub struct Server<S: Service<Request>> {
    pub(super) rules: Rules,
    service: S,
    /// Idle connections have no future, so that their tasks are small.
    spare: RefCell<Vec<Slot<S::Future>>>,
}

impl<S: Service<Request>> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl<S, W> Server<S>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    /// Serves requests with `service`, within `rules`.
    pub fn new(rules: Rules, service: S) -> Rc<Self> {
        Rc::new(Self { rules, service, spare: RefCell::default() })
    }

    /// Serves the requests of one connection, until the client leaves, a limit is broken, or
    /// `drain` completes and the requests under way are answered. Where no protocol was `agreed`
    /// on, the first bytes tell: whoever speaks HTTP/2 begins with its preface (RFC 9113 §3.3).
    ///
    /// An idle connection is little more than this future, so it is put together here and not by
    /// `async`, which would keep a second place for whatever is moved on.
    pub fn serve<I: Io + 'static>(
        self: Rc<Self>,
        io: I,
        client: Client,
        agreed: Option<Protocol>,
        mut drain: impl Future<Output = ()> + Unpin,
    ) -> impl Future<Output = ()> + Unpin {
        let side: Shared = Rc::new(RefCell::new(Side::new(io)));
        let sniffs = agreed.is_none() && self.rules.http2;
        let mut speaks = match agreed {
            Some(Protocol::Http2) => Speaks::http2(self, side, client),
            _ => Speaks::Http1(Connection::new(self, side, client, sniffs)),
        };
        poll_fn(move |cx| {
            if !speaks.is_draining() && Pin::new(&mut drain).poll(cx).is_ready() {
                speaks.drain();
            }
            loop {
                match &mut speaks {
                    Speaks::Http2(connection) => return connection.poll(cx),
                    Speaks::Http1(connection) => match ready!(connection.poll(cx)) {
                        End::Closed => return Poll::Ready(()),
                        End::Http2 => {
                            let (server, side, client) = connection.parts();
                            let is_draining = connection.is_draining();
                            speaks = Speaks::http2(server, side, client);
                            if is_draining {
                                speaks.drain();
                            }
                        }
                    },
                }
            }
        })
    }

    pub(super) fn service(&self) -> S {
        self.service.clone()
    }

    pub(super) fn slot(&self) -> Slot<S::Future> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Box::pin(None))
    }

    pub(super) fn give_back(&self, mut slot: Slot<S::Future>) {
        slot.set(None);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(slot);
        }
    }
}
