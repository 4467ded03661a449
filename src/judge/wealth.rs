//! What the evidence of many slices adds up to: an e-process.
//!
//! An e-value is a bet against "the canary is within its margins" whose expected payoff is at
//! most 1 while that is true. Betting the winnings again makes an e-process, and by Ville's
//! inequality the chance that it ever reaches `1 / alpha` is at most `alpha`, however often one
//! looks (Lindon & Malek 2022). Which alternative is true, and since when, is not known: so the
//! wealth is spread over a grid of alternatives and over start times.
//!
//! One slice may add at most `cap` nats. The cap is what forgives a short stall of one pool
//! alone, which no comparison can tell from a bad release.

use serde::{Deserialize, Serialize};

use super::exact;

/// The wealth of one evidence, as logarithms.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Process {
    /// Uncapped weights, one for each alternative.
    #[serde(with = "exact::list")]
    weights: Vec<f64>,
    /// Capped wealth of the mixture.
    #[serde(with = "exact")]
    wealth: f64,
}

impl Process {
    /// A process without wealth: it is worth nothing until the first injection.
    pub(super) fn new(alternatives: usize) -> Self {
        Self { weights: vec![f64::NEG_INFINITY; alternatives], wealth: f64::NEG_INFINITY }
    }

    /// Lets the share `q` of the start times begin here. All shares together are at most 1.
    pub(super) fn inject(&mut self, q: f64) {
        if !(q.is_finite() && q > 0.0) || self.weights.is_empty() {
            return;
        }
        let share = q.ln() - (self.weights.len() as f64).ln();
        for weight in &mut self.weights {
            *weight = log_add_exp(*weight, share);
        }
        self.wealth = log_add_exp(self.wealth, q.ln());
    }

    /// Takes in one slice: its log e-value under each alternative.
    pub(super) fn update(&mut self, log_e: &[f64], cap: f64) {
        let before = log_sum_exp(&self.weights);
        if before == f64::NEG_INFINITY || log_e.iter().any(|l| l.is_nan()) {
            return;
        }
        for (weight, l) in self.weights.iter_mut().zip(log_e) {
            *weight += l;
        }
        self.wealth += (log_sum_exp(&self.weights) - before).min(cap);
    }

    /// The logarithm of the capped wealth.
    pub(super) fn log_wealth(&self) -> f64 {
        self.wealth
    }
}

/// `ln(e^a + e^b)` without overflow.
pub(super) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln` of the sum of `e^x` without overflow.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high == f64::NEG_INFINITY {
        return high;
    }
    high + values.iter().map(|value| (value - high).exp()).sum::<f64>().ln()
}

/// The log of the mean of `e^x`: every alternative has the same share.
pub(super) fn log_mean_exp(values: &[f64]) -> f64 {
    log_sum_exp(values) - (values.len() as f64).ln()
}

#[cfg(test)]
#[path = "tests/wealth.rs"]
mod tests;
