//! What a plan can see at a given traffic, before it is run: for `serin plan`.
//!
//! The formulas are the judge's own, but their counts are expected ones:
//!
//! - A step lasts until the requests, the time and the proof are there for a canary that is exactly
//!   as good as stable. Both pools are taken to fail at stable's rate, evenly; of the requests of
//!   stable 1 % lie above its p99, and of the canary's half as many above `latency_ratio` times it.
//! - A fault begins with the step, after good behaviour in all steps before. The canary's failures
//!   come when a Poisson process has them in the median: the i-th after `(i - 1/3)` mean gaps.
//! - A slice with failures is as long as the settings or the canary's traffic make it; all between
//!   two failures is one piece, because the evidence of slices without them adds up.
//!
//! Single releases are faster or slower by chance: the tests hold these numbers against medians of
//! simulated ones. Latency, routes and resources are left out of what is seen; they see more.

mod walk;

use serde::{Deserialize, Serialize};

use super::settings::{Mode, Settings};
use super::slice::Counts;
use super::wealth::log_mean_exp;
use super::{Purpose, StepRule, advance, words};
use walk::Walk;

/// The traffic of a service.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Traffic {
    /// Requests per second, of both pools together.
    pub rps: f64,
    /// The stable pool's error rate, `0..=1`.
    pub error_rate: f64,
}

/// What ends a step.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ends {
    /// The least number of canary requests.
    Requests,
    /// The least time.
    Hold,
    /// The proof that the canary's errors are within the margin.
    Errors,
    /// The proof that the canary's latency is within the margin.
    Latency,
    /// Nothing: it lasts until somebody ends it.
    Never,
}

/// What to expect of one step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepForesight {
    /// The canary's share, `0..=1`.
    pub weight: f64,
    /// The canary's requests per second.
    pub canary_rps: f64,
    /// How long the step lasts when the canary is as good as stable, in seconds; none if it does
    /// not end.
    pub lasts_s: Option<f64>,
    /// What it waits for last.
    pub ends: Ends,
    /// The canary's requests in that time.
    pub canary_requests: Option<f64>,
    /// The smallest error rate of the canary that is rolled back within that time, if any is.
    pub visible_error_rate: Option<f64>,
    /// The smallest error rate of the canary that keeps the step from advancing, but for a chance
    /// of `alpha_advance`; none if the step asks for no proof.
    pub held_error_rate: Option<f64>,
    /// How many requests a canary that fails always fails until it is rolled back.
    pub failed_if_dead: Option<f64>,
    /// How many requests a canary of the smallest visible error rate fails until then.
    pub failed_if_visible: Option<f64>,
    /// The same for people, with what such a step cannot do.
    pub words: String,
}

/// What to expect of each step of a plan.
pub fn of(
    settings: &Settings,
    steps: &[StepRule],
    purpose: Purpose,
    traffic: Traffic,
) -> Vec<StepForesight> {
    let plan = Plan { settings, steps, purpose, traffic: traffic.sane() };
    let mut before_s = 0.0;
    let mut lengths: Vec<f64> = Vec::new();
    let mut foreseen = Vec::new();
    for at in 0..steps.len() {
        let (lasts_s, ends) = plan.length(at, before_s);
        let step = plan.step(at, &lengths, lasts_s, ends);
        let length_s = lasts_s.unwrap_or(WATCHED_S);
        before_s += length_s;
        lengths.push(length_s);
        foreseen.push(step);
    }
    foreseen
}

/// Nothing is foreseen beyond a month.
const LONGEST_S: f64 = 30.0 * 86_400.0;
/// What is said of a step without end is said of its first hour.
const WATCHED_S: f64 = 3_600.0;
/// A step that lasts longer than this is pointed out: it is the usual deadline.
const LONG_S: f64 = 3_600.0;
/// Of stable's requests so many lie above its p99.
const SLOW_STABLE: f64 = 0.01;
/// Of an equal canary's requests so many lie above the tolerated multiple of stable's p99.
const SLOW_CANARY: f64 = 0.005;

struct Plan<'a> {
    settings: &'a Settings,
    steps: &'a [StepRule],
    purpose: Purpose,
    traffic: Traffic,
}

impl Traffic {
    fn sane(self) -> Self {
        let rps = if self.rps.is_finite() { self.rps.max(0.0) } else { 0.0 };
        let error_rate = if self.error_rate.is_nan() { 0.0 } else { self.error_rate };
        Self { rps, error_rate: error_rate.clamp(0.0, 1.0) }
    }
}

impl Plan<'_> {
    fn weight(&self, at: usize) -> f64 {
        let weight = self.steps.get(at).map_or(1.0, |step| step.weight);
        if weight.is_nan() { 0.0 } else { weight.clamp(0.0, 1.0) }
    }

    /// Requests per second of stable and of the canary.
    fn rates(&self, at: usize) -> (f64, f64) {
        let Traffic { rps, .. } = self.traffic;
        (rps * (1.0 - self.weight(at)), rps * self.weight(at))
    }

    fn proves(&self) -> bool {
        self.purpose == Purpose::Canary && self.settings.mode == Mode::Sequential
    }

    /// How long a step lasts, and what it waits for last.
    fn length(&self, at: usize, before_s: f64) -> (Option<f64>, Ends) {
        let (stable_rps, canary_rps) = self.rates(at);
        let rule = self.steps[at];
        if self.purpose == Purpose::Watch {
            return (None, Ends::Never);
        }
        let mut waits = vec![
            (rule.hold_s.max(0.0), Ends::Hold),
            (rule.requests as f64 / canary_rps, Ends::Requests),
        ];
        if self.proves() {
            let margin = self.margin(at);
            let (p, ratio) = (self.traffic.error_rate, self.settings.advance_ratio);
            let even = Counts {
                n_s: stable_rps,
                e_s: p * stable_rps,
                n_c: canary_rps,
                e_c: p * canary_rps,
            };
            waits.push((self.proof_s(even, ratio, margin), Ends::Errors));
            if !self.settings.levels.is_empty() {
                let slow =
                    Counts { e_s: SLOW_STABLE * stable_rps, e_c: SLOW_CANARY * canary_rps, ..even };
                let margin = self.settings.advance_latency_factor * margin;
                let warm_s = (self.settings.warm_s + 1.0 / canary_rps - before_s).max(0.0);
                waits.push((warm_s + self.proof_s(slow, 1.0, margin), Ends::Latency));
            }
        }
        let longest = waits.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        match longest {
            Some((lasts_s, ends)) if lasts_s <= LONGEST_S => (Some(lasts_s), ends),
            _ => (None, Ends::Never),
        }
    }

    /// How long a proof of the advance test takes at these counts per second.
    fn proof_s(&self, each_s: Counts, ratio: f64, margin: f64) -> f64 {
        let wanted = -self.settings.alpha_advance.ln();
        let shown = |t_s: f64| self.shown(each_s.times(t_s), ratio, margin) >= wanted;
        // The bet that the canary never fails is lost at its first failure; if it is not won by
        // then, the others have to do.
        let first_s = std::f64::consts::LN_2 / each_s.e_c * (1.0 - 1e-9);
        if first_s < LONGEST_S && shown(first_s) {
            return boundary(first_s, 0.0, shown);
        }
        if shown(LONGEST_S) { boundary(LONGEST_S, 0.0, shown) } else { f64::INFINITY }
    }

    /// The evidence of the advance test. The median canary has failed once `ln 2` failures are
    /// expected.
    fn shown(&self, counts: Counts, ratio: f64, margin: f64) -> f64 {
        let grid = &self.settings.advance_grid;
        let spared = Counts { e_c: 0.0, ..counts };
        let never = advance::log_evidence(spared, ratio, margin, grid);
        let mut log_e = advance::log_evidence(counts, ratio, margin, grid);
        for ((log_e, never), z) in log_e.iter_mut().zip(never).zip(grid) {
            if *z <= 0.0 && counts.e_c < std::f64::consts::LN_2 {
                *log_e = never;
            }
        }
        log_mean_exp(&log_e)
    }

    fn step(&self, at: usize, before: &[f64], lasts_s: Option<f64>, ends: Ends) -> StepForesight {
        let (_, canary_rps) = self.rates(at);
        let length_s = lasts_s.unwrap_or(WATCHED_S);
        let visible = self.smallest(|rate| self.found(at, before, rate, length_s).is_some());
        let harm = |rate, within_s| self.found(at, before, rate, within_s).map(f64::ceil);
        let mut step = StepForesight {
            weight: self.weight(at),
            canary_rps,
            lasts_s,
            ends,
            canary_requests: lasts_s.map(|lasts_s| lasts_s * canary_rps),
            visible_error_rate: visible,
            held_error_rate: self.proves().then(|| self.held(at)),
            failed_if_dead: harm(1.0, LONGEST_S),
            failed_if_visible: visible.and_then(|rate| harm(rate, length_s)),
            words: String::new(),
        };
        step.words = step.say(self.traffic);
        step
    }

    /// The smallest error rate above stable's for which `is_so`, to one part in a hundred.
    fn smallest(&self, is_so: impl Fn(f64) -> bool) -> Option<f64> {
        if !is_so(1.0) {
            return None;
        }
        let (mut low, mut high) = (self.traffic.error_rate.max(1e-9).ln(), 0.0);
        while high - low > 0.01 {
            let middle = f64::midpoint(low, high);
            if is_so(middle.exp()) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high.exp())
    }

    /// The smallest error rate of which the advance test bears "worse by at least the margin".
    fn held(&self, at: usize) -> f64 {
        let tolerated = self.settings.advance_ratio * self.traffic.error_rate;
        (tolerated + self.margin(at)).min(1.0)
    }

    fn margin(&self, at: usize) -> f64 {
        let next = self.weight(at + 1);
        advance::margin(if next > 0.0 { next } else { 1.0 }, self.settings)
    }

    /// How often a canary has failed by its rollback that fails at `rate` from the beginning of a
    /// step on.
    fn found(&self, at: usize, before: &[f64], rate: f64, within_s: f64) -> Option<f64> {
        if self.settings.mode == Mode::Threshold {
            return self.found_once(at, rate, within_s);
        }
        let settings = self.settings;
        let mut walk = Walk::new(self);
        for (earlier, length_s) in before.iter().enumerate() {
            walk.enter(earlier);
            walk.behave(*length_s);
        }
        walk.enter(at);
        let threshold = -settings.alpha.ln() - settings.attention.errors.ln();
        walk.go(rate, within_s, threshold)
    }

    /// The textbook rule looks once, at the end.
    fn found_once(&self, at: usize, rate: f64, within_s: f64) -> Option<f64> {
        let (_, canary_rps) = self.rates(at);
        let rule = self.steps[at];
        let t_s = (rule.requests as f64 / canary_rps).max(rule.hold_s);
        let failed = rate * canary_rps * t_s;
        let above = rate > self.settings.error_ratio * self.traffic.error_rate;
        (above && failed >= 1.0 && t_s <= within_s).then_some(failed)
    }
}

impl Counts {
    fn times(self, t_s: f64) -> Self {
        let Self { n_s, e_s, n_c, e_c } = self;
        Self { n_s: n_s * t_s, e_s: e_s * t_s, n_c: n_c * t_s, e_c: e_c * t_s }
    }
}

/// Where `is_so` begins, between a time at which it is and one at which it is not.
fn boundary(mut yes: f64, mut no: f64, is_so: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = yes.midpoint(no);
        if is_so(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

impl StepForesight {
    fn say(&self, traffic: Traffic) -> String {
        let rps = (traffic.rps * 100.0).round() / 100.0;
        if self.canary_rps <= 0.0 {
            return "the canary gets no requests".into();
        }
        let seen = self.visible_error_rate.map(words::percent);
        match (self.lasts_s, seen) {
            (None, Some(seen)) => {
                format!("does not end by itself; in an hour it sees a canary that fails {seen}")
            }
            (None, None) => format!(
                "at {rps} requests/s an hour is too short to see even a canary that always fails"
            ),
            (Some(lasts_s), Some(seen)) if lasts_s > LONG_S => {
                let lasts = words::duration(lasts_s);
                format!(
                    "at {rps} requests/s this step lasts {lasts} before it can advance; \
                     it sees a canary that fails {seen}"
                )
            }
            (Some(_), Some(seen)) => format!("sees a canary that fails {seen}"),
            (Some(lasts_s), None) => {
                let lasts = words::duration(lasts_s);
                format!(
                    "at {rps} requests/s it cannot see even a canary that always fails in its {lasts}"
                )
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/foresight.rs"]
mod tests;
