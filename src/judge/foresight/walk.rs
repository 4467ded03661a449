//! The error process on its way through expected counts, from failure to failure.

use super::super::errors;
use super::super::settings::Settings;
use super::super::slice::Counts;
use super::super::wealth::Process;
use super::Plan;

/// The error process on its way through expected counts.
pub(super) struct Walk<'a> {
    plan: &'a Plan<'a>,
    process: Process,
    at: usize,
}

impl<'a> Walk<'a> {
    /// A bound on the work: a fault that takes more slices than an hour has is not foreseen.
    const PIECES_MAX: u32 = 20_000;

    pub(super) fn new(plan: &'a Plan<'a>) -> Self {
        let mut process = Process::new(plan.settings.error_grid.len());
        process.inject(plan.settings.inject_start);
        Self { plan, process, at: 0 }
    }

    pub(super) fn enter(&mut self, at: usize) {
        self.at = at;
        if at > 0 {
            let later_steps = self.plan.steps.len().saturating_sub(1).max(1);
            self.process.inject(self.plan.settings.inject_steps / later_steps as f64);
        }
    }

    /// Goes through a step in which the canary is as good as stable.
    pub(super) fn behave(&mut self, long_s: f64) {
        let (_, canary_rps) = self.plan.rates(self.at);
        let failed = self.plan.traffic.error_rate * canary_rps * long_s;
        self.take(long_s, failed, f64::INFINITY);
    }

    /// Goes on until the wealth reaches `threshold` or the time is over.
    pub(super) fn go(&mut self, rate: f64, within_s: f64, threshold: f64) -> Option<f64> {
        let (stable_rps, canary_rps) = self.plan.rates(self.at);
        let failures_per_s = rate * canary_rps;
        if stable_rps <= 0.0 || canary_rps <= 0.0 {
            return None;
        }
        let slice_s = self.plan.settings.slice_s.max(1.0 / canary_rps);
        // At least one failure to a slice that has any, and as many as there are on average.
        let together = (failures_per_s * slice_s).max(1.0);
        let (mut t_s, mut failed) = (0.0, 0.0);
        for _ in 0..Self::PIECES_MAX {
            let next_s = (failed + together - 1.0 / 3.0) / failures_per_s;
            let quiet_s = (next_s - slice_s).min(within_s) - t_s;
            if quiet_s > 0.0 {
                self.take(quiet_s, 0.0, f64::INFINITY);
                t_s += quiet_s;
            }
            if next_s.max(t_s + slice_s) > within_s {
                return None;
            }
            self.take(slice_s, together, self.plan.settings.cap);
            t_s += slice_s;
            failed += together;
            if self.process.log_wealth() >= threshold {
                return Some(failed);
            }
        }
        None
    }

    /// Takes in some time with so many failures of the canary.
    fn take(&mut self, long_s: f64, failed: f64, cap: f64) {
        let (stable_rps, canary_rps) = self.plan.rates(self.at);
        let Settings { error_ratio, error_margin, error_grid, .. } = self.plan.settings;
        let n_c = (canary_rps * long_s).max(failed);
        let n_s = stable_rps * long_s;
        let counts = Counts { n_s, e_s: self.plan.traffic.error_rate * n_s, n_c, e_c: failed };
        let log_e = errors::log_evidence(counts, *error_ratio, *error_margin, error_grid);
        self.process.update(&log_e, cap);
    }
}
