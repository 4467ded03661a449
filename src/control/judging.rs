//! What is seen of a service's pools, and the judges that look at it.

mod limits;
mod step;

use std::sync::Arc;
use std::time::Duration;

use super::live::{Judged, Live};
use super::placebo::Placebo;
use super::publish::Cohort;
use super::recording::Recording;
use super::resources::{Sample, Taken, Watched};
use super::service::{Pools, Service};
use super::stats::Stats;
use crate::config::Resources;
use crate::judge::protocol::init_line;
use crate::judge::{Interval, Judge, Purpose, RouteInterval, Ruling, StepRule, Tick, Verdict};
use crate::measure::Delta;
use crate::measure::histogram::edges_ms;
use crate::rollout::{End, Stage, State};
use crate::split::Weight;
use crate::upstream::{Pool, Standing};
use step::Step;

pub(super) use limits::Limited;

/// What is being seen of one pool.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) stats: Stats,
    /// Since the last tick of the judge.
    pub(super) interval: Interval,
    /// In this step.
    step: Step,
}

/// What judging a service needs beside what is seen of its pools.
#[derive(Debug, Default)]
pub(super) struct Judging {
    pub(super) recording: Recording,
    pub(super) resources: Watched,
    pub(super) placebo: Placebo,
    pub(super) limited: Limited,
    /// Counts of comparisons that are not on disk.
    pub(super) counts_unsaved: bool,
    /// The step that `Seen::step` is of.
    step: Option<usize>,
}

impl Judging {
    /// The stage's observation begins anew.
    pub(super) fn observe_anew(&mut self) {
        self.step = None;
        self.placebo = Placebo::default();
        self.resources.begin_block();
        self.recording.restart_step();
    }
}

impl Service {
    /// Takes in what a `cohort` of a pool did.
    pub(super) fn measured(&mut self, pool: &str, cohort: Cohort, delta: &Delta) {
        let is_canary = self.live.canary.as_deref() == Some(pool);
        let (judged, key_cap) = (self.is_judged(), self.config.judge.settings.key_cap);
        let seen = self.seen.entry(pool.to_owned()).or_default();
        seen.stats.add(delta);
        if judged {
            seen.step.add(delta, key_cap);
        } else if pool == self.live.stable {
            self.judging.placebo.measured(cohort == Cohort::Half, delta);
        }
        merge(&mut seen.interval, &delta.interval);
        self.charge(pool, &delta.interval);
        if let Some(rollout) = &mut self.live.rollout
            && let Some(ab) = rollout.ab.as_mut().filter(|_| rollout.state.is_running())
        {
            let side = if is_canary { &mut ab.1 } else { &mut ab.0 };
            side.add(&delta.interval);
        }
    }

    /// Counts what the release did to users, those included who still waited when it was rolled
    /// back: a canary that hangs fails them only later.
    fn charge(&mut self, pool: &str, interval: &Interval) {
        let Live { canary, rollout, weight, .. } = &mut self.live;
        let Some(rollout) = rollout.as_mut().filter(|_| canary.as_deref() == Some(pool)) else {
            return;
        };
        let rolled_back = rollout.state == State::Ended(End::RolledBack) && weight.is_zero();
        if interval.n == 0 || !(rollout.state.is_running() || rolled_back) {
            return;
        }
        rollout.canary_requests += interval.n;
        rollout.canary_errors += interval.errors;
        self.unsaved |= rolled_back;
    }

    /// Forgets what was seen of `pool`, but for its totals: another version runs there now.
    pub(super) fn forget(&mut self, pool: &str) {
        if let Some(seen) = self.seen.get_mut(pool) {
            seen.stats.forget();
            seen.interval = Interval::default();
            seen.step = Step::default();
        }
    }

    /// Whether the canary is compared with the stable pool.
    pub(super) fn is_judged(&self) -> bool {
        self.live.state().is_running() || (self.config.judge.watch && !self.live.weight.is_zero())
    }

    /// Why what the pools use is not known although it was asked for.
    pub(super) fn open_resources(&self) -> Option<String> {
        self.judging.resources.missing(self.resource_rules())
    }

    /// What the file says of the resources of both pools, stable's first.
    pub(super) fn resource_rules(&self) -> [Option<&Resources>; 2] {
        let rule = |pool: &str| self.config.pools.get(pool)?.resources.as_ref();
        [rule(&self.live.stable), self.live.canary.as_deref().and_then(rule)]
    }

    /// Takes in what the pools use.
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let config = &self.config;
        let rule = |pool: &str| config.pools.get(pool)?.resources.as_ref();
        let rules = [rule(&self.live.stable), self.live.canary.as_deref().and_then(rule)];
        self.judging.resources.sampled(sample, rules, &config.judge.settings);
    }

    /// The age at which a request in flight of these pools counts as slow, if the judge says one.
    pub(super) fn limit_ms(&self) -> Option<f64> {
        if self.is_judged() {
            self.verdict.as_ref()?.evidence.inflight_limit_ms
        } else {
            self.judging.placebo.limit_ms()
        }
    }

    /// Lets time pass for what is measured beside requests.
    pub(super) fn pass(&mut self, dt: Duration) {
        let n = |pool: &str| self.seen.get(pool).map_or(0, |seen| seen.interval.n);
        let canary = self.live.canary.as_deref().map_or(0, n);
        self.judging.resources.served(n(&self.live.stable), canary, dt);
    }

    /// Judges the running rollout, whose judge is made when its first step begins.
    pub(super) fn judge_rollout(
        &mut self,
        stage: Stage,
        dt: Duration,
        pools: &Pools,
    ) -> Option<Verdict> {
        let step = match stage {
            Stage::Gate => return None,
            Stage::Step(step) | Stage::Approval(step) => step,
            Stage::Guard | Stage::Done => usize::MAX,
        };
        let (tick, over_limit) = self.take_tick(step, dt, pools);
        let weight = self.live.share().fraction();
        let mut judged = match self.live.rollout.as_mut()?.judge.take() {
            Some(judged) => {
                if let Some(path) = &self.config.judge.record {
                    self.judging.recording.go_on(path, &judged.judge);
                }
                judged
            }
            None => self.begin()?,
        };
        let verdict = run(&mut judged, tick, |tick| self.judging.recording.tick(tick, weight));
        self.live.rollout.as_mut()?.judge = Some(judged);
        Some(said(verdict, over_limit))
    }

    /// Judges a share that was set by hand.
    pub(super) fn judge_watch(&mut self, dt: Duration, pools: &Pools) -> Option<Verdict> {
        // With everything the canary has nothing beside it: it is guarded, as a release is then.
        let step = usize::from(self.live.weight == Weight::FULL);
        let (tick, over_limit) = self.take_tick(step, dt, pools);
        if self.live.watch.is_none() {
            let rule = StepRule {
                weight: self.live.weight.fraction(),
                requests: u64::MAX,
                // Infinity would not survive being written as JSON.
                hold_s: f64::MAX,
            };
            self.live.watch = Some(self.new_judge(vec![rule], Purpose::Watch, |_| ()));
        }
        let verdict = run(self.live.watch.as_mut()?, tick, |_| ());
        Some(said(verdict, over_limit))
    }

    /// The judge of the rollout's first step, and the first line of its recording.
    fn begin(&mut self) -> Option<Judged> {
        let rollout = self.live.rollout.as_ref()?;
        let (rules, purpose) = (rollout.plan.rules(), rollout.plan.purpose());
        let mut init = None;
        let record = self.config.judge.record.clone();
        let judged = self.new_judge(rules, purpose, |line| {
            init = record.is_some().then(line);
        });
        if let (Some(path), Some(init)) = (record, init) {
            self.judging.recording.begin(&path, init);
        }
        Some(judged)
    }

    /// A judge with the service's settings. `init` may ask for the line that makes the same one.
    pub(super) fn new_judge(
        &self,
        rules: Vec<StepRule>,
        purpose: Purpose,
        init: impl FnOnce(&dyn Fn() -> String),
    ) -> Judged {
        let stable = self.seen.get(&self.live.stable);
        let baseline = stable.map(|seen| seen.stats.baseline()).unwrap_or_default();
        let config = &self.config.judge;
        let (settings, objectives, edges) = (&config.settings, config.objectives, edges_ms());
        init(&|| init_line(settings, &rules, purpose, &objectives, &edges, &baseline));
        let judge = Judge::new(settings.clone(), rules, purpose, edges, &baseline);
        Judged { judge: Box::new(judge.with_objectives(objectives)), t_s: 0.0 }
    }

    /// What both pools did since the last tick, and which hard limit is broken, in words.
    fn take_tick(&mut self, step: usize, dt: Duration, pools: &Pools) -> (Tick, Option<String>) {
        if self.judging.step.replace(step) != Some(step) {
            // What was seen in this very tick is still of the step before.
            self.seen.values_mut().for_each(|seen| seen.step = Step::default());
        }
        let mut take = |pool: Option<&Arc<Pool>>| {
            let seen = pool.and_then(|pool| self.seen.get_mut(&pool.name));
            let mut routes = step::Routes::default();
            let mut interval = Interval::default();
            if let Some(seen) = seen {
                interval = std::mem::take(&mut seen.interval);
                interval.distinct_keys = seen.step.distinct_keys();
                routes = seen.step.take_routes();
            }
            (interval, routes)
        };
        let (mut stable, stable_routes) = take(Some(&pools.stable));
        let (mut canary, canary_routes) = take(pools.canary.as_ref());
        // Before its first check a pool is not known to be dead.
        stable.healthy = pools.stable.standing() != Standing::Down;
        let of_canary = pools.canary.as_ref();
        canary.healthy = of_canary.is_some_and(|canary| !canary.is_down_beside(&pools.stable));
        let counts = stable_routes.into_iter().zip(canary_routes);
        let routes = self.live.routes().iter().zip(counts);
        let routes = routes
            .filter(|(_, (stable, canary))| stable.0 + canary.0 > 0)
            .map(|(name, (stable, canary))| RouteInterval { name: name.clone(), stable, canary })
            .collect();
        let Taken { blocks: resources, over_limit } = self.judging.resources.take();
        let tick = Tick {
            t_s: 0.0,
            dt_s: dt.as_secs_f64(),
            step,
            stable,
            canary,
            routes,
            resources,
            over_limit: over_limit.is_some(),
        };
        (tick, over_limit)
    }
}

/// A verdict whose broken limit, if any, is said in words of its own.
fn said(mut verdict: Verdict, over_limit: Option<String>) -> Verdict {
    if verdict.reason == "limit"
        && let Some(words) = over_limit
    {
        verdict.words = words;
    }
    verdict
}

/// Holds a verdict that would end its stage well while `open` names what is not known to be well.
/// Says whether it does.
pub(super) fn withhold(
    verdict: &mut Verdict,
    stage: Stage,
    reason: &str,
    open: Option<String>,
) -> bool {
    let ends = verdict.ruling == Ruling::Advance
        || (stage == Stage::Guard && verdict.ruling == Ruling::Hold && !verdict.alarm);
    let Some(words) = open.filter(|_| ends) else { return false };
    verdict.ruling = Ruling::Hold;
    (verdict.reason, verdict.words) = (reason.to_owned(), words);
    true
}

/// Gives a judge its next tick, on the judge's own clock; `heard` hears exactly what it gets.
pub(super) fn run(judged: &mut Judged, mut tick: Tick, heard: impl FnOnce(&Tick)) -> Verdict {
    judged.t_s += tick.dt_s;
    tick.t_s = judged.t_s;
    heard(&tick);
    judged.judge.tick(&tick)
}

/// Adds `more` to `sum`.
pub(super) fn merge(sum: &mut Interval, more: &Interval) {
    sum.n += more.n;
    sum.errors += more.errors;
    sum.inflight_slow += more.inflight_slow;
    merge_sparse(&mut sum.successes, &more.successes);
    merge_sparse(&mut sum.aborts, &more.aborts);
    merge_sparse(&mut sum.error_keys, &more.error_keys);
}

pub(super) fn merge_sparse<K: Copy + Ord>(sum: &mut Vec<(K, u64)>, more: &[(K, u64)]) {
    for &(key, count) in more {
        match sum.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => sum[at].1 += count,
            Err(at) => sum.insert(at, (key, count)),
        }
    }
}
