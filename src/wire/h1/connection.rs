//! What a client's connection is doing, step by step.
//!
//! ```text
//!   Fresh -> Head -> Serving -> Answering -> Idle -> Head ...
//!                 \-> Answering (a refusal)       \-> Leaving
//! ```

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower::Service;

use super::alarm::{Alarm, Limit};
use super::answer::{Answer, Progress};
use super::framing::{Asked, Refusal};
use super::parse;
use super::server::{Server, Slot};
use super::side::{Io, Shared, Side};
use super::slab::Slab;
use crate::clock;
use crate::wire::head::{Head, Taken};
use crate::wire::{Body, Client, Request, Response, ResponseHead, Watch};

/// How long a client that is told to go may take to read it.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long what a refused client still sends is thrown away, so that it can read why.
const LINGER: Duration = Duration::from_secs(2);
/// How long a connection that was just accepted may stay silent when we are to end.
const FRESH_GRACE: Duration = Duration::from_secs(1);
/// How long a client may have ended its half before it is found out whether it still listens.
const PROBE_AFTER: Duration = Duration::from_millis(250);
/// To a client that ended its half, which may have gone or still listen: one that has gone refuses
/// it. It means that the request is being served (RFC 2518 §10.1), and clients skip what they do
/// not know of the interim answers (RFC 9110 §15.2).
const PROBE: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
const SLOW: Refusal = Refusal { status: 408, reason: "the request's head took too long\n" };
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

pub(super) struct Connection<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    service: S,
    client: Client,
    side: Shared,
    state: State,
    /// Since when the next request has been waited for.
    since: Option<Instant>,
    /// How much of half a head has been looked at.
    looked_at: usize,
    asked: Asked,
    call: Option<Slot<S::Future>>,
    answer: Option<Answer<W>>,
    /// Since when the client has taken nothing of what is written to it.
    stuck: Option<Instant>,
    /// When a client that ended its half is looked after.
    probe: Option<Instant>,
    was_probed: bool,
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
    pub(super) fn new<I: Io + 'static>(server: Rc<Server<S>>, io: I, client: Client) -> Self {
        let service = server.service();
        Self {
            server,
            service,
            client,
            side: Rc::new(RefCell::new(Side::new(io))),
            state: State::Fresh,
            since: Some(clock::now()),
            looked_at: 0,
            asked: NOTHING_ASKED,
            call: None,
            answer: None,
            stuck: None,
            probe: None,
            was_probed: false,
            is_draining: false,
            is_shut: false,
            end: None,
            alarm: Alarm::default(),
        }
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The connection should end as soon as nothing is lost by it.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        if self.state == State::Fresh {
            self.end = Some(clock::now() + FRESH_GRACE);
        }
    }

    /// Completes when the connection is to be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match self.state {
                State::Fresh | State::Head | State::Idle => self.poll_request(cx),
                State::Serving => self.poll_service(cx),
                State::Answering => self.poll_answer(cx),
                State::Leaving => self.poll_leave(cx),
            };
            match next {
                Poll::Ready(Some(state)) => self.state = state,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {
                    let Some((limit, at)) = self.next_limit() else { return Poll::Pending };
                    ready!(self.alarm.poll_until(at, cx));
                    if !self.is_over(limit) {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// What is too long next, and when.
    fn next_limit(&self) -> Option<(Limit, Instant)> {
        let rules = &self.server.rules;
        let request = match self.state {
            State::Fresh => Some(rules.first_byte),
            State::Head => Some(rules.head),
            State::Idle => Some(rules.idle),
            State::Serving | State::Answering | State::Leaving => None,
        };
        let body = self.side.borrow().waiting;
        [
            (Limit::End, self.end),
            (Limit::Request, request.and_then(|limit| Some(self.since? + limit))),
            (Limit::Body, body.map(|since| since + rules.body_idle)),
            (Limit::Stuck, self.stuck.map(|since| since + rules.stream_idle)),
            (Limit::Probe, self.probe),
        ]
        .into_iter()
        .filter_map(|(limit, at)| Some((limit, at?)))
        .min_by_key(|(_, at)| *at)
    }

    /// Something took too long; false when that is the end.
    fn is_over(&mut self, limit: Limit) -> bool {
        let peer = self.client.peer;
        match limit {
            Limit::Request if self.state == State::Head => {
                tracing::debug!(%peer, "a head took too long");
                // A client this slow may not read either.
                self.end = Some(clock::now() + LAST_WORD);
                self.state = self.refuse(SLOW);
                true
            }
            // Over TLS an end without a farewell looks like an attack.
            Limit::Request if self.state == State::Idle => {
                self.state = State::Leaving;
                true
            }
            Limit::Body => {
                let mut side = self.side.borrow_mut();
                (side.waiting, side.late) = (None, true);
                true
            }
            Limit::Probe => self.look_after_client(),
            Limit::Request | Limit::Stuck | Limit::End => {
                tracing::debug!(%peer, ?limit, state = ?self.state, "a client took too long");
                false
            }
        }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<State>> {
        ready!(self.service.poll_ready(cx)).unwrap_or_else(|never| match never {});
        let limits = self.server.rules.head_limits();
        loop {
            let mut side = self.side.borrow_mut();
            if let Some(slab) = &mut side.inbox {
                slab.advance(parse::blank(slab.data()));
                let bytes = slab.data();
                // Half a head is looked at again when another line of it has come.
                let news = bytes.get(self.looked_at..).unwrap_or_default();
                if news.contains(&b'\n') || bytes.len() >= limits.bytes {
                    match Head::take(bytes, &limits, self.server.rules.body_bytes) {
                        Ok(None) => {}
                        Ok(Some(taken)) => {
                            slab.advance(taken.used);
                            drop(side);
                            return Poll::Ready(Some(self.begin(taken)));
                        }
                        Err(refusal) => {
                            drop(side);
                            return Poll::Ready(Some(self.refuse(refusal)));
                        }
                    }
                }
                self.looked_at = slab.len();
                if slab.is_empty() {
                    side.inbox = None;
                }
            }
            match side.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    if let Some(slab) = &mut side.inbox {
                        slab.shrink();
                        if self.state != State::Head {
                            (self.state, self.since) = (State::Head, Some(clock::now()));
                        }
                    } else if self.is_draining && self.state == State::Idle {
                        return Poll::Ready(Some(State::Leaving));
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
        let mut side = self.side.borrow_mut();
        side.inbox.take_if(|slab| slab.is_empty());
        side.begin(framing, self.server.rules.body_bytes);
        let has_body = !side.reader.is_done();
        drop(side);
        self.asked = Asked { keep: asked.keep && !self.is_draining, ..asked };
        if is_for_us {
            let mut allowed = ResponseHead::new(204);
            allowed.set_static("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            return self.say(Response { head: allowed, body: Body::empty(), watch: None });
        }
        head.set_client(Rc::clone(&self.side));
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
        let mut head = ResponseHead::new(refusal.status);
        head.set_static("content-type", "text/plain; charset=utf-8");
        let body = Body::of(Bytes::from_static(refusal.reason.as_bytes()));
        self.say(Response { head, body, watch: None })
    }

    fn poll_service(&mut self, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let Some(slot) = &mut self.call else { return Poll::Ready(None) };
        let Some(call) = slot.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match call.poll(cx) {
            Poll::Ready(Ok(response)) => {
                if let Some(slot) = self.call.take() {
                    self.server.give_back(slot);
                }
                Poll::Ready(Some(self.say(response)))
            }
            Poll::Pending => {
                let mut side = self.side.borrow_mut();
                while !side.is_written() {
                    match side.poll_write(cx) {
                        Poll::Ready(Ok(_)) => self.stuck = None,
                        Poll::Ready(Err(_)) => return Poll::Ready(None),
                        Poll::Pending => {
                            self.stuck.get_or_insert_with(clock::now);
                            break;
                        }
                    }
                }
                // Whoever hangs up takes its request along.
                if side.reader.is_done() && side.inbox.is_none() && !side.ended {
                    match side.poll_read(cx) {
                        Poll::Ready(Ok(0)) => {
                            self.probe = Some(clock::now() + PROBE_AFTER);
                            self.was_probed = false;
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(None),
                        Poll::Ready(Ok(_)) | Poll::Pending => {}
                    }
                }
                Poll::Pending
            }
        }
    }

    /// Finds out whether a client that ended its half still listens; false where it does not.
    fn look_after_client(&mut self) -> bool {
        let mut side = self.side.borrow_mut();
        self.probe = (self.state == State::Serving).then(|| clock::now() + PROBE_AFTER);
        if !self.was_probed && self.asked.is_1_1 && side.outbox.is_empty() {
            side.outbox.push(Slab::of(PROBE));
            self.was_probed = true;
        }
        !side.io.is_broken()
    }

    /// An answer begins.
    fn say(&mut self, response: Response<W>) -> State {
        self.probe = None;
        let stream_idle = self.server.rules.stream_idle;
        let asked = Asked { keep: self.asked.keep && !self.is_draining, ..self.asked };
        self.answer = Some(Answer::new(response, asked, stream_idle, &mut self.side.borrow_mut()));
        State::Answering
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
        let kept = match answer.poll(&self.side, cx) {
            Progress::Waits => {
                self.stuck = None;
                return Poll::Pending;
            }
            Progress::Stuck { moved } => {
                if moved {
                    self.stuck = None;
                }
                self.stuck.get_or_insert_with(clock::now);
                return Poll::Pending;
            }
            Progress::Gone => return Poll::Ready(None),
            Progress::Done { keep } => keep,
        };
        self.answer = None;
        self.stuck = None;
        let side = self.side.borrow();
        if kept && side.reader.is_done() && !self.is_draining {
            Poll::Ready(Some(State::Idle))
        } else {
            Poll::Ready(Some(State::Leaving))
        }
    }

    /// Ends the connection so that the client can read all that was written to it: a socket that
    /// is closed with bytes unread takes back what it has sent.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let mut side = self.side.borrow_mut();
        if !self.is_shut {
            if Pin::new(&mut side.io).poll_shutdown(cx).is_pending() {
                // Over TLS a farewell is written, and the client has to take it.
                self.end.get_or_insert_with(|| clock::now() + LINGER);
                return Poll::Pending;
            }
            self.is_shut = true;
            let linger = clock::now() + LINGER;
            self.end = Some(self.end.map_or(linger, |end| end.min(linger)));
            if side.reader.is_done() && side.inbox.is_none() {
                return Poll::Ready(None);
            }
        }
        loop {
            side.inbox = None;
            if !matches!(ready!(side.poll_read(cx)), Ok(1..)) {
                return Poll::Ready(None);
            }
        }
    }
}
