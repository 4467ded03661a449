//! The textbook rule, kept because people ask for it and to compare against: at the end of each
//! step, roll back if the canary's errors or p99 exceed a ratio to the stable pool's of the same
//! step. It looks once, has no notion of chance, and throws back many good releases.

use serde::{Deserialize, Serialize};

use super::edges::Edges;
use super::histogram::Histogram;
use super::settings::Settings;
use super::slice::{Pair, Trials};
use super::{Tick, exact};

/// What both pools did in the step so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Window {
    #[serde(with = "exact")]
    pub(super) started_s: f64,
    pub(super) counts: Pair,
    stable: Histogram,
    canary: Histogram,
}

/// What the rule says at the end of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// A number that the rule needs is missing.
    Missing(&'static str),
    /// Errors above the ratio.
    Errors { canary: f64, stable: f64 },
    /// The p99 above the ratio.
    Slow { canary_ms: f64, stable_ms: f64 },
    /// Nothing above its limit.
    Fine,
}

impl Window {
    pub(super) fn new(started_s: f64) -> Self {
        Self { started_s, ..Self::default() }
    }

    pub(super) fn observe(&mut self, tick: &Tick) {
        self.counts.stable.add(Trials::new(tick.stable.n, tick.stable.errors));
        self.counts.canary.add(Trials::new(tick.canary.n, tick.canary.errors));
        self.stable.extend(&tick.stable.successes);
        self.canary.extend(&tick.canary.successes);
    }

    /// Missing data never passes. Whether there is enough of it is for the caller to say.
    pub(super) fn finding(&self, edges: &Edges, settings: &Settings) -> Finding {
        let Some(canary) = self.counts.canary.rate() else {
            return Finding::Missing("no canary requests in this step");
        };
        let Some(stable) = self.counts.stable.rate() else {
            return Finding::Missing("no stable requests in this step to compare with");
        };
        if canary > settings.error_ratio * stable {
            return Finding::Errors { canary, stable };
        }
        let p99_ms = |pool: &Histogram| pool.quantile(0.99).map(|bucket| edges.upper_ms(bucket));
        match (p99_ms(&self.canary), p99_ms(&self.stable)) {
            (Some(canary_ms), Some(stable_ms))
                if canary_ms > settings.latency_ratio * stable_ms =>
            {
                Finding::Slow { canary_ms, stable_ms }
            }
            (Some(_), Some(_)) => Finding::Fine,
            (None, _) => Finding::Missing("no successful canary requests to time"),
            (_, None) => Finding::Missing("no successful stable requests to time"),
        }
    }
}
