//! What a client's connection is doing, step by step.
//!
//! ```text
//!   Fresh -> Head -> Serving -> Answering -> Idle -> Head ...
//!                 \-> Answering (a refusal)       \-> Leaving
//! ```

mod limits;

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower::Service;

use super::alarm::Alarm;
use super::answer::{Answer, Progress};
use super::framing::{Asked, Refusal};
use super::parse;
use super::side::Shared;
use crate::clock;
use crate::wire::caller::Caller;
use crate::wire::head::{Head, Taken};
use crate::wire::server::{Server, Slot};
use crate::wire::{Body, Client, Request, Response, Watch, h2, own, turn};

/// How long what a refused client still sends is thrown away, so that it can read why.
const LINGER: Duration = Duration::from_secs(2);
/// How long a connection that was just accepted may stay silent when we are to end.
const FRESH_GRACE: Duration = Duration::from_secs(1);
/// How long a client may have ended its half before it is found out whether it still listens.
pub(in crate::wire) const PROBE_AFTER: Duration = Duration::from_millis(250);
/// How often it is found out again.
pub(in crate::wire) const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How many requests that wait for nobody are answered before the other connections have their turn.
const ANSWERS_AT_ONCE: u32 = 16;
const NOTHING_ASKED: Asked = Asked { is_head: false, is_1_1: true, keep: false, trailers: false };

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing has come yet.
    Fresh,
    /// A head is coming.
    Head,
    /// A request is being served; its own limits hold.
    Serving,
    Answering,
    /// Between two requests.
    Idle,
    /// All is said; what the client still sends is thrown away.
    Leaving,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::wire) enum End {
    /// It is to be closed.
    Closed,
    /// It speaks HTTP/2. What has come of that is in the inbox.
    Http2,
}

pub(in crate::wire) struct Connection<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    service: S,
    client: Client,
    side: Shared,
    state: State,
    /// Since when the next request has been waited for.
    since: Option<Instant>,
    /// How much of half a head has been looked at.
    looked_at: usize,
    /// Whether the first bytes may be the preface of HTTP/2.
    sniffs: bool,
    asked: Asked,
    /// Whether the body of the request may never come.
    awaits_100: bool,
    call: Option<Slot<S::Future>>,
    answer: Option<Answer<W>>,
    /// Since when the client has taken nothing of what is written to it.
    stuck: Option<Instant>,
    /// Since when a client that ended its half has been told nothing.
    hush: Option<Instant>,
    /// When a client is looked after that ended its half, or is not read from.
    probe: Option<Instant>,
    /// When it was last told something to that end.
    probed: Option<Instant>,
    /// Whether it may be reading its answer for a while.
    is_long: bool,
    is_draining: bool,
    is_shut: bool,
    /// When it ends, whatever it is doing.
    end: Option<Instant>,
    alarm: Alarm,
}

impl<S, W> Connection<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    pub(in crate::wire) fn new(
        server: Rc<Server<S>>,
        side: Shared,
        client: Client,
        sniffs: bool,
    ) -> Self {
        let service = server.service();
        Self {
            server,
            service,
            client,
            side,
            state: State::Fresh,
            since: Some(clock::now()),
            looked_at: 0,
            sniffs,
            asked: NOTHING_ASKED,
            awaits_100: false,
            call: None,
            answer: None,
            stuck: None,
            hush: None,
            probe: None,
            probed: None,
            is_long: false,
            is_draining: false,
            is_shut: false,
            end: None,
            alarm: Alarm::default(),
        }
    }

    /// What goes on where another protocol is spoken.
    pub(in crate::wire) fn parts(&self) -> (Rc<Server<S>>, Shared, Client) {
        (Rc::clone(&self.server), Rc::clone(&self.side), self.client.clone())
    }

    pub(in crate::wire) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The connection should end as soon as nothing is lost by it.
    pub(in crate::wire) fn drain(&mut self) {
        self.is_draining = true;
        if self.state == State::Fresh {
            self.end = Some(clock::now() + FRESH_GRACE);
        }
    }

    /// Completes when the connection is to be closed, or speaks another protocol.
    pub(in crate::wire) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut answers = 0;
        loop {
            let next = match self.state {
                State::Fresh | State::Head | State::Idle => self.poll_request(cx),
                State::Serving => self.poll_service(cx),
                State::Answering => self.poll_answer(cx),
                State::Leaving => self.poll_leave(cx),
            };
            match next {
                Poll::Ready(Ok(state)) => {
                    self.state = state;
                    answers += u32::from(state == State::Answering);
                    if answers == ANSWERS_AT_ONCE {
                        turn::pass(cx);
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {
                    let Some((limit, at)) = self.next_limit() else { return Poll::Pending };
                    ready!(self.alarm.poll_until(at, cx));
                    if !self.goes_on_after(limit, cx) {
                        return Poll::Ready(End::Closed);
                    }
                }
            }
        }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        ready!(self.service.poll_ready(cx)).unwrap_or_else(|never| match never {});
        match self.side.borrow_mut().poll_rest(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Pending if !self.is_draining => return Poll::Pending,
            Poll::Pending | Poll::Ready(Err(_)) => return Poll::Ready(Ok(State::Leaving)),
        }
        let limits = self.server.rules.head_limits();
        loop {
            let mut side = self.side.borrow_mut();
            if let Some(slab) = &mut side.inbox {
                let preface = if self.sniffs { h2::preface(slab.data()) } else { None };
                self.sniffs = preface.is_some();
                if preface == Some(true) {
                    return Poll::Ready(Err(End::Http2));
                }
                let blank = parse::blank(slab.data());
                slab.advance(blank);
                self.looked_at = self.looked_at.saturating_sub(blank);
                let bytes = slab.data();
                // Half a head is looked at again when another line of it has come.
                let news = bytes.get(self.looked_at..).unwrap_or_default();
                let has_line = news.contains(&b'\n') || bytes.len() >= limits.bytes;
                if has_line && preface.is_none() {
                    let rules = &self.server.rules;
                    let taken = if rules.http1 {
                        Head::take(bytes, &limits, rules.body_bytes)
                    } else {
                        Err(Refusal::VERSION)
                    };
                    match taken {
                        Ok(None) => {}
                        Ok(Some(taken)) => {
                            slab.advance(taken.used);
                            drop(side);
                            return Poll::Ready(Ok(self.begin(taken)));
                        }
                        Err(refusal) => {
                            drop(side);
                            return Poll::Ready(Ok(self.refuse(refusal)));
                        }
                    }
                }
                self.looked_at = if preface.is_none() { slab.len() } else { 0 };
                if slab.is_empty() {
                    side.inbox = None;
                }
            }
            match side.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                // Over TLS a farewell is answered by one (RFC 8446 §6.1).
                Poll::Ready(Ok(_)) if side.io.plain().is_none() => {
                    return Poll::Ready(Ok(State::Leaving));
                }
                Poll::Ready(_) => return Poll::Ready(Err(End::Closed)),
                Poll::Pending => {
                    if let Some(slab) = &mut side.inbox {
                        slab.shrink();
                        if self.state != State::Head {
                            (self.state, self.since) = (State::Head, Some(clock::now()));
                        }
                    } else if self.is_draining && self.state == State::Idle {
                        return Poll::Ready(Ok(State::Leaving));
                    } else if self.since.is_none() {
                        self.since = Some(clock::now());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// A request has come.
    fn begin(&mut self, taken: Taken) -> State {
        let Taken { mut head, framing, asked, is_for_us, .. } = taken;
        (self.since, self.looked_at, self.end) = (None, 0, None);
        self.probed = None;
        let mut side = self.side.borrow_mut();
        side.inbox.take_if(|slab| slab.is_empty());
        side.begin(framing, self.server.rules.body_bytes);
        let has_body = !side.reader.is_done();
        drop(side);
        self.asked = Asked { keep: asked.keep && !self.is_draining, ..asked };
        self.awaits_100 = head.awaits_100();
        if is_for_us {
            return self.say(own::allowed());
        }
        head.set_caller(Caller::Connection(Rc::clone(&self.side)));
        let body = if has_body { Body::of_client(Rc::clone(&self.side)) } else { Body::empty() };
        let request = Request { head, body, client: self.client.clone() };
        let mut slot = self.server.slot();
        slot.set(Some(self.service.call(request)));
        self.call = Some(slot);
        State::Serving
    }

    /// Tells the client why nobody above gets to see its request.
    fn refuse(&mut self, refusal: Refusal) -> State {
        tracing::debug!(peer = %self.client.peer, status = refusal.status, reason = refusal.reason.trim_end(), "refused");
        self.asked = NOTHING_ASKED;
        self.say(own::refusal(refusal))
    }

    fn poll_service(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        let Some(slot) = &mut self.call else { return Poll::Ready(Err(End::Closed)) };
        let Some(call) = slot.as_mut().as_pin_mut() else { return Poll::Ready(Err(End::Closed)) };
        match call.poll(cx) {
            Poll::Ready(Ok(response)) => {
                if let Some(slot) = self.call.take() {
                    self.server.give_back(slot);
                }
                Poll::Ready(Ok(self.say(response)))
            }
            Poll::Pending => {
                let mut side = self.side.borrow_mut();
                while !side.is_written() {
                    match side.poll_write(cx) {
                        Poll::Ready(Ok(_)) => self.stuck = None,
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Closed)),
                        Poll::Pending => {
                            self.stuck.get_or_insert_with(clock::now);
                            break;
                        }
                    }
                }
                // Whoever hangs up takes its request along.
                if side.is_gone(cx) {
                    return Poll::Ready(Err(End::Closed));
                }
                if side.ended || !side.reads_ahead() {
                    self.probe.get_or_insert_with(|| clock::now() + PROBE_AFTER);
                }
                Poll::Pending
            }
        }
    }

    /// An answer begins.
    fn say(&mut self, response: Response<W>) -> State {
        self.probe = None;
        let stream_idle = self.server.rules.stream_idle;
        let mut side = self.side.borrow_mut();
        let is_clear = side.reader.is_done() || !self.awaits_100;
        let keep = self.asked.keep && is_clear && !self.is_draining;
        let asked = Asked { keep, ..self.asked };
        self.answer = Some(Answer::new(response, asked, stream_idle, &mut side));
        State::Answering
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(End::Closed)) };
        let kept = match answer.poll(&self.side, cx) {
            Progress::Waits { moved } => {
                self.stuck = None;
                if moved {
                    self.hush = None;
                }
                return self.poll_listener(cx);
            }
            Progress::Stuck { moved } => {
                self.hush = None;
                if moved {
                    self.stuck = None;
                }
                self.stuck.get_or_insert_with(clock::now);
                return Poll::Pending;
            }
            Progress::Gone => return Poll::Ready(Err(End::Closed)),
            Progress::Done { keep } => keep,
        };
        self.is_long = self.answer.take().is_some_and(|answer| answer.is_long());
        (self.stuck, self.hush, self.probe) = (None, None, None);
        Poll::Ready(Ok(if kept { State::Idle } else { State::Leaving }))
    }

    /// Notices a client that goes while its answer stands still.
    fn poll_listener(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        let mut side = self.side.borrow_mut();
        if side.is_gone(cx) {
            return Poll::Ready(Err(End::Closed));
        }
        if side.ended {
            self.hush.get_or_insert_with(clock::now);
        } else if !side.reads_ahead() {
            self.probe.get_or_insert_with(|| clock::now() + PROBE_AFTER);
        }
        Poll::Pending
    }

    /// Ends the connection so that the client can read all that was written to it: a socket that
    /// is closed with bytes unread takes back what it has sent.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        let mut side = self.side.borrow_mut();
        if !self.is_shut {
            // Closing alone would throw away the last bytes if one had come that was not read.
            let is_read = side.reader.is_done() && side.inbox.is_none() && !self.is_long;
            if Pin::new(&mut side.io).poll_shutdown(cx).is_pending() {
                // Over TLS a farewell is written, and the client has to take it.
                self.end.get_or_insert_with(|| clock::now() + LINGER);
                return Poll::Pending;
            }
            self.is_shut = true;
            let linger = clock::now() + LINGER;
            self.end = Some(self.end.map_or(linger, |end| end.min(linger)));
            if is_read {
                return Poll::Ready(Err(End::Closed));
            }
        }
        loop {
            side.inbox = None;
            if !matches!(ready!(side.poll_read(cx)), Ok(1..)) {
                return Poll::Ready(Err(End::Closed));
            }
        }
    }
}
