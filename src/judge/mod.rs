//! Decides whether a canary is worse than the stable pool, as a pure function of ticks.
//!
//! Each tick says what both pools did in the same stretch of time. Ticks are merged to slices;
//! each slice is a bet against "the canary is within its margins"; what the bets win is the
//! evidence. A canary within its margins is rolled back with a chance of at most `alpha` over the
//! whole rollout, however often one looks (Lindon & Malek 2022; Ville's inequality).
//!
//! ```text
//!   Tick -> Slice -> errors, routes, latency -> wealth \
//!        -> resources ------------------------> wealth  > weighted sum -> Rollback
//!           Slice -> advance (this step only) ----------> proof of no harm -> Advance
//! ```
//!
//! There is no clock, no chance and no input but the ticks: the same ticks give the same
//! verdicts, live and in a replay. Deadlines, gates and what a verdict leads to are the rollout's.

mod advance;
mod comparison;
mod edges;
mod errors;
mod estimate;
mod exact;
pub mod foresight;
mod guard;
mod histogram;
mod history;
mod interval;
mod latency;
mod pool;
pub mod protocol;
mod resources;
mod routes;
mod ruling;
mod settings;
mod slice;
mod step;
mod threshold;
mod verdict;
mod wealth;
mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use advance::Advance;
use comparison::Comparison;
use edges::Edges;
use guard::Guard;
use history::{History, Recent};
use pool::Pool;
use slice::{Pair, Slice, Trials};
use step::{Clock, Step};
use threshold::Window;

pub use estimate::interval_for;
pub use guard::Objectives;
pub use interval::{Interval, RouteInterval, Tick};
pub use settings::{Attention, Mode, Settings};
pub use verdict::{Evidence, Ruling, Verdict};

/// What a step asks for before it may end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepRule {
    /// The canary's share of the traffic, `0..=1`.
    pub weight: f64,
    /// The least number of canary requests.
    pub requests: u64,
    /// The least time, in seconds.
    pub hold_s: f64,
}

/// What the judged share is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Steps that advance on proof of non-inferiority.
    Canary,
    /// Steps that advance on requests, time and the absence of suspicion: proof at a small share
    /// would take hours at ordinary traffic.
    BlueGreen,
    /// A share set by hand: it may be rolled back and never advances.
    Watch,
}

/// The stable pool before the rollout.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Baseline {
    /// Completed first attempts.
    pub n: u64,
    /// Failed first attempts.
    pub errors: u64,
    /// Successes by latency bucket.
    pub successes: Vec<(u32, u64)>,
}

/// The state of a judgement. It survives a restart as it is, and is a few kilobytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Judge {
    settings: Settings,
    steps: Vec<StepRule>,
    purpose: Purpose,
    objectives: Objectives,
    edges: Edges,
    clock: Clock,
    step: Step,
    stable: Pool,
    canary: Pool,
    /// Open from the first tick after a close to the next close.
    slice: Option<Slice>,
    comparison: Comparison,
    advance: Advance,
    window: Window,
    recent: Recent,
    history: History,
    /// There from the switch on.
    guard: Option<Guard>,
    /// The reason and the words of a rollback, which stands once it was said.
    rolled_back: Option<(String, String)>,
    last: Verdict,
}

impl Judge {
    /// A judge at the start of a rollout. Bucket `b` spans `edges_ms[b]..edges_ms[b + 1]`.
    pub fn new(
        settings: Settings,
        steps: Vec<StepRule>,
        purpose: Purpose,
        edges_ms: Vec<f64>,
        baseline: &Baseline,
    ) -> Self {
        let mut judge = Self {
            comparison: Comparison::new(&settings, &baseline.successes),
            advance: Advance::new(&settings),
            settings,
            steps,
            purpose,
            objectives: Objectives::default(),
            edges: Edges::new(edges_ms),
            clock: Clock::default(),
            step: Step::default(),
            stable: Pool::default(),
            canary: Pool::default(),
            slice: None,
            window: Window::default(),
            recent: Recent::default(),
            history: History::new(baseline),
            guard: None,
            rolled_back: None,
            last: Verdict::default(),
        };
        judge.last = Verdict {
            reason: "start".into(),
            words: "nothing seen yet".into(),
            evidence: judge.evidence(0.0),
            ..Verdict::default()
        };
        judge
    }

    /// Absolute limits for the guard, beside the stable pool's own rates.
    #[must_use]
    pub fn with_objectives(mut self, objectives: Objectives) -> Self {
        self.objectives = objectives;
        self
    }

    /// Takes one tick in and says what to do.
    pub fn tick(&mut self, tick: &Tick) -> Verdict {
        let now_s = self.clock.read(tick);
        if self.step.index != Some(tick.step) {
            self.enter(tick.step, now_s - step::length_s(tick));
        }
        self.observe(tick, now_s);
        self.close_slice(now_s);
        self.comparison.resources.test(&tick.resources, &self.settings);
        self.last = self.rule(tick, now_s);
        self.last.clone()
    }

    /// The last verdict.
    pub fn verdict(&self) -> &Verdict {
        &self.last
    }

    /// Begins the step's observation anew, after a restart of the process or when the canary has
    /// new endpoints. Neither counts as time of good behaviour; the evidence against it stays.
    pub fn restart_step(&mut self) {
        self.step.index = None;
        self.stable.forget_in_flight();
        self.canary.forget_in_flight();
    }

    /// True once the canary has all the traffic.
    fn is_guarding(&self) -> bool {
        self.step.index.is_some_and(|index| index >= self.steps.len())
    }

    /// Begins a step, or begins it anew. The open slice is dropped: its requests were split by
    /// other shares.
    fn enter(&mut self, index: usize, started_s: f64) {
        if index > self.step.highest && index < self.steps.len() {
            self.step.highest = index;
            let later_steps = self.steps.len().saturating_sub(1).max(1);
            self.comparison.inject(self.settings.inject_steps / later_steps as f64);
        }
        let highest = self.step.highest;
        self.step = Step { index: Some(index), highest, started_s, raw: Pair::default() };
        self.slice = None;
        self.stable.begin_step();
        self.canary.begin_step();
        self.comparison.begin_step();
        self.advance = Advance::new(&self.settings);
        self.window = Window::new(started_s);
        if self.is_guarding() && self.guard.is_none() {
            let before = self.history.sum();
            self.guard = Some(Guard::new(&before, self.objectives, &self.edges, &self.settings));
        }
    }

    /// Adds a tick to the open slice and to the counts of the step.
    fn observe(&mut self, tick: &Tick, now_s: f64) {
        let key_cap = self.settings.key_cap;
        let started_s = now_s - step::length_s(tick);
        let slice = self.slice.get_or_insert_with(|| Slice::new(started_s));
        self.stable.observe(&tick.stable, key_cap, &mut slice.stable);
        self.canary.observe(&tick.canary, key_cap, &mut slice.canary);
        let limit = self.comparison.latency.inflight_limit(now_s, &self.edges, &self.settings);
        let limit_bucket = limit.map(|limit| self.edges.holding(limit.slow_ms));
        self.stable.remember(tick.stable.inflight_slow, limit_bucket);
        self.canary.remember(tick.canary.inflight_slow, limit_bucket);
        self.step.raw.add(Pair {
            stable: Trials::new(tick.stable.n, tick.stable.errors),
            canary: Trials::new(tick.canary.n, tick.canary.errors),
        });
        if self.is_guarding() {
            return;
        }
        if tick.canary.n > 0 {
            self.comparison.latency.canary_seen(now_s);
        }
        self.comparison.routes.observe(&tick.routes, &self.settings);
        self.history.observe(&tick.stable, now_s);
        if self.settings.mode == Mode::Threshold {
            self.window.observe(tick);
        }
    }

    /// Tests the open slice if it is due.
    fn close_slice(&mut self, now_s: f64) {
        let (guarding, slice_s) = (self.is_guarding(), self.settings.slice_s);
        let due = |slice: &mut Slice| match guarding {
            true => slice.is_due_alone(now_s, slice_s),
            false => slice.is_due(now_s, slice_s),
        };
        let Some(slice) = self.slice.take_if(due) else { return };
        if let (true, Some(guard)) = (guarding, &mut self.guard) {
            let limit = self.comparison.latency.inflight_limit(now_s, &self.edges, &self.settings);
            let inflight_from = limit.map(|limit| self.edges.holding(limit.slow_ms));
            guard.test(&slice.canary, inflight_from, &self.settings);
            return;
        }
        let slow = self.comparison.test(&slice, now_s, &self.edges, &self.settings);
        if !slice.proves_nothing {
            self.advance.test(slice.kept(), slow, self.next_weight(), &self.settings);
        }
        self.recent.push(slice.raw().stable, now_s);
    }

    /// To fail less than a pool that is dead is no proof of being as good as a live one: what has
    /// to be shown before the step may end is shown anew, from the next slice on.
    fn forget_proof(&mut self) {
        self.advance = Advance::new(&self.settings);
        if let Some(slice) = &mut self.slice {
            slice.proves_nothing = true;
        }
    }

    /// The share that the canary gets when this step ends.
    fn next_weight(&self) -> f64 {
        let next = self.step.index.and_then(|index| self.steps.get(index.checked_add(1)?));
        next.map(|step| step.weight).filter(|weight| *weight > 0.0).unwrap_or(1.0)
    }
}
