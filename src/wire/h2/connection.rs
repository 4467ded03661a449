//! A connection of HTTP/2: it reads, has its requests served, writes, keeps its limits, and ends.

mod limits;

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower::Service;

use super::clerk::Clerk;
use super::flood::Flood;
use super::frame::Reason;
use super::intake::Intake;
use super::session::Session;
use crate::clock;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::connection::PROBE_AFTER;
use crate::wire::h1::side::Shared;
use crate::wire::h1::slab::Slab;
use crate::wire::server::Server;
use crate::wire::{Client, Request, Response, Watch, turn};

/// How long what a client still sends is thrown away, so that it can read why it was left.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read, and what it says is done, before the other connections have their turn.
const BYTES_AT_ONCE: usize = 128 << 10;
/// A header block may be longer than its fields, but one that is much longer is not read.
const BLOCK_BYTES_MIN: usize = 64 << 10;

/// A client's connection.
pub(in crate::wire) struct Connection<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    side: Shared,
    clerk: Clerk<S, W>,
    session: Rc<Session>,
    intake: Intake,
    flood: Flood,
    /// Whether anything has come.
    has_begun: bool,
    /// Whether the rest of something is to come that is no body.
    is_amid: bool,
    /// Whether nothing is read until the client has taken what is written to it.
    has_paused: bool,
    is_draining: bool,
    /// Whether all is said, and what the client still sends is thrown away.
    is_leaving: bool,
    is_shut: bool,
    /// Since when there has been no request.
    idle: Option<Instant>,
    /// Since when the rest of something has been waited for that is no body.
    rest: Option<Instant>,
    /// Since when the client has taken nothing of what is written to it.
    stuck: Option<Instant>,
    /// When it ends, unless another request comes: the client was told to go.
    last_word: Option<Instant>,
    /// When a client that ended its half is looked after.
    probe: Option<Instant>,
    /// When it ends, whatever it is doing.
    end: Option<Instant>,
    alarm: Alarm,
}

impl<S, W> Connection<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    pub(in crate::wire) fn new(server: Rc<Server<S>>, side: Shared, client: Client) -> Self {
        let clerk = Clerk::new(&server, client);
        let block_bytes = BLOCK_BYTES_MIN.max(server.rules.header_bytes.saturating_mul(2));
        Self {
            server,
            side,
            session: clerk.session(),
            clerk,
            intake: Intake::new(block_bytes),
            flood: Flood::default(),
            has_begun: false,
            is_amid: false,
            has_paused: false,
            is_draining: false,
            is_leaving: false,
            is_shut: false,
            idle: Some(clock::now()),
            rest: None,
            stuck: None,
            last_word: None,
            probe: None,
            end: None,
            alarm: Alarm::default(),
        }
    }

    pub(in crate::wire) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The connection should end as soon as nothing is lost by it: the client is told which of its
    /// requests will be answered, and those are (RFC 9113 §6.8).
    pub(in crate::wire) fn drain(&mut self) {
        if !std::mem::replace(&mut self.is_draining, true) && !self.is_leaving {
            self.session.last_call();
        }
    }

    /// Completes when the connection is to be closed.
    pub(in crate::wire) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.is_leaving && self.poll_read(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.poll_serve(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.is_leaving {
                if self.poll_leave(cx).is_ready() {
                    return Poll::Ready(());
                }
            } else if self.session.has_said_last() && self.is_done() {
                self.leave(LINGER);
                continue;
            } else if self.has_paused && !self.session.is_full() {
                continue;
            }
            if !ready!(self.poll_limits(cx)) {
                return Poll::Ready(());
            }
        }
    }

    /// Whether every request is answered, and the client has the answers.
    fn is_done(&self) -> bool {
        self.clerk.streams.is_empty() && self.session.is_drained()
    }

    /// Does all that has come; completes when nothing more will.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.side.borrow().ended {
            self.has_paused = false;
            return Poll::Pending;
        }
        let mut bytes = 0;
        loop {
            let inbox = self.side.borrow_mut().inbox.take();
            if let Some(mut slab) = inbox {
                self.has_begun = true;
                let heard = self.listen(&mut slab);
                self.is_amid = self.intake.is_amid(slab.data());
                if !slab.is_empty() {
                    self.side.borrow_mut().inbox = Some(slab);
                }
                if let Err(reason) = heard {
                    tracing::debug!(peer = %self.clerk.client().peer, ?reason, "a connection broke a rule");
                    self.session.go_away(reason);
                    self.leave(LINGER);
                    return Poll::Pending;
                }
            }
            self.has_paused = self.session.is_full();
            if self.has_paused {
                return Poll::Pending;
            }
            ready!(self.clerk.poll_ready(cx));
            if bytes >= BYTES_AT_ONCE {
                turn::pass(cx);
                return Poll::Pending;
            }
            let mut side = self.side.borrow_mut();
            match side.poll_read(cx) {
                Poll::Ready(Ok(count @ 1..)) => bytes += count,
                Poll::Ready(Ok(0)) if !self.is_done() => {
                    drop(side);
                    self.half_close();
                    return Poll::Pending;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    // It may have to wait.
                    side.inbox.as_mut().into_iter().for_each(Slab::shrink);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The client has ended its half. It may still listen for the answers to what it has asked; one
    /// that does not refuses what it is told now.
    fn half_close(&mut self) {
        self.is_amid = false;
        self.clerk.give_up_half_said();
        self.session.go_away(Reason::NO_ERROR);
        self.probe = Some(clock::now() + PROBE_AFTER);
    }

    /// Does what the frames in `slab` say.
    fn listen(&mut self, slab: &mut Slab) -> Result<(), Reason> {
        let (mut points, last) = (0, self.session.last());
        let (mut used, mut heard) = (0, Ok(()));
        while heard.is_ok() {
            match self.intake.take(&slab.data()[used..]) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    used += frame.used;
                    points += frame.points;
                    heard = self.clerk.hear(&frame.said).map(|more| points += more);
                }
                Err(reason) => heard = Err(reason),
            }
        }
        slab.advance(used);
        if used > 0 && !self.intake.is_in_block() {
            // What was waited for is there; what has come behind it is waited for anew.
            self.rest = None;
        }
        if self.session.last() != last {
            self.idle = None;
        }
        if points > 0 && self.flood.charge(points, clock::now()) {
            return Err(Reason::CALM);
        }
        heard
    }

    /// Has requests served, and writes what they say; completes when the client takes no more.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.wake_waiting();
        loop {
            self.clerk.streams.poll(cx);
            let mut has_moved = false;
            let mut side = self.side.borrow_mut();
            let drained = self.session.poll_drain(Pin::new(&mut side.io), &mut has_moved, cx);
            drop(side);
            if has_moved {
                self.stuck = None;
            }
            match drained {
                Poll::Ready(Ok(())) => self.stuck = None,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(clock::now);
                    break;
                }
            }
            if !self.session.wake_waiting() {
                break;
            }
        }
        if self.clerk.streams.is_woken() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// All is said.
    fn leave(&mut self, linger: Duration) {
        self.is_leaving = true;
        self.session.abandon();
        self.clerk.streams.clear();
        self.end = Some(clock::now() + linger);
    }

    /// Completes when the client has had the time to read it.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.session.is_drained() {
            return Poll::Pending;
        }
        let mut side = self.side.borrow_mut();
        if !self.is_shut {
            // A failure here shows when reading.
            let _ = ready!(Pin::new(&mut side.io).poll_shutdown(cx));
            self.is_shut = true;
        }
        loop {
            side.inbox = None;
            if !matches!(ready!(side.poll_read(cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }
}
