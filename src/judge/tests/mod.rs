//! What the tests of the judge share, and the tests of the judge as a whole.

mod hostile;
mod modes;
mod resume;
mod rules;
mod simulation;

use super::edges::Edges;
use super::slice::{Pair, Trials};
use super::*;

/// The proxy's own kind of edges: log-linear, whole microseconds, about 1 400.
pub(super) fn edges() -> Vec<f64> {
    let mut us: Vec<u64> = (0..64).collect();
    for octave in 0..21_u32 {
        us.extend((0..64).map(|k| (64 + k) << octave));
    }
    us.into_iter().map(|us| us as f64 / 1_000.0).collect()
}

/// The bucket of a latency.
pub(super) fn bucket(ms: f64) -> u32 {
    Edges::new(edges()).holding(ms)
}

/// A healthy pool whose successes all took the same time.
pub(super) fn pool(n: u64, errors: u64, ms: f64) -> Interval {
    let successes = vec![(bucket(ms), n - errors)];
    Interval { n, errors, successes, healthy: true, ..Interval::default() }
}

/// Quarter second number `i` (from 0) of a rollout.
pub(super) fn tick(i: u32, step: usize, stable: Interval, canary: Interval) -> Tick {
    let t_s = 0.25 * f64::from(i + 1);
    Tick { t_s, dt_s: 0.25, step, stable, canary, ..Tick::default() }
}

pub(super) fn baseline() -> Baseline {
    Baseline { n: 1_000, errors: 0, successes: vec![(bucket(10.0), 1_000)] }
}

/// A canary rollout of three steps of 100 requests and 10 s.
pub(super) fn judge(settings: Settings) -> Judge {
    judge_for(settings, Purpose::Canary)
}

pub(super) fn judge_for(settings: Settings, purpose: Purpose) -> Judge {
    let rule = |weight| StepRule { weight, requests: 100, hold_s: 10.0 };
    let steps = [0.05, 0.25, 0.5].map(rule).to_vec();
    Judge::new(settings, steps, purpose, edges(), &baseline())
}

/// Feeds the same traffic for a number of ticks, from tick `from` on, or until the verdict is no
/// longer to hold. Answers the last verdict and the ticks it took.
pub(super) fn run(
    judge: &mut Judge,
    from: u32,
    ticks: u32,
    change: impl Fn(&mut Tick),
) -> (Verdict, u32) {
    for i in 0..ticks {
        let mut tick = tick(from + i, 0, pool(190, 0, 10.0), pool(10, 0, 10.0));
        change(&mut tick);
        let verdict = judge.tick(&tick);
        if verdict.ruling != Ruling::Hold {
            return (verdict, i + 1);
        }
    }
    (judge.verdict().clone(), ticks)
}

pub(super) fn pair(n_s: u64, e_s: u64, n_c: u64, e_c: u64) -> Pair {
    Pair { stable: Trials::new(n_s, e_s), canary: Trials::new(n_c, e_c) }
}

/// The chance of `k` of `n`.
pub(super) fn binomial(n: u64, k: u64, p: f64) -> f64 {
    let choose: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    let power = |base: f64, times: u64| (0..times).fold(1.0, |power, _| power * base);
    choose * power(p, k) * power(1.0 - p, n - k)
}

#[track_caller]
pub(super) fn assert_close(found: &[f64], want: &[f64]) {
    let close = found.len() == want.len()
        && found.iter().zip(want).all(|(found, want)| (found - want).abs() < 1e-6);
    assert!(close, "{found:?} is not {want:?}");
}
