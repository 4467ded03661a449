//! A request under way; recorded however it ends.

use std::rc::Rc;

use tokio::time::Instant;

use super::Worker;
use super::error::outcome;
use crate::clock;
use crate::measure::{Attempt, Outcome, SlotId, Ticket};
use crate::upstream::InFlight;
use crate::wire;

/// A request under way. Dropping it records it: a client that gives up on a slow canary leaves no
/// answer behind, and were such an exchange not recorded, the worst canary would look like the
/// best.
///
/// Two things are counted. The *first attempt* is what the judge sees, charged to the pool that
/// the request was assigned to. The *answer* is what the client got, from whichever pool gave it.
#[derive(Debug)]
pub struct Exchange {
    worker: Rc<Worker>,
    started: Instant,
    /// When the answer's head came.
    answered: Option<Instant>,
    /// The first attempt, until it has been counted. A tester's never is.
    attempt: Option<Attempt>,
    /// The pool that serves it now.
    serving: SlotId,
    /// What the answer's status says, true once its body is whole.
    status: Option<Outcome>,
    outcome: Outcome,
    in_flight: Option<InFlight>,
}

impl Exchange {
    /// Begins with the first attempt `attempt`; `judged` unless a tester forced it there.
    pub(super) fn start(worker: &Rc<Worker>, attempt: Attempt, judged: bool) -> Self {
        let started = clock::now();
        let serving = attempt.slot;
        let watched = || Attempt { ticket: worker.writer.begin(attempt.slot, started), ..attempt };
        Self {
            worker: Rc::clone(worker),
            started,
            answered: None,
            attempt: judged.then(watched),
            serving,
            status: None,
            outcome: Outcome::Abandoned,
            in_flight: None,
        }
    }

    /// When it began.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// An attempt failed and another follows: the first one is counted now.
    pub(super) fn attempt_failed(&mut self, outcome: Outcome) {
        self.in_flight = None;
        if let Some(attempt) = self.attempt.take() {
            self.worker.writer.attempt(attempt, outcome, clock::now().duration_since(self.started));
        }
    }

    /// The pool on `slot` serves it from now on, and nobody is charged for what it does: it was
    /// not the first attempt, or nothing is known of the pool that should have served it.
    pub(super) fn moved_to(&mut self, slot: SlotId) {
        if let Some(attempt) = self.attempt.take() {
            self.worker.writer.end(attempt.ticket);
        }
        self.serving = slot;
    }

    /// An endpoint has it.
    pub(super) fn given_to(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// The answer's head came. A 5xx is one whatever becomes of its body.
    pub(super) fn answered(&mut self, status: u16) {
        self.answered = Some(clock::now());
        // Its latency is known now, however long the body takes.
        if let Some(attempt) = &mut self.attempt {
            self.worker.writer.end(std::mem::replace(&mut attempt.ticket, Ticket::NONE));
        }
        let status = Outcome::of_status(status);
        if status.is_error() {
            self.outcome = status;
        }
        self.status = Some(status);
    }

    /// It ends with this, and there will be no answer from an upstream.
    pub(super) const fn failed(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let writer = &self.worker.writer;
        if let Some(attempt) = self.attempt {
            // The head's time is the upstream's own: a client that reads slowly does not add to it.
            let end = match self.answered {
                Some(answered) if self.outcome != Outcome::Abandoned => answered,
                _ => clock::now(),
            };
            writer.attempt(attempt, self.outcome, end.duration_since(self.started));
        }
        writer.answer(self.serving, self.outcome);
    }
}

impl wire::Watch for Exchange {
    fn ended(mut self, result: Result<(), wire::Error>) {
        match (result, self.status) {
            // The upstream's failure stays one, whatever the client does then.
            (Err(error), Some(status)) if error.is_clients() && status.is_error() => {}
            (Err(error), _) => self.outcome = outcome(error),
            (Ok(()), Some(status)) => self.outcome = status,
            (Ok(()), None) => {}
        }
    }
}
