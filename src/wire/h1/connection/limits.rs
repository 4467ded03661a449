//! How long everything may take, and what happens when it does.

use std::convert::Infallible;
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;
use tower::Service;

use super::{Connection, PROBE_AFTER, PROBE_EVERY, State};
use crate::clock;
use crate::wire::h1::alarm::earliest;
use crate::wire::h1::framing::Refusal;
use crate::wire::h1::slab::Slab;
use crate::wire::{Request, Response, Watch};

/// How long a client that is told to go may take to read it.
const LAST_WORD: Duration = Duration::from_secs(1);
/// To a client that ended its half, which may have gone or still listen: one that has gone refuses
/// it. It means that the request is being served (RFC 2518 §10.1), and clients skip what they do
/// not know of the interim answers (RFC 9110 §15.2).
const PROBE: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
/// How long an answer may pause that goes to a client which ended its half: most such clients are
/// gone.
const HUSH: Duration = Duration::from_secs(10);
const SLOW: Refusal = Refusal { status: 408, reason: "the request's head took too long\n" };

/// What may take too long.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// The whole of it.
    End,
    /// The next request.
    Request,
    /// The next piece of the request's body.
    Body,
    /// The client, in taking what is written to it.
    Stuck,
    /// The client, in being silent after it ended its half, or while it is not read from.
    Probe,
    /// The upstream, in saying nothing to a client that ended its half.
    Hush,
}

impl<S, W> Connection<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    /// What is too long next, and when.
    pub(super) fn next_limit(&self) -> Option<(Limit, Instant)> {
        let rules = &self.server.rules;
        let request = match self.state {
            State::Fresh => Some(rules.first_byte),
            State::Head => Some(rules.head),
            State::Idle => Some(rules.idle),
            State::Serving | State::Answering | State::Leaving => None,
        };
        let body = self.side.borrow().waiting;
        earliest([
            (Limit::End, self.end),
            (Limit::Request, request.and_then(|limit| Some(self.since? + limit))),
            (Limit::Body, body.map(|since| since + rules.body_idle)),
            (Limit::Stuck, self.stuck.map(|since| since + rules.stream_idle)),
            (Limit::Probe, self.probe),
            (Limit::Hush, self.hush.map(|since| since + HUSH)),
        ])
    }

    /// Something took too long; false when that is the end.
    pub(super) fn goes_on_after(&mut self, limit: Limit, cx: &mut Context<'_>) -> bool {
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
            Limit::Probe => self.look_after_client(cx),
            Limit::Request | Limit::Stuck | Limit::Hush | Limit::End => {
                tracing::debug!(%peer, ?limit, state = ?self.state, "a client took too long");
                false
            }
        }
    }

    /// Finds out whether a client that ended its half still listens, and whether one that is not read
    /// from has; false where it has gone.
    fn look_after_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut side = self.side.borrow_mut();
        let is_serving = self.state == State::Serving;
        let goes_on = is_serving && side.ended || !side.reads_ahead();
        self.probe = goes_on.then(|| clock::now() + PROBE_AFTER);
        if !side.ended && !side.io.has_ended(cx) {
            return true;
        }
        if !is_serving {
            self.hush.get_or_insert_with(clock::now);
        } else if self.asked.is_1_1 && side.outbox.is_empty() {
            let now = clock::now();
            if self.probed.is_none_or(|probed| now - probed >= PROBE_EVERY) {
                side.outbox.push(Slab::of(PROBE));
                self.probed = Some(now);
            }
        }
        !side.io.is_broken()
    }
}
