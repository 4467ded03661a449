//! Ticks merged to slices: the unit of every comparison.
//!
//! A slice closes once it is long enough and both pools have answered something. That depends on
//! time and counts only, never on outcomes, so a slice is a fair sample however it turned out.

use serde::{Deserialize, Serialize};

use super::exact;
use super::histogram::Histogram;

/// How many of `n` had the event that is counted: failed, or were slow.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Trials {
    pub(super) n: u64,
    pub(super) events: u64,
}

impl Trials {
    /// Events beyond the trials are not possible and are ignored.
    pub(super) fn new(n: u64, events: u64) -> Self {
        Self { n, events: events.min(n) }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.n = self.n.saturating_add(more.n);
        self.events = self.events.saturating_add(more.events);
    }

    /// Both counts, for formulas.
    pub(super) fn counts(self) -> (f64, f64) {
        (self.n as f64, self.events as f64)
    }

    pub(super) fn rate(self) -> Option<f64> {
        (self.n > 0).then(|| self.events as f64 / self.n as f64)
    }
}

/// The same count in both pools.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Pair {
    pub(super) stable: Trials,
    pub(super) canary: Trials,
}

impl Pair {
    pub(super) fn add(&mut self, more: Self) {
        self.stable.add(more.stable);
        self.canary.add(more.canary);
    }

    /// True when there is something to compare.
    pub(super) fn both(self) -> bool {
        self.stable.n > 0 && self.canary.n > 0
    }
}

/// The counts of both pools as numbers, for formulas. Expected counts need not be whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) n_s: f64,
    pub(super) e_s: f64,
    pub(super) n_c: f64,
    pub(super) e_c: f64,
}

impl Counts {
    /// True when there is something to compare.
    pub(super) fn both(&self) -> bool {
        self.n_s > 0.0 && self.n_c > 0.0
    }
}

impl From<Pair> for Counts {
    fn from(pair: Pair) -> Self {
        let ((n_s, e_s), (n_c, e_c)) = (pair.stable.counts(), pair.canary.counts());
        Self { n_s, e_s, n_c, e_c }
    }
}

/// One pool's part of a slice.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PoolSlice {
    /// Completions and errors as they came.
    pub(super) raw: Trials,
    /// Completions and errors after the key cap.
    pub(super) kept: Trials,
    pub(super) successes: Histogram,
    /// Successes that were counted while they were in flight, and are not counted again.
    pub(super) counted: Histogram,
    pub(super) aborts: Histogram,
    pub(super) inflight_slow: u64,
}

impl PoolSlice {
    /// Requests whose latency is known: successes, and those known to be slow in flight.
    pub(super) fn timed(&self) -> u64 {
        let fresh = self.successes.total().saturating_sub(self.counted.total());
        fresh.saturating_add(self.inflight_slow)
    }

    /// Requests in `slow_from` or a slower bucket. A client that gave up counts only if it waited
    /// until `abort_from`: before that nobody knows how long the answer would have taken.
    pub(super) fn slow(&self, slow_from: u32, abort_from: u32) -> Trials {
        let aborts = self.aborts.since(abort_from);
        let fresh = self.successes.since(slow_from).saturating_sub(self.counted.since(slow_from));
        let slow = fresh.saturating_add(self.inflight_slow).saturating_add(aborts);
        Trials::new(self.timed().saturating_add(aborts), slow)
    }

    /// The same by what has ended alone, with the requests that were counted in flight before.
    pub(super) fn slow_at_the_end(&self, slow_from: u32) -> Trials {
        let aborts = self.aborts.since(slow_from);
        let slow = self.successes.since(slow_from).saturating_add(aborts);
        Trials::new(self.successes.total().saturating_add(aborts), slow)
    }

    fn seen(&self) -> bool {
        self.raw.n > 0 || self.inflight_slow > 0
    }
}

/// A slice that has not closed yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Slice {
    #[serde(with = "exact")]
    started_s: f64,
    pub(super) stable: PoolSlice,
    pub(super) canary: PoolSlice,
    /// The stable pool was dead for some of it, so it is no measure of a canary.
    #[serde(default)]
    pub(super) proves_nothing: bool,
}

impl Slice {
    /// Ticks add up with rounding errors; a slice must not wait one tick longer for them.
    pub(super) const ROUNDING_S: f64 = 1e-9;

    pub(super) fn new(started_s: f64) -> Self {
        let (stable, canary) = (PoolSlice::default(), PoolSlice::default());
        Self { started_s, stable, canary, proves_nothing: false }
    }

    /// True when both pools can be compared.
    pub(super) fn is_due(&self, now_s: f64, slice_s: f64) -> bool {
        self.is_long(now_s, slice_s) && self.stable.seen() && self.canary.seen()
    }

    /// True when the canary can be compared with a baseline.
    pub(super) fn is_due_alone(&self, now_s: f64, slice_s: f64) -> bool {
        self.is_long(now_s, slice_s) && self.canary.seen()
    }

    pub(super) fn raw(&self) -> Pair {
        Pair { stable: self.stable.raw, canary: self.canary.raw }
    }

    pub(super) fn kept(&self) -> Pair {
        Pair { stable: self.stable.kept, canary: self.canary.kept }
    }

    fn is_long(&self, now_s: f64, slice_s: f64) -> bool {
        now_s - self.started_s >= slice_s - Self::ROUNDING_S
    }
}
