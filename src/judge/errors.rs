//! Errors of all requests: does the canary fail more often than the stable pool, beyond the
//! tolerated ratio and margin?

use serde::{Deserialize, Serialize};

use super::exact;
use super::settings::Settings;
use super::slice::{Counts, Pair};
use super::wealth::Process;

/// The evidence of the error rate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Errors {
    pub(super) process: Process,
    /// Errors beyond those that the stable pool's rate explains, over all closed slices.
    #[serde(with = "exact")]
    pub(super) excess: f64,
}

impl Errors {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { process: Process::new(settings.error_grid.len()), excess: 0.0 }
    }

    /// Tests one slice, counted after the key cap.
    pub(super) fn test(&mut self, slice: Pair, settings: &Settings) {
        let Settings { error_ratio, error_margin, error_grid, cap, .. } = settings;
        self.process.update(&log_evidence(slice, *error_ratio, *error_margin, error_grid), *cap);
        if slice.both() {
            let ((n_s, e_s), (n_c, e_c)) = (slice.stable.counts(), slice.canary.counts());
            self.excess += e_c - n_c * e_s / n_s;
        }
    }
}

/// The log e-value of one slice under each alternative `g`, an error rate `ratio * g` times
/// stable's. With `margin = 0` it is the likelihood ratio of "this error belongs to the canary"
/// given the errors (Turner, Ly & Grünwald), so that a stable rate which bursts or drifts cancels.
/// The margin's term pays for errors at a rate that does not depend on stable's.
pub(super) fn log_evidence(
    slice: impl Into<Counts>,
    ratio: f64,
    margin: f64,
    grid: &[f64],
) -> Vec<f64> {
    let slice = slice.into();
    if !slice.both() {
        return vec![0.0; grid.len()];
    }
    let Counts { n_s, e_s, n_c, e_c } = slice;
    let against = |g: &f64| {
        let r = ratio * g;
        let share = (r * n_c + n_s) / (ratio * n_c + n_s);
        let price = margin * n_c * n_s * (r - ratio) / (ratio * (r * n_c + n_s));
        e_c * g.ln() - (e_c + e_s) * share.ln() - price
    };
    grid.iter().map(against).collect()
}

#[cfg(test)]
#[path = "tests/errors.rs"]
mod tests;
