//! The judge on trial: two halves of the stable pool, which are equal whatever they do.
//!
//! While nothing is released, users are divided as the next release would divide them, and the same
//! judge compares the halves. It fires by chance once in so many windows as `alpha` allows; more
//! often means that the service breaks what the judge takes for granted, and its owner should know
//! before a good release is rolled back. A division that fired is not used for a release: the
//! cohort that would go first looked different before it got any canary at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judging::{merge, run};
use super::live::{Judged, millis};
use super::service::Service;
use crate::clock;
use crate::judge::{Interval, Purpose, Ruling, StepRule, Tick, Verdict};
use crate::measure::Delta;
use crate::split::Salt;

/// How many comparisons there were, and how many of them found a difference.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) fired: u64,
}

/// The comparison that runs.
#[derive(Debug, Default)]
pub(super) struct Placebo {
    /// What the halves did since the judge's last tick, the one measured apart second.
    halves: [Interval; 2],
    /// A bit for each sticky key that was seen in this window.
    keys: [[u64; 4]; 2],
    /// How long that was.
    gathered: Duration,
    /// Not all services are judged at once, so each has its own moment of the second.
    due_in: Option<Duration>,
    window: Option<Window>,
    /// What came of the last window, until control has heard of it.
    ended: Option<Ended>,
}

/// One comparison.
#[derive(Debug)]
pub(super) struct Window {
    judged: Judged,
    /// How long it has watched traffic.
    watched: Duration,
    length: Duration,
    pub(super) since_ms: u64,
    pub(super) log_e: f64,
    limit_ms: Option<f64>,
}

/// What came of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The window ended without a finding.
    Quiet,
    /// The judge found two equal halves different.
    Fired,
}

/// How often the judge ticks: thousands of services must cost little.
const EVERY: Duration = Duration::from_secs(1);
/// A window is as long as the next release would be, within these bounds.
const WINDOW: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 60);

impl Placebo {
    /// Takes in what a half of the stable pool did.
    pub(super) fn measured(&mut self, apart: bool, delta: &Delta) {
        let half = usize::from(apart);
        merge(&mut self.halves[half], &delta.interval);
        for (all, bits) in self.keys[half].iter_mut().zip(delta.keys_seen) {
            *all |= bits;
        }
    }

    /// The window that runs.
    pub(super) fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// The age at which a request in flight counts as slow.
    pub(super) fn limit_ms(&self) -> Option<f64> {
        self.window.as_ref()?.limit_ms
    }

    /// What came of a window that has ended since the last call.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Lets `dt` pass, and says whether it is time for the judge to look.
    fn is_due(&mut self, dt: Duration, salt: Salt) -> bool {
        self.gathered += dt;
        let phase = || EVERY * u32::try_from(salt.0 % 10).unwrap_or_default() / 10;
        let due_in = self.due_in.get_or_insert_with(phase);
        *due_in = due_in.saturating_sub(dt);
        if !due_in.is_zero() {
            return false;
        }
        *due_in = EVERY;
        true
    }
}

impl Service {
    /// Whether the stable pool is divided for a comparison: nothing else may divide it.
    pub(super) fn is_placebo(&self) -> bool {
        self.live.canary.is_some() && !self.live.state().is_running() && self.live.share().is_zero()
    }

    /// The salt of the release that begins now; that of the one after it is drawn.
    pub(super) fn draw_salt(&mut self) -> Salt {
        let next = self.live.next_salt.replace(Salt(rand::random()));
        next.unwrap_or_else(|| Salt(rand::random()))
    }

    /// Lets `dt` pass for the comparison of halves.
    pub(super) fn placebo_tick(&mut self, dt: Duration, healthy: bool) {
        if !self.is_placebo() {
            self.judging.placebo = Placebo::default();
            return;
        }
        let salt = self.live.next_salt.unwrap_or_default();
        if !self.judging.placebo.is_due(dt, salt) {
            return;
        }
        let placebo = &mut self.judging.placebo;
        let [mut stable, mut canary] = std::mem::take(&mut placebo.halves);
        for (half, keys) in [&mut stable, &mut canary].into_iter().zip(placebo.keys) {
            half.healthy = healthy;
            half.distinct_keys = keys.iter().map(|bits| u64::from(bits.count_ones())).sum();
        }
        let gathered = std::mem::take(&mut placebo.gathered);
        // Time without traffic shows nothing, so it does not count.
        if stable.n + canary.n + stable.inflight_slow + canary.inflight_slow == 0 {
            return;
        }
        let mut window = match self.judging.placebo.window.take() {
            Some(window) => window,
            None => self.new_window(),
        };
        let tick = Tick { dt_s: gathered.as_secs_f64(), stable, canary, ..Tick::default() };
        let verdict = run(&mut window.judged, tick, |_| ());
        window.watched += gathered;
        window.log_e = verdict.evidence.log_e;
        window.limit_ms = verdict.evidence.inflight_limit_ms;
        let ended = match verdict.ruling {
            Ruling::Rollback => Ended::Fired,
            _ if window.watched >= window.length => Ended::Quiet,
            _ => {
                self.judging.placebo.window = Some(window);
                return;
            }
        };
        self.window_ended(ended, &verdict);
        self.judging.placebo.keys = Default::default();
        self.judging.placebo.ended = Some(ended);
    }

    /// Counts a window that ended.
    fn window_ended(&mut self, ended: Ended, verdict: &Verdict) {
        self.live.placebo.runs += 1;
        self.judging.counts_unsaved = true;
        if ended == Ended::Quiet {
            return;
        }
        self.live.placebo.fired += 1;
        let Counts { runs, fired } = self.live.placebo;
        tracing::warn!(
            service = self.config.name,
            reason = verdict.reason,
            words = verdict.words,
            runs,
            fired,
            "the judge found a difference between two halves of the stable pool; the next release divides users anew"
        );
        self.live.next_salt = Some(Salt(rand::random()));
    }

    fn new_window(&self) -> Window {
        let plan = &self.config.rollout.plan;
        let holds =
            plan.steps.iter().map(|step| step.hold).fold(Duration::ZERO, Duration::saturating_add);
        let length = holds.clamp(*WINDOW.start(), *WINDOW.end());
        // The textbook rule takes its one look at the end.
        let requests = plan.steps.iter().map(|step| step.requests).max().unwrap_or_default();
        let rule = StepRule { weight: 0.5, requests, hold_s: length.as_secs_f64() };
        Window {
            judged: self.new_judge(vec![rule], Purpose::Watch, |_| ()),
            watched: Duration::ZERO,
            length,
            since_ms: millis(clock::unix()),
            log_e: 0.0,
            limit_ms: None,
        }
    }
}

#[cfg(test)]
mod tests;
