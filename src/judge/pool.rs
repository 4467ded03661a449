//! What has to be remembered of one pool between ticks: whose errors were counted, and which
//! requests were counted while they were in flight.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::slice::{PoolSlice, Trials};

/// One pool of a rollout.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Pool {
    keys: Keys,
    in_flight: InFlight,
}

impl Pool {
    /// Adds one tick to the open slice.
    pub(super) fn observe(&mut self, tick: &Interval, key_cap: u64, slice: &mut PoolSlice) {
        let raw = Trials::new(tick.n, tick.errors);
        let robots = self.keys.surplus(tick, key_cap).min(raw.events);
        slice.raw.add(raw);
        slice.kept.add(Trials::new(raw.n - robots, raw.events - robots));
        slice.successes.extend(&tick.successes);
        self.in_flight.settle(tick, slice);
        slice.inflight_slow = slice.inflight_slow.saturating_add(tick.inflight_slow);
    }

    /// Remembers the requests that passed the limit in this tick. They are in flight still, so
    /// their completions come with later ticks.
    pub(super) fn remember(&mut self, inflight_slow: u64, limit_bucket: Option<u32>) {
        self.in_flight.remember(inflight_slow, limit_bucket);
    }

    /// Requests that were counted as slow and have no answer yet.
    pub(super) const fn unanswered(&self) -> u64 {
        self.in_flight.pending
    }

    /// A step has begun: every key has its allowance again.
    pub(super) fn begin_step(&mut self) {
        self.keys = Keys::default();
    }

    /// The process was restarted: nothing of before is in flight.
    pub(super) fn forget_in_flight(&mut self) {
        self.in_flight = InFlight::default();
    }
}

/// Errors by sticky key in this step. One robot that hits one broken page is not many trials.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Keys {
    errors: BTreeMap<u64, u64>,
    /// Latched once enough keys were seen: with few users the cap would blind the judge.
    many: bool,
}

impl Keys {
    /// So many distinct keys are needed before the cap applies.
    const MANY: u64 = 20;
    /// So many keys are remembered. A robot is among them long before the list is full.
    const REMEMBERED: usize = 512;

    /// How many errors of this tick are beyond the allowance of their keys.
    fn surplus(&mut self, tick: &Interval, key_cap: u64) -> u64 {
        for &(key, count) in &tick.error_keys {
            if count > 0 {
                self.make_room(key, key_cap);
                self.errors.entry(key).or_default();
            }
        }
        // Whoever fails was seen, so the failing keys are a lower bound where the number of
        // keys is not known.
        let seen = tick.distinct_keys.max(self.errors.len() as u64);
        self.many |= seen >= Self::MANY;
        let mut surplus = 0_u64;
        for &(key, count) in &tick.error_keys {
            let Some(errors) = self.errors.get_mut(&key) else { continue };
            let allowed = key_cap.saturating_sub(*errors);
            *errors = errors.saturating_add(count);
            surplus = surplus.saturating_add(count.saturating_sub(allowed));
        }
        if self.many { surplus } else { 0 }
    }

    /// Forgets keys that are within their allowance when too many are known, so that a fault
    /// that hits everybody cannot fill the memory.
    fn make_room(&mut self, key: u64, key_cap: u64) {
        if self.errors.len() < Self::REMEMBERED || self.errors.contains_key(&key) {
            return;
        }
        self.many = true;
        self.errors.retain(|_, errors| *errors > key_cap);
        if self.errors.len() == Self::REMEMBERED {
            self.errors.pop_first();
        }
    }
}

/// Slow requests that were counted while in flight and have not completed yet.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct InFlight {
    pending: u64,
    /// The lowest bucket in which a pending request can complete.
    from: u32,
}

impl InFlight {
    /// Takes the completions of requests that were counted already out of the latency test. They
    /// cannot be told one by one; but whatever is slower than the limit has passed it in flight,
    /// so the slowest completions are theirs. Errors keep no latency and settle nothing.
    fn settle(&mut self, tick: &Interval, slice: &mut PoolSlice) {
        for &(bucket, count) in tick.successes.iter().rev() {
            slice.counted.add(bucket, self.take(bucket, count));
        }
        for &(bucket, count) in tick.aborts.iter().rev() {
            slice.aborts.add(bucket, count - self.take(bucket, count));
        }
    }

    fn take(&mut self, bucket: u32, count: u64) -> u64 {
        let taken = if bucket >= self.from { self.pending.min(count) } else { 0 };
        self.pending -= taken;
        taken
    }

    fn remember(&mut self, slow: u64, limit_bucket: Option<u32>) {
        let (Some(bucket), true) = (limit_bucket, slow > 0) else { return };
        self.from = if self.pending == 0 { bucket } else { self.from.min(bucket) };
        self.pending = self.pending.saturating_add(slow);
    }
}

#[cfg(test)]
#[path = "tests/pool.rs"]
mod tests;
