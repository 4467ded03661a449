//! Non-inferiority: has this step shown that the canary is *not* worse by more than a margin?
//!
//! The absence of evidence against a canary is no evidence for it. A step ends only when the
//! opposite claim, "worse by at least the margin", has lost the bet. Only this step's data count.

use serde::{Deserialize, Serialize};

use super::exact;
use super::settings::Settings;
use super::slice::{Counts, Pair};
use super::wealth::log_mean_exp;

/// The evidence that a step may end.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Advance {
    #[serde(with = "exact::list")]
    errors: Vec<f64>,
    #[serde(with = "exact::list")]
    latency: Vec<f64>,
}

impl Advance {
    pub(super) fn new(settings: &Settings) -> Self {
        let none = vec![0.0; settings.advance_grid.len()];
        Self { errors: none.clone(), latency: none }
    }

    /// Takes in one slice. The larger the next step's share, the smaller the margin has to be
    /// for the same harm.
    pub(super) fn test(
        &mut self,
        errors: Pair,
        slow: Option<Pair>,
        next_weight: f64,
        settings: &Settings,
    ) {
        let margin = margin(next_weight, settings);
        let Settings { advance_ratio, advance_latency_factor, advance_grid, .. } = settings;
        add(&mut self.errors, &log_evidence(errors, *advance_ratio, margin, advance_grid));
        if let Some(slow) = slow {
            let margin = advance_latency_factor * margin;
            add(&mut self.latency, &log_evidence(slow, 1.0, margin, advance_grid));
        }
    }

    /// The log evidence that the errors are within the margin.
    pub(super) fn errors(&self) -> f64 {
        log_mean_exp(&self.errors)
    }

    /// The log evidence that the slow requests are within the margin.
    pub(super) fn latency(&self) -> f64 {
        log_mean_exp(&self.latency)
    }
}

/// By how much a canary may be worse when its next share is `next_weight`.
pub(super) fn margin(next_weight: f64, settings: &Settings) -> f64 {
    settings.advance_floor.max(settings.harm / next_weight)
}

/// The log e-value of one slice against "worse by at least the margin", for each bet `z`: the
/// canary's events thin by the factor `z`. Without stable requests there is nothing to compare.
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
    let a = ratio * n_c / n_s;
    let bet = |z: &f64| {
        let events = if e_c > 0.0 { e_c * z.ln() } else { 0.0 };
        events + e_s * (a * (1.0 - z)).ln_1p() + margin * n_c * (1.0 - z)
    };
    grid.iter().map(bet).collect()
}

fn add(sums: &mut [f64], log_e: &[f64]) {
    if log_e.iter().any(|l| l.is_nan()) {
        return;
    }
    for (sum, l) in sums.iter_mut().zip(log_e) {
        *sum += l;
    }
}

#[cfg(test)]
#[path = "tests/advance.rs"]
mod tests;
