//! A release from its first request to its end, with the judge in charge.

use super::traffic::{Traffic, World};
use super::{Judge, Purpose, Ruling, Settings, StepRule, Tick, Verdict};

/// How a release ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Its last step advanced.
    Promoted,
    /// The judge rolled it back.
    RolledBack,
    /// The judge rolled it back after its promotion, at 100 %.
    Undone,
    /// A step did not end within six hours.
    Held,
}

/// What became of a release.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// How it ended.
    pub(super) end: End,
    /// After how long its last step ended, or it was rolled back, in seconds.
    pub(super) t_s: f64,
    /// The requests that the canary's fault had hit by then.
    pub(super) harmed: u64,
    /// Why, for machines.
    pub(super) reason: String,
}

/// The steps of a canary where the configuration names none.
pub(super) const STEPS: [(f64, f64); 5] =
    [(0.01, 10.0), (0.05, 50.0), (0.1, 100.0), (0.25, 250.0), (0.5, 300.0)];

const STEP_S_MAX: f64 = 6.0 * 3_600.0;

/// How long a promoted release is guarded.
const GUARD_S: f64 = 300.0;

/// Runs one release through the default steps and the guard. Every verdict is shown to `see`.
pub(super) fn release(
    seed: u64,
    world: World,
    settings: &Settings,
    edges_ms: &[f64],
    mut see: impl FnMut(&Tick, &Verdict),
) -> Outcome {
    let steps = STEPS.map(|(weight, hold_s)| StepRule { weight, requests: 100, hold_s });
    let mut traffic = Traffic::new(seed, world, edges_ms);
    let baseline = traffic.baseline();
    let purpose = Purpose::Canary;
    let mut judge =
        Judge::new(settings.clone(), steps.to_vec(), purpose, edges_ms.to_vec(), &baseline);
    let (mut step, mut promoted_s) = (0, None);
    loop {
        let weight = steps.get(step).map_or(1.0, |rule| rule.weight);
        let limit_ms = judge.verdict().evidence.inflight_limit_ms;
        let tick = traffic.tick(step, weight, limit_ms);
        let verdict = judge.tick(&tick);
        see(&tick, &verdict);
        let step_s = verdict.evidence.step_s;
        let end = match (verdict.ruling, promoted_s) {
            (Ruling::Rollback, None) => End::RolledBack,
            (Ruling::Rollback, Some(_)) => End::Undone,
            (_, Some(_)) if step_s > GUARD_S => End::Promoted,
            (_, None) if step_s > STEP_S_MAX => End::Held,
            (ruling, _) => {
                step += usize::from(ruling == Ruling::Advance);
                if step == steps.len() {
                    promoted_s.get_or_insert(tick.t_s);
                }
                continue;
            }
        };
        let t_s = promoted_s.unwrap_or(tick.t_s);
        return Outcome { end, t_s, harmed: traffic.harmed, reason: verdict.reason };
    }
}
