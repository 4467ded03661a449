//! How long everything may take, and what happens when it does.

use std::convert::Infallible;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower::Service;

use super::Connection;
use crate::clock;
use crate::wire::h1::alarm::earliest;
use crate::wire::h1::connection::PROBE_EVERY;
use crate::wire::h2::frame::Reason;
use crate::wire::{Request, Response, Watch};

/// How long a client that is told to go may take to do so.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long what it still sends is thrown away when it does not.
const SHORT_LINGER: Duration = Duration::from_millis(200);

/// What may take too long.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// The whole of it.
    End,
    /// The client, in saying what it wants.
    Greeting,
    /// The client, in asking for something.
    Idle,
    /// The rest of something that is no body.
    Rest,
    /// The client, in leaving when it was told to.
    LastWord,
    /// The client, in being silent after it ended its half.
    Probe,
    /// The client, in taking what is written to it.
    Stuck,
}

impl<S, W> Connection<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    /// Completes when something took too long, with whether the connection goes on.
    pub(super) fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.look_at_clock();
        let Some((limit, at)) = self.next_limit() else { return Poll::Pending };
        ready!(self.alarm.poll_until(at, cx));
        if !matches!(limit, Limit::Probe) {
            tracing::debug!(peer = %self.clerk.client().peer, ?limit, "a client took too long");
        }
        let goes_on = match limit {
            Limit::Idle => {
                self.drain();
                self.last_word = Some(clock::now() + LAST_WORD);
                true
            }
            Limit::Greeting | Limit::LastWord => {
                self.session.go_away(Reason::NO_ERROR);
                self.leave(SHORT_LINGER);
                true
            }
            // What it has asked before is answered.
            Limit::Rest => {
                self.side.borrow_mut().ended = true;
                self.half_close();
                true
            }
            Limit::Probe => {
                let is_broken = self.side.borrow().io.is_broken();
                if !is_broken && self.session.is_drained() {
                    // One that has gone refuses it.
                    self.session.ping();
                }
                self.probe = Some(clock::now() + PROBE_EVERY);
                !is_broken
            }
            Limit::End | Limit::Stuck => false,
        };
        Poll::Ready(goes_on)
    }

    /// Notes since when there is nothing to do, and since when the rest of something.
    fn look_at_clock(&mut self) {
        if self.intake.has_greeted() && !self.is_done() {
            (self.idle, self.last_word) = (None, None);
        } else if self.idle.is_none() {
            self.idle = Some(clock::now());
        }
        if !self.is_amid || self.has_paused {
            self.rest = None;
        } else if self.rest.is_none() {
            self.rest = Some(clock::now());
        }
        if self.is_draining && self.last_word.is_none() && self.is_done() {
            self.last_word = Some(clock::now() + LAST_WORD);
        }
    }

    /// What is too long next, and when.
    fn next_limit(&self) -> Option<(Limit, Instant)> {
        let rules = &self.server.rules;
        let since = |since: Option<Instant>, limit| since.map(|since| since + limit);
        let stuck = (Limit::Stuck, since(self.stuck, rules.stream_idle));
        if self.is_leaving {
            return earliest([(Limit::End, self.end), stuck]);
        }
        let idle = match (self.has_begun, self.intake.has_greeted()) {
            (false, _) => (Limit::Greeting, since(self.idle, rules.first_byte)),
            (true, false) => (Limit::Greeting, since(self.idle, rules.head)),
            (true, true) if self.is_draining => (Limit::Idle, None),
            (true, true) => (Limit::Idle, since(self.idle, rules.idle)),
        };
        earliest([
            idle,
            stuck,
            (Limit::Rest, since(self.rest, rules.head)),
            (Limit::LastWord, self.last_word),
            (Limit::Probe, self.probe),
        ])
    }
}
