//! A client's connection: requests come in, answers go out, and nothing may take for ever.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::refuse::{self, Bounds};
use super::{Body, Client, Error, Head, Request, Response, ResponseHead, Watch};
use crate::clock;

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
}

/// hyper refuses to work with less.
const BUFFER_MIN: usize = 8192;
const LAST_WORD: Duration = Duration::from_secs(1);
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves the requests of one connection with `service`, until the client leaves, a limit is
/// broken, or `drain` completes and the request under way is answered.
pub async fn serve<I, S, W>(
    io: I,
    client: Client,
    rules: Rc<Rules>,
    drain: impl Future<Output = ()>,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    let pulse = Rc::new(Pulse::new(clock::now()));
    let peer = client.peer;
    let respond = {
        let (pulse, rules) = (Rc::clone(&pulse), Rc::clone(&rules));
        move |request: http::Request<Incoming>| {
            pulse.enter(Phase::Serving);
            respond(request, client.clone(), Rc::clone(&rules), Rc::clone(&pulse), service.clone())
        }
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(rules.header_bytes.max(BUFFER_MIN))
        .max_headers(rules.headers)
        .serve_connection(
            TokioIo::new(Timed { io, pulse: Rc::clone(&pulse) }),
            hyper::service::service_fn(respond),
        );
    let mut connection = connection;
    let ended = {
        let mut drain = pin!(drain);
        let mut draining = false;
        let mut timer = pin!(tokio::time::sleep(rules.first_byte));
        poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Ended::Itself(result));
            }
            if !draining && drain.as_mut().poll(cx).is_ready() {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
                if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(Ended::Itself(result));
                }
            }
            // The timer runs out rarely and is only then set to what it should be: a request does
            // not touch it.
            while timer.as_mut().poll(cx).is_ready() {
                match pulse.left(&rules, clock::now()) {
                    Some(left) => timer.as_mut().reset(clock::now() + left),
                    None => return Poll::Ready(Ended::TooSlow(pulse.phase.get())),
                }
            }
            Poll::Pending
        })
        .await
    };
    match ended {
        Ended::Itself(Ok(())) => {}
        Ended::Itself(Err(error)) => tracing::debug!(%peer, %error, "client"),
        Ended::TooSlow(phase) => {
            tracing::debug!(%peer, ?phase, "client took too long");
            if phase == Phase::Head {
                let mut io = connection.into_parts().io.into_inner().io;
                // A client this slow may not read either.
                let _ = tokio::time::timeout(LAST_WORD, io.write_all(TOO_SLOW)).await;
            }
        }
    }
}

enum Ended {
    Itself(hyper::Result<()>),
    TooSlow(Phase),
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing came yet.
    Fresh,
    /// A head is coming.
    Head,
    /// A request is being served; its own limits hold.
    Serving,
    /// Between two requests.
    Idle,
}

/// What a connection is doing, and since when.
#[derive(Debug)]
struct Pulse {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Since when the client has taken nothing of what is written to it.
    stuck: Cell<Option<Instant>>,
}

impl Pulse {
    const fn new(now: Instant) -> Self {
        Self { phase: Cell::new(Phase::Fresh), since: Cell::new(now), stuck: Cell::new(None) }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        if phase != Phase::Serving {
            self.since.set(clock::now());
        }
    }

    /// Notes whether the client takes what is written to it.
    fn wrote(&self, moved: bool) {
        if moved {
            self.stuck.set(None);
        } else if self.stuck.get().is_none() {
            self.stuck.set(Some(clock::now()));
        }
    }

    /// How much longer the phase may last; `None` when it is over.
    fn left(&self, rules: &Rules, now: Instant) -> Option<Duration> {
        let limit = match self.phase.get() {
            Phase::Fresh => rules.first_byte,
            Phase::Head => rules.head,
            Phase::Idle => rules.idle,
            Phase::Serving => {
                let stuck = self.stuck.get().map(|since| now.duration_since(since));
                let left = rules.stream_idle.checked_sub(stuck.unwrap_or_default());
                let left = left.filter(|left| !left.is_zero())?;
                // A look now and then is enough: the limit that counts begins when it is served.
                return Some(rules.head.min(rules.idle).min(left).max(Duration::from_millis(1)));
            }
        };
        limit.checked_sub(now.duration_since(self.since.get())).filter(|left| !left.is_zero())
    }
}

async fn respond<S, W>(
    request: http::Request<Incoming>,
    client: Client,
    rules: Rc<Rules>,
    pulse: Rc<Pulse>,
    service: S,
) -> Result<http::Response<Outgoing<W>>, Infallible>
where
    S: Service<Request, Response = Response<W>, Error = Infallible>,
    W: Watch,
{
    let (parts, incoming) = request.into_parts();
    let bounds = Bounds { target_bytes: rules.target_bytes, body_bytes: rules.body_bytes };
    if let Err((status, reason)) = refuse::check(&parts, bounds) {
        return Ok(own(status, reason, pulse));
    }
    if parts.uri.path() == "*" {
        return Ok(own(204, "", pulse));
    }
    let head = Head::of(parts);
    let body = Body::of_request(incoming, rules.body_bytes, rules.body_idle);
    let Ok(Response { head, mut body, watch }) =
        service.oneshot(Request { head, body, client }).await;
    if !body.is_done() {
        body.bound_idle(rules.stream_idle);
    }
    let mut outgoing = Outgoing { body, watch, pulse };
    if outgoing.body.is_done() {
        outgoing.finish(Ok(()));
    }
    Ok(head.into_http(outgoing))
}

/// An answer of our own to a request that nobody above gets to see. The connection is closed: what
/// the client sends next may be anything.
fn own<W: Watch>(
    status: u16,
    reason: &'static str,
    pulse: Rc<Pulse>,
) -> http::Response<Outgoing<W>> {
    let mut head = ResponseHead::new(status);
    let mut body = Body::empty();
    if status == 204 {
        head.set_static("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    } else {
        head.set_static("content-type", "text/plain; charset=utf-8");
        head.set_static("connection", "close");
        body = Body::of(Bytes::from_static(reason.as_bytes()));
    }
    head.into_http(Outgoing { body, watch: None, pulse })
}

/// An answer's body on its way to the client; tells its watch how it ended.
struct Outgoing<W: Watch> {
    body: Body,
    watch: Option<W>,
    pulse: Rc<Pulse>,
}

impl<W: Watch> Outgoing<W> {
    fn finish(&mut self, result: Result<(), Error>) {
        if let Some(watch) = self.watch.take() {
            watch.ended(result);
        }
    }
}

impl<W: Watch> Drop for Outgoing<W> {
    fn drop(&mut self) {
        self.pulse.enter(Phase::Idle);
    }
}

impl<W: Watch> Unpin for Outgoing<W> {}

impl<W: Watch> HttpBody for Outgoing<W> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let piece = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &piece {
            None => self.finish(Ok(())),
            Some(Err(error)) => {
                let error = *error;
                self.finish(Err(error));
            }
            Some(Ok(_)) if self.body.is_done() => self.finish(Ok(())),
            Some(Ok(_)) => {}
        }
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Notes when the first byte of a request arrives.
#[derive(Debug)]
struct Timed<I> {
    io: I,
    pulse: Rc<Pulse>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Timed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        if buffer.filled().len() > before
            && matches!(self.pulse.phase.get(), Phase::Fresh | Phase::Idle)
        {
            self.pulse.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Timed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.pulse.wrote(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.pulse.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
