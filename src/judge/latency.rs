//! Latency at several quantiles: is the canary, slowed by the tolerated ratio, still slower?
//!
//! At each level the stable pool's quantile `b` comes from *earlier* slices, so that it does not
//! depend on the slice that is tested; which requests of the slice lie above it is then a plain
//! count in both pools (as in the quantile tests of Howard & Ramdas 2022).

use serde::{Deserialize, Serialize};

use super::edges::Edges;
use super::exact;
use super::histogram::{Histogram, Reference};
use super::settings::Settings;
use super::slice::{Pair, Slice};
use super::wealth::Process;

/// The evidence of latency, at all levels.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Latency {
    reference: Reference,
    pub(super) levels: Vec<Level>,
    /// The end of the first tick in which the canary answered.
    #[serde(with = "exact::option")]
    first_s: Option<f64>,
    /// The end of the slice that closed last.
    #[serde(with = "exact::option")]
    closed_s: Option<f64>,
}

/// One quantile.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Level {
    pub(super) q: f64,
    pub(super) name: String,
    pub(super) process: Process,
    /// Slow requests of this step, for people.
    pub(super) step: Pair,
    /// Above which age a stable request was slow in the last test.
    #[serde(with = "exact")]
    pub(super) stable_ms: f64,
    /// Above which age a canary request was slow in the last test.
    #[serde(with = "exact")]
    pub(super) canary_ms: f64,
}

/// Where slowness begins at one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    /// The upper edge of the bucket that holds the stable pool's quantile.
    pub(super) b_ms: f64,
    /// `b` times the tolerated ratio.
    pub(super) slow_ms: f64,
    /// The first bucket that is slow for the stable pool.
    pub(super) stable_from: u32,
    /// The first bucket that is slow for the canary.
    pub(super) canary_from: u32,
}

impl Latency {
    /// The stable pool must have shown so many successes before a quantile means anything.
    pub(super) const SAMPLES: f64 = 50.0;

    pub(super) fn new(settings: &Settings, baseline: &[(u32, u64)]) -> Self {
        let level = |&q: &f64| Level {
            q,
            name: level_name(q),
            process: Process::new(settings.latency_grid.len()),
            step: Pair::default(),
            stable_ms: 0.0,
            canary_ms: 0.0,
        };
        Self {
            reference: Reference::new(baseline),
            levels: settings.levels.iter().map(level).collect(),
            first_s: None,
            closed_s: None,
        }
    }

    /// The canary answered in a tick that ended now.
    pub(super) fn canary_seen(&mut self, now_s: f64) {
        self.first_s.get_or_insert(now_s);
    }

    /// True while a cold canary is excused from the usual ratio.
    pub(super) fn is_warming(&self, now_s: f64, settings: &Settings) -> bool {
        let age_s = self.first_s.map_or(0.0, |first_s| now_s - first_s);
        age_s < settings.warm_s - Slice::ROUNDING_S
    }

    /// How much longer the canary warms up, if it does.
    pub(super) fn warm_left_s(&self, now_s: f64, settings: &Settings) -> Option<f64> {
        let age_s = self.first_s.map_or(0.0, |first_s| now_s - first_s);
        self.is_warming(now_s, settings).then_some(settings.warm_s - age_s)
    }

    /// True once there is enough of a reference to test anything.
    pub(super) fn has_reference(&self) -> bool {
        self.reference.total() >= Self::SAMPLES
    }

    /// Where slowness begins at quantile `q`, as far as earlier slices tell.
    pub(super) fn limit(
        &self,
        q: f64,
        now_s: f64,
        edges: &Edges,
        settings: &Settings,
    ) -> Option<Limit> {
        let total = self.reference.total();
        if total < Self::SAMPLES {
            return None;
        }
        let ratio = if self.is_warming(now_s, settings) {
            settings.warm_margin.max(settings.latency_ratio)
        } else {
            settings.latency_ratio
        };
        Some(Limit::new(self.reference.quantile(q, total)?, ratio, edges))
    }

    /// The age at which a request in flight is slow at every level: the slowest one's limit.
    /// Above the last edge there is none.
    pub(super) fn inflight_limit(
        &self,
        now_s: f64,
        edges: &Edges,
        settings: &Settings,
    ) -> Option<Limit> {
        let slowest = self.levels.iter().map(|level| level.q).reduce(f64::max)?;
        self.limit(slowest, now_s, edges, settings).filter(|limit| limit.slow_ms < f64::MAX)
    }

    /// Tests one slice that ended now. Answers the counts for the advance test: the slow requests
    /// at the level nearest to p99, unless the canary is still warming up.
    pub(super) fn test(
        &mut self,
        slice: &Slice,
        now_s: f64,
        edges: &Edges,
        settings: &Settings,
    ) -> Option<Pair> {
        if slice.stable.timed() == 0 || slice.canary.timed() == 0 {
            return None;
        }
        let advance_at = nearest(&settings.levels, 0.99);
        let mut advance = None;
        for at in 0..self.levels.len() {
            let limit = self.limit(self.levels[at].q, now_s, edges, settings)?;
            let stable = slice.stable.slow(limit.stable_from, limit.stable_from);
            let canary = slice.canary.slow(limit.canary_from, limit.canary_from);
            let counts = Pair { stable, canary };
            let level = &mut self.levels[at];
            level.process.update(&log_evidence(counts, &settings.latency_grid), settings.cap);
            level.step.add(counts);
            (level.stable_ms, level.canary_ms) = (limit.b_ms, limit.slow_ms);
            if Some(at) == advance_at {
                // A client that gives up between the two limits would otherwise hide slowness
                // from the test that is to prove its absence.
                let canary = slice.canary.slow(limit.canary_from, limit.stable_from);
                advance = Some(Pair { stable, canary });
            }
        }
        advance.filter(|_| !self.is_warming(now_s, settings))
    }

    /// Takes a slice's stable successes into the reference, after it was tested.
    pub(super) fn learn(&mut self, successes: &Histogram, now_s: f64, half_life_s: f64) {
        if let Some(closed_s) = self.closed_s.replace(now_s) {
            self.reference.decay((0.5_f64).powf((now_s - closed_s).max(0.0) / half_life_s));
        }
        self.reference.add(successes);
    }

    pub(super) fn begin_step(&mut self) {
        for level in &mut self.levels {
            level.step = Pair::default();
        }
    }
}

impl Limit {
    pub(super) fn new(quantile: u32, ratio: f64, edges: &Edges) -> Self {
        let b_ms = edges.upper_ms(quantile);
        let slow_ms = ratio * b_ms;
        Self {
            b_ms,
            slow_ms,
            stable_from: quantile.saturating_add(1),
            canary_from: edges.first_from(slow_ms).unwrap_or(u32::MAX),
        }
    }
}

/// The log e-value of one slice under each odds ratio `r`. Given `E` slow ones among both pools,
/// how many are the canary's is a draw without replacement; its moments are bounded by those of
/// the draw with replacement, taken either way round (Hoeffding 1963), and the smaller bound is
/// used.
pub(super) fn log_evidence(slice: Pair, grid: &[f64]) -> Vec<f64> {
    if !slice.both() {
        return vec![0.0; grid.len()];
    }
    let ((n_s, x_s), (n_c, x_c)) = (slice.stable.counts(), slice.canary.counts());
    let (n, slow) = (n_s + n_c, x_s + x_c);
    let against = |r: &f64| {
        let by_request = n_c * ((slow / n) * (r - 1.0)).ln_1p();
        let by_event = slow * ((n_c / n) * (r - 1.0)).ln_1p();
        x_c * r.ln() - by_request.min(by_event)
    };
    grid.iter().map(against).collect()
}

/// The index of the level nearest to `q`.
fn nearest(levels: &[f64], q: f64) -> Option<usize> {
    let distance = |at: &usize| (levels[*at] - q).abs();
    (0..levels.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// `p99.9` for 0.999.
fn level_name(q: f64) -> String {
    format!("p{}", (q * 1e6).round() / 1e4)
}

#[cfg(test)]
#[path = "tests/latency.rs"]
mod tests;
