//! What a pool did in the last minute, for people and as the judge's baseline.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::judge::Baseline;
use crate::measure::histogram::{BUCKETS, lower_edge_us, middle_us};
use crate::measure::{Delta, Outcome};

/// How much one slot of the ring covers.
const SLOT: Duration = Duration::from_secs(10);
/// How many full slots are kept, beside the one that fills.
const SLOTS: usize = 6;
const OUTCOMES: usize = Outcome::ALL.len();

/// The last minute of one pool.
#[derive(Debug, Default)]
pub(super) struct Stats {
    ring: VecDeque<Slot>,
    filling: Duration,
    /// Since the start of the process.
    pub(super) total: [u64; OUTCOMES],
}

#[derive(Debug)]
struct Slot {
    n: u64,
    errors: u64,
    answers: u64,
    latency: Box<[u32]>,
}

impl Slot {
    fn new() -> Self {
        Self { n: 0, errors: 0, answers: 0, latency: vec![0; BUCKETS].into_boxed_slice() }
    }
}

/// Quantiles and rates of the last minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) answers: u64,
    pub(super) n: u64,
    pub(super) errors: u64,
    /// p50, p90, p99 and p99.9 in milliseconds; none without data.
    pub(super) quantiles_ms: Option<[f64; 4]>,
}

impl Stats {
    /// Takes in what a pool did.
    pub(super) fn add(&mut self, delta: &Delta) {
        if self.ring.is_empty() {
            self.ring.push_back(Slot::new());
        }
        let Some(slot) = self.ring.back_mut() else { return };
        slot.n += delta.interval.n;
        slot.errors += delta.interval.errors;
        slot.answers += delta.outcomes.iter().sum::<u64>();
        for (bucket, count) in &delta.interval.successes {
            let counter = &mut slot.latency[*bucket as usize];
            *counter = counter.saturating_add(u32::try_from(*count).unwrap_or(u32::MAX));
        }
        for (total, more) in self.total.iter_mut().zip(delta.outcomes) {
            *total += more;
        }
    }

    /// Forgets the last minute.
    pub(super) fn forget(&mut self) {
        self.ring.clear();
    }

    /// Lets time pass.
    pub(super) fn age(&mut self, dt: Duration) {
        if self.ring.is_empty() {
            return;
        }
        self.filling += dt;
        if self.filling >= SLOT {
            self.filling = Duration::ZERO;
            self.ring.push_back(Slot::new());
            if self.ring.len() > SLOTS + 1 {
                self.ring.pop_front();
            }
            if self.ring.iter().all(|slot| slot.answers == 0 && slot.n == 0) {
                self.ring.clear();
            }
        }
    }

    /// Quantiles and rates of the last minute.
    pub(super) fn summary(&self) -> Summary {
        let sum = |of: fn(&Slot) -> u64| self.ring.iter().map(of).sum();
        Summary {
            answers: sum(|slot| slot.answers),
            n: sum(|slot| slot.n),
            errors: sum(|slot| slot.errors),
            quantiles_ms: self.quantiles_ms(),
        }
    }

    fn quantiles_ms(&self) -> Option<[f64; 4]> {
        let highest = lower_edge_us(BUCKETS);
        let mut merged = Histogram::<u64>::new_with_bounds(1, highest, 2).ok()?;
        for slot in &self.ring {
            for (bucket, count) in slot.latency.iter().enumerate().filter(|(_, n)| **n > 0) {
                merged.saturating_record_n(middle_us(bucket), u64::from(*count));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds, shown in milliseconds")]
        let at = |q: f64| merged.value_at_quantile(q) as f64 / 1e3;
        (!merged.is_empty()).then(|| [at(0.5), at(0.9), at(0.99), at(0.999)])
    }

    /// The last minute as the judge wants it.
    pub(super) fn baseline(&self) -> Baseline {
        let mut dense = vec![0u64; BUCKETS];
        for slot in &self.ring {
            for (sum, count) in dense.iter_mut().zip(&slot.latency) {
                *sum += u64::from(*count);
            }
        }
        let successes = (0u32..).zip(dense).filter(|(_, count)| *count > 0).collect();
        let Summary { n, errors, .. } = self.summary();
        Baseline { n, errors, successes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Interval;
    use crate::measure::histogram::bucket;

    fn delta(ms: u64, count: u64) -> Delta {
        let at = u32::try_from(bucket(Duration::from_millis(ms))).unwrap();
        let interval = Interval { n: count, successes: vec![(at, count)], ..Interval::default() };
        let mut outcomes = [0; OUTCOMES];
        outcomes[Outcome::Success.index()] = count;
        Delta { interval, outcomes, ..Delta::default() }
    }

    #[test]
    fn the_last_minute_is_seen_and_what_is_older_is_not() {
        let mut stats = Stats::default();
        stats.add(&delta(10, 90));
        stats.add(&delta(100, 10));
        let summary = stats.summary();
        let [p50, p90, p99, _] = summary.quantiles_ms.unwrap();
        assert_eq!(summary.n, 100);
        assert!((p50 - 10.0).abs() < 0.3 && (p90 - 10.0).abs() < 0.3, "{p50} {p90}");
        assert!((p99 - 100.0).abs() < 3.0, "{p99}");
        assert_eq!(stats.baseline().n, 100);
        for _ in 0..700 {
            stats.age(Duration::from_millis(100));
        }
        assert_eq!(stats.summary().n, 0);
        assert!(stats.summary().quantiles_ms.is_none());
        assert_eq!(stats.total[Outcome::Success.index()], 100);
    }
}
