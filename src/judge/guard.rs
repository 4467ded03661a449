//! The guard: a canary at 100 %, with nothing beside it to compare with.
//!
//! It is tested against what the stable pool showed before the switch. That is weaker than a
//! comparison within the same slices, because a fault common to both versions can be taken for the
//! canary's; so twice the baseline is tolerated, and never less than a floor.

use serde::{Deserialize, Serialize};

use super::edges::Edges;
use super::exact;
use super::histogram::Histogram;
use super::settings::Settings;
use super::slice::{PoolSlice, Trials};
use super::wealth::{Process, log_sum_exp};

/// Absolute limits that a service promises, whatever the stable pool does.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Objectives {
    /// The promised share of failures.
    pub error_rate: Option<f64>,
    /// The promised 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// The evidence against a canary at 100 %.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Guard {
    /// The baseline's limits, and the promised ones where there are any. Each family has its own
    /// alpha, half of it for errors and half for slow requests.
    pub(super) families: Vec<Vec<Watched>>,
    slices: u32,
}

/// One rate that has a limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Watched {
    pub(super) name: String,
    process: Process,
    /// The tolerated rate.
    #[serde(with = "exact")]
    pub(super) tolerated: f64,
    /// The first slow bucket; none where errors are counted.
    slow_from: Option<u32>,
    /// What was seen, for people.
    pub(super) seen: Trials,
}

impl Guard {
    /// A guard against the stable pool's counts and latencies of before the switch.
    pub(super) fn new(
        (counts, successes): &(Trials, Histogram),
        objectives: Objectives,
        edges: &Edges,
        settings: &Settings,
    ) -> Self {
        // Without a baseline of latencies nothing can be called slow.
        let slow_from = successes
            .quantile(0.99)
            .and_then(|p99| edges.first_from(settings.latency_ratio * edges.upper_ms(p99)))
            .unwrap_or(u32::MAX);
        let slow = Trials::new(successes.total(), successes.since(slow_from));
        let mut families = vec![vec![
            Watched::new("guard:err", twice(*counts).max(0.01), None, settings),
            Watched::new("guard:slow", twice(slow).max(0.02), Some(slow_from), settings),
        ]];
        let promised = [
            objectives.error_rate.map(|rate| Watched::new("slo:err", rate, None, settings)),
            objectives.p99_ms.map(|p99_ms| {
                let slow_from = edges.first_from(p99_ms).unwrap_or(u32::MAX);
                Watched::new("slo:slow", 0.01, Some(slow_from), settings)
            }),
        ];
        families.push(promised.into_iter().flatten().collect());
        families.retain(|family: &Vec<Watched>| !family.is_empty());
        let mut guard = Self { families, slices: 0 };
        guard.inject(settings.inject_start);
        guard
    }

    /// Tests one slice of the canary. Requests in flight were counted from bucket `inflight_from`
    /// on.
    pub(super) fn test(
        &mut self,
        canary: &PoolSlice,
        inflight_from: Option<u32>,
        settings: &Settings,
    ) {
        if self.slices < settings.horizon_slices {
            self.slices += 1;
            self.inject(settings.inject_slices / f64::from(settings.horizon_slices));
        }
        for watched in self.families.iter_mut().flatten() {
            let slice = match watched.slow_from {
                None => canary.kept,
                // What has passed an age below a promised one is not late yet.
                Some(slow_from) if inflight_from.is_some_and(|from| from < slow_from) => {
                    canary.slow_at_the_end(slow_from)
                }
                Some(slow_from) => canary.slow(slow_from, slow_from),
            };
            watched.seen.add(slice);
            let log_e = log_evidence(slice, watched.tolerated, &settings.error_grid);
            watched.process.update(&log_e, settings.cap);
        }
    }

    /// The strongest evidence of any family.
    pub(super) fn log_e(&self) -> f64 {
        let family = |watched: &Vec<Watched>| {
            let halves: Vec<f64> = watched.iter().map(|w| 0.5_f64.ln() + w.log_wealth()).collect();
            log_sum_exp(&halves)
        };
        self.families.iter().map(family).fold(f64::NEG_INFINITY, f64::max)
    }

    /// All that is watched.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.families.iter().flatten()
    }

    fn inject(&mut self, q: f64) {
        for watched in self.families.iter_mut().flatten() {
            watched.process.inject(q);
        }
    }
}

impl Watched {
    fn new(name: &str, tolerated: f64, slow_from: Option<u32>, settings: &Settings) -> Self {
        let process = Process::new(settings.error_grid.len());
        Self { name: name.into(), process, tolerated, slow_from, seen: Trials::default() }
    }

    pub(super) fn log_wealth(&self) -> f64 {
        self.process.log_wealth()
    }
}

/// Twice the baseline's rate, with one event more than was seen.
fn twice(baseline: Trials) -> f64 {
    let (n, events) = baseline.counts();
    2.0 * (events + 1.0) / (n + 1.0)
}

/// The log e-value of one slice under each alternative `g`, a rate `g` times the tolerated one:
/// the Poisson likelihood ratio, which bounds the binomial's expectation from above.
pub(super) fn log_evidence(slice: Trials, tolerated: f64, grid: &[f64]) -> Vec<f64> {
    let (n, events) = slice.counts();
    grid.iter().map(|g| events * g.ln() - n * tolerated * (g - 1.0)).collect()
}

#[cfg(test)]
#[path = "tests/guard.rs"]
mod tests;
