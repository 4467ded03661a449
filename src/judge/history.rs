//! What the stable pool did lately: whether it is fit to take the traffic back, and what the
//! guard compares a canary with once nothing runs beside it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Baseline;
use super::exact::{self, Exact};
use super::histogram::Histogram;
use super::interval::Interval;
use super::slice::Trials;

/// The stable pool's closed slices of the last seconds, with raw counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Recent {
    slices: VecDeque<(Exact, Trials)>,
}

impl Recent {
    pub(super) const SPAN_S: f64 = 10.0;
    /// Fewer requests than this are not called a rate.
    const REQUESTS: u64 = 20;
    /// A bound for absurdly short slices; ten seconds of ordinary ones are forty.
    const SLICES: usize = 1_000;

    pub(super) fn push(&mut self, stable: Trials, now_s: f64) {
        self.slices.push_back((Exact(now_s), stable));
        while self.slices.len() > Self::SLICES
            || self.slices.front().is_some_and(|(end_s, _)| end_s.0 <= now_s - Self::SPAN_S)
        {
            self.slices.pop_front();
        }
    }

    /// The stable pool's error rate, if enough was seen to call it one.
    pub(super) fn error_rate(&self, now_s: f64) -> Option<f64> {
        let mut sum = Trials::default();
        for (_, stable) in self.slices.iter().filter(|(end_s, _)| end_s.0 > now_s - Self::SPAN_S) {
            sum.add(*stable);
        }
        sum.rate().filter(|_| sum.n >= Self::REQUESTS)
    }
}

/// The stable pool of the last ten minutes, in blocks of two.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct History {
    blocks: VecDeque<Block>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Block {
    #[serde(with = "exact")]
    started_s: f64,
    counts: Trials,
    successes: Histogram,
}

impl History {
    const BLOCK_S: f64 = 120.0;
    const BLOCKS: usize = 5;

    /// Begins with the time before the rollout: a short rollout has hardly any other.
    pub(super) fn new(baseline: &Baseline) -> Self {
        let mut successes = Histogram::default();
        successes.extend(&baseline.successes);
        let counts = Trials::new(baseline.n, baseline.errors);
        Self { blocks: VecDeque::from([Block { started_s: 0.0, counts, successes }]) }
    }

    pub(super) fn observe(&mut self, stable: &Interval, now_s: f64) {
        let block = match self.blocks.pop_back() {
            Some(block) if now_s < block.started_s + Self::BLOCK_S => block,
            full => {
                self.blocks.extend(full);
                if self.blocks.len() == Self::BLOCKS {
                    self.blocks.pop_front();
                }
                let (counts, successes) = (Trials::default(), Histogram::default());
                Block { started_s: now_s, counts, successes }
            }
        };
        let Block { started_s, mut counts, mut successes } = block;
        counts.add(Trials::new(stable.n, stable.errors));
        successes.extend(&stable.successes);
        self.blocks.push_back(Block { started_s, counts, successes });
    }

    /// All of it.
    pub(super) fn sum(&self) -> (Trials, Histogram) {
        let (mut counts, mut successes) = (Trials::default(), Histogram::default());
        for block in &self.blocks {
            counts.add(block.counts);
            successes.extend(block.successes.buckets());
        }
        (counts, successes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_rate_needs_twenty_requests_of_the_last_ten_seconds() {
        let mut recent = Recent::default();
        recent.push(Trials::new(19, 19), 1.0);
        assert_eq!(recent.error_rate(1.0), None);
        recent.push(Trials::new(1, 0), 1.25);
        assert_eq!(recent.error_rate(1.25), Some(0.95));
        assert_eq!(recent.error_rate(11.0), None, "the first slice is ten seconds old");
    }

    #[test]
    fn history_keeps_ten_minutes_and_begins_with_the_baseline() {
        let baseline = Baseline { n: 100, errors: 1, successes: vec![(3, 99)] };
        let mut history = History::new(&baseline);
        let tick = Interval { n: 10, errors: 1, successes: vec![(4, 9)], ..Interval::default() };
        history.observe(&tick, 1.0);
        let (counts, successes) = history.sum();
        assert_eq!((counts, successes.total()), (Trials::new(110, 2), 108));
        for minute in 1..60_u32 {
            history.observe(&tick, f64::from(minute) * 60.0);
        }
        let (counts, _) = history.sum();
        assert_eq!(counts, Trials::new(100, 10), "ten of sixty minutes");
        assert_eq!(history.blocks.len(), History::BLOCKS);
    }
}
