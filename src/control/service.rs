//! One service while the process runs: its file, its durable state, and what is being seen of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::judging::{Seen, run};
use super::live::{Live, millis};
use super::writer::Base;
use crate::clock;
use crate::config;
use crate::judge::{self, Interval, Purpose, Ruling, StepRule, Verdict};
use crate::rollout::{Event, Stage, State};
use crate::split::issued::Issuer;
use crate::upstream::{Pool, Standing};

/// How long a canary may take to become healthy before it gets any traffic.
const GATE_LIMIT: Duration = Duration::from_secs(60);

/// Why something is decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) reason: String,
    pub(super) words: String,
    pub(super) actor: String,
    pub(super) why: Option<String>,
    pub(super) evidence: Option<judge::Evidence>,
}

impl Cause {
    /// serin's own decision.
    pub(super) fn own(reason: &str, words: impl Into<String>) -> Self {
        let (reason, words) = (reason.to_owned(), words.into());
        Self { reason, words, actor: "serin".into(), ..Self::default() }
    }

    fn of_verdict(verdict: &Verdict) -> Self {
        let own = Self::own(&verdict.reason, verdict.words.clone());
        Self { evidence: Some(verdict.evidence.clone()), ..own }
    }
}

/// One service while the process runs.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) config: config::Service,
    pub(super) issuer: Option<Issuer>,
    pub(super) live: Live,
    /// The table that last changed it.
    pub(super) generation: u64,
    /// By pool.
    pub(super) seen: BTreeMap<String, Seen>,
    pub(super) verdict: Option<Verdict>,
    /// How long the stage has been watched, pauses left out.
    observed: Duration,
    deadline_passed: bool,
    /// Said once, when it begins.
    alarmed: bool,
    /// Why the pending move is made.
    pub(super) moving_for: Cause,
    /// The write that the pending move waits for.
    pub(super) token: u64,
    /// The last write that is known to have ended.
    pub(super) stored: u64,
    /// The number of the last rollback that was decided; later ones have higher numbers.
    pub(super) last_intent: u64,
    /// What the state was last read from.
    pub(super) base: Base,
    /// The state still has to be written.
    pub(super) unsaved: bool,
    /// How long the judge's state has not been written.
    pub(super) unsaved_for: Duration,
}

/// The pools that the judge compares.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) stable: Arc<Pool>,
    pub(super) canary: Option<Arc<Pool>>,
}

/// What follows from what was seen, if anything.
pub(super) type Follows = Option<(Event, Cause)>;

impl Service {
    pub(super) fn new(config: config::Service, issuer: Option<Issuer>, live: Live) -> Self {
        Self {
            config,
            issuer,
            live,
            generation: 0,
            seen: BTreeMap::new(),
            verdict: None,
            observed: Duration::ZERO,
            deadline_passed: false,
            alarmed: false,
            moving_for: Cause::default(),
            token: 0,
            stored: 0,
            // Whatever an earlier process intended was honoured when the state was read.
            last_intent: millis(clock::unix()),
            base: Base::default(),
            unsaved: false,
            unsaved_for: Duration::ZERO,
        }
    }

    /// Whether there is anything to look at: 5,000 idle services cost a tick next to nothing.
    pub(super) fn is_active(&self) -> bool {
        self.live.state().is_running() || !self.live.weight.is_zero() || !self.seen.is_empty()
    }

    /// Begins the stage's observation anew.
    pub(super) fn observe_anew(&mut self) {
        self.observed = Duration::ZERO;
        self.deadline_passed = false;
        let judged = self.live.rollout.as_mut().and_then(|rollout| rollout.judge.as_mut());
        if let Some(judged) = judged {
            judged.judge.restart_step();
        }
    }

    /// Lets `dt` pass, and returns what follows from what was seen.
    pub(super) fn tick(&mut self, dt: Duration, pools: &Pools) -> Follows {
        for seen in self.seen.values_mut() {
            seen.stats.age(dt);
        }
        let event = match self.live.state() {
            State::Running { stage, moving, paused } => {
                if !paused {
                    self.observed += dt;
                }
                let event = self.running_tick(stage, dt, pools);
                // A bad verdict is heard at any time; the rest waits for the move or the operator.
                event.filter(|(event, _)| *event == Event::Fail || (moving.is_none() && !paused))
            }
            State::Idle | State::Ended(_) => self.watch_tick(dt, pools),
        };
        for seen in self.seen.values_mut() {
            seen.interval = Interval::default();
        }
        event
    }

    /// What health alone says, without waiting for a tick.
    pub(super) fn glance(&self, pools: &Pools) -> Follows {
        let stage = self.live.state().stage();
        match stage {
            Some(Stage::Gate) => self.gate(pools),
            _ if self.live.share().is_zero() => None,
            _ => empty(pools),
        }
    }

    fn running_tick(&mut self, stage: Stage, dt: Duration, pools: &Pools) -> Follows {
        let step = match stage {
            Stage::Gate => return self.gate(pools),
            Stage::Step(step) | Stage::Approval(step) => step,
            Stage::Guard | Stage::Done => usize::MAX,
        };
        let tick = self.take_tick(step, dt, pools);
        let judged = self.judged()?;
        let verdict = run(judged, tick);
        self.alarm(&verdict);
        let event = self.after(stage, &verdict).or_else(|| empty(pools));
        self.verdict = Some(verdict);
        event
    }

    fn gate(&self, pools: &Pools) -> Follows {
        let canary = pools.canary.as_ref()?;
        let serving: Vec<_> = canary.endpoints.iter().filter(|e| !e.is_drained()).collect();
        let count = serving.len();
        // A name that does not resolve yet has no endpoint to be healthy.
        let drained = self.live.pools.get(&canary.name).map(|live| &live.drained);
        let named = self.live.targets(&canary.name, &self.config).iter().all(|target| {
            drained.is_some_and(|drained| drained.contains(target))
                || serving.iter().any(|endpoint| endpoint.target == *target)
        });
        if count > 0 && named && serving.iter().all(|endpoint| endpoint.is_available()) {
            let words = match count {
                1 => format!("the endpoint of pool {} is healthy", canary.name),
                _ => format!("all {count} endpoints of pool {} are healthy", canary.name),
            };
            return Some((Event::GatePassed, Cause::own("health", words)));
        }
        let limit = self.live.rollout.as_ref()?.plan.deadline.min(GATE_LIMIT);
        if self.observed < limit {
            return None;
        }
        let up = canary.endpoints.iter().filter(|endpoint| endpoint.is_available()).count();
        let asked = canary.health_path.as_deref().map_or(String::new(), |p| format!(" (GET {p})"));
        let words = format!(
            "{up} of {count} endpoints of pool {} became healthy within {} s{asked}",
            canary.name,
            limit.as_secs()
        );
        Some((Event::GateFailed, Cause::own("health", words)))
    }

    /// What follows from a verdict on the running rollout.
    fn after(&mut self, stage: Stage, verdict: &Verdict) -> Follows {
        let cause = || Cause::of_verdict(verdict);
        let plan = &self.live.rollout.as_ref()?.plan;
        match (verdict.ruling, stage) {
            (Ruling::Rollback, _) => Some((Event::Fail, cause())),
            (Ruling::Advance, Stage::Step(_)) => Some((Event::Advance, cause())),
            (_, Stage::Guard)
                if self.observed >= plan.guard
                    && verdict.evidence.canary_n > 0
                    && !verdict.alarm =>
            {
                let seconds = plan.guard.as_secs();
                let words = format!("{seconds} s at 100% without a bad verdict");
                Some((Event::GuardOver, Cause { reason: "guard".into(), words, ..cause() }))
            }
            (_, Stage::Step(step)) if self.observed >= plan.deadline && !self.deadline_passed => {
                self.deadline_passed = true;
                let words = format!(
                    "step {} did not end within {} s: {}",
                    step + 1,
                    plan.deadline.as_secs(),
                    verdict.words
                );
                tracing::warn!(service = self.config.name, words, "deadline");
                Some((Event::Deadline, Cause { reason: "deadline".into(), words, ..cause() }))
            }
            _ => None,
        }
    }

    /// Judges a share that was set by hand: nothing above 0 % is unwatched.
    fn watch_tick(&mut self, dt: Duration, pools: &Pools) -> Follows {
        if self.live.weight.is_zero() || pools.canary.is_none() {
            self.verdict = None;
            self.live.watch = None;
            return None;
        }
        if self.config.judge.watch {
            let tick = self.take_tick(0, dt, pools);
            if self.live.watch.is_none() {
                let rule = StepRule {
                    weight: self.live.weight.fraction(),
                    requests: u64::MAX,
                    // Infinity would not survive being written as JSON.
                    hold_s: f64::MAX,
                };
                self.live.watch = Some(self.new_judge(vec![rule], Purpose::Watch));
            }
            let verdict = run(self.live.watch.as_mut()?, tick);
            self.alarm(&verdict);
            let bad = verdict.ruling == Ruling::Rollback;
            let cause = Cause::of_verdict(&verdict);
            self.verdict = Some(verdict);
            if bad {
                return Some((Event::Fail, cause));
            }
        }
        empty(pools)
    }

    fn alarm(&mut self, verdict: &Verdict) {
        if verdict.alarm && !self.alarmed {
            tracing::error!(
                service = self.config.name,
                words = verdict.words,
                "both pools are bad"
            );
        }
        self.alarmed = verdict.alarm;
    }
}

/// A canary without a healthy endpoint is left at once, unless stable is no better.
fn empty(pools: &Pools) -> Follows {
    let canary = pools.canary.as_ref()?;
    let gone = canary.standing() == Standing::Down && pools.stable.standing() == Standing::Up;
    gone.then(|| {
        let words = format!(
            "none of the {} endpoints of pool {} is healthy",
            canary.endpoints.len(),
            canary.name
        );
        (Event::Fail, Cause::own("empty", words))
    })
}
