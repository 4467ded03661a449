//! What is seen of a service's pools, and the judges that look at it.

use std::sync::Arc;
use std::time::Duration;

use super::live::Judged;
use super::service::{Pools, Service};
use super::stats::Stats;
use crate::judge::{Interval, Judge, Purpose, StepRule, Tick, Verdict};
use crate::measure::Delta;
use crate::rollout::plan::Strategy;
use crate::upstream::{Pool, Standing};

/// What is being seen of one pool.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) stats: Stats,
    /// Since the last tick of the judge.
    pub(super) interval: Interval,
}

impl Service {
    /// Takes in what a pool did.
    pub(super) fn measured(&mut self, pool: &str, delta: &Delta) {
        let is_canary = self.live.canary.as_deref() == Some(pool);
        let seen = self.seen.entry(pool.to_owned()).or_default();
        seen.stats.add(delta);
        merge(&mut seen.interval, &delta.interval);
        if is_canary
            && let Some(rollout) = &mut self.live.rollout
            && rollout.state.is_running()
        {
            rollout.canary_requests += delta.interval.n;
            rollout.canary_errors += delta.interval.errors;
        }
        if let Some(rollout) = &mut self.live.rollout
            && let Some(ab) = rollout.ab.as_mut().filter(|_| rollout.state.is_running())
        {
            let side = if is_canary { &mut ab.1 } else { &mut ab.0 };
            side.add(&delta.interval);
        }
    }

    /// Forgets what was seen of `pool`, but for its totals: another version runs there now.
    pub(super) fn forget(&mut self, pool: &str) {
        if let Some(seen) = self.seen.get_mut(pool) {
            seen.stats.forget();
            seen.interval = Interval::default();
        }
    }

    /// The running rollout's judge, made when its first step begins.
    pub(super) fn judged(&mut self) -> Option<&mut Judged> {
        let rollout = self.live.rollout.as_ref()?;
        if rollout.judge.is_none() {
            let rules = rollout.plan.steps.iter().map(|step| StepRule {
                weight: step.weight.fraction(),
                requests: step.requests,
                hold_s: step.hold.as_secs_f64(),
            });
            let purpose = match rollout.plan.strategy {
                Strategy::Canary => Purpose::Canary,
                Strategy::BlueGreen => Purpose::BlueGreen,
                Strategy::Ab => Purpose::Watch,
            };
            let judge = self.new_judge(rules.collect(), purpose);
            self.live.rollout.as_mut()?.judge = Some(judge);
        }
        self.live.rollout.as_mut()?.judge.as_mut()
    }

    pub(super) fn new_judge(&self, rules: Vec<StepRule>, purpose: Purpose) -> Judged {
        let stable = self.seen.get(&self.live.stable);
        let baseline = stable.map(|seen| seen.stats.baseline()).unwrap_or_default();
        let settings = self.config.judge.settings.clone();
        let edges = crate::measure::histogram::edges_ms();
        Judged { judge: Judge::new(settings, rules, purpose, edges, &baseline), t_s: 0.0 }
    }

    /// What both pools did since the last tick.
    pub(super) fn take_tick(&mut self, step: usize, dt: Duration, pools: &Pools) -> Tick {
        let mut take = |pool: Option<&Arc<Pool>>| {
            let seen = pool.and_then(|pool| self.seen.get_mut(&pool.name));
            let mut interval =
                seen.map(|seen| std::mem::take(&mut seen.interval)).unwrap_or_default();
            // Before its first check a pool is not known to be dead.
            interval.healthy = pool.is_some_and(|pool| pool.standing() != Standing::Down);
            interval
        };
        Tick {
            t_s: 0.0,
            dt_s: dt.as_secs_f64(),
            step,
            stable: take(Some(&pools.stable)),
            canary: take(pools.canary.as_ref()),
            ..Tick::default()
        }
    }
}

/// Gives a judge its next tick, on the judge's own clock.
pub(super) fn run(judged: &mut Judged, tick: Tick) -> Verdict {
    judged.t_s += tick.dt_s;
    judged.judge.tick(&Tick { t_s: judged.t_s, ..tick })
}

/// Adds `more` to `sum`.
pub(super) fn merge(sum: &mut Interval, more: &Interval) {
    sum.n += more.n;
    sum.errors += more.errors;
    merge_sparse(&mut sum.successes, &more.successes);
    merge_sparse(&mut sum.aborts, &more.aborts);
}

pub(super) fn merge_sparse(sum: &mut Vec<(u32, u64)>, more: &[(u32, u64)]) {
    for &(bucket, count) in more {
        match sum.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => sum[at].1 += count,
            Err(at) => sum.insert(at, (bucket, count)),
        }
    }
}
