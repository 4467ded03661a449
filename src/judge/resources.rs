//! Resources: does a request cost the canary more than it costs the stable pool?
//!
//! Each finished block of time is one coin: the canary wins when it used more per request than
//! stable and the margin. A canary within the margin wins at most half of them.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::wealth::Process;

/// The evidence of resource use.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Resources {
    pub(super) process: Process,
    /// Blocks in which the canary used more, and all blocks.
    pub(super) more: u64,
    pub(super) blocks: u64,
}

impl Resources {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { process: Process::new(settings.resource_grid.len()), more: 0, blocks: 0 }
    }

    /// Tests the finished blocks of a tick: use per request of stable and of the canary. What
    /// could not be measured is not a block.
    pub(super) fn test(&mut self, blocks: &[(f64, f64)], settings: &Settings) {
        let measured = |use_: &f64| use_.is_finite() && *use_ >= 0.0;
        for (stable, canary) in blocks {
            if !measured(stable) || !measured(canary) {
                continue;
            }
            let more = *canary > (1.0 + settings.resource_margin) * stable;
            let log_e: Vec<f64> =
                settings.resource_grid.iter().map(|bet| payoff(more, *bet)).collect();
            self.process.update(&log_e, settings.cap);
            self.blocks = self.blocks.saturating_add(1);
            self.more = self.more.saturating_add(u64::from(more));
        }
    }
}

/// The log payoff of one coin when the share `bet` is staked on the canary using more.
fn payoff(more: bool, bet: f64) -> f64 {
    if more { bet.ln_1p() } else { (-bet).ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_won_beyond_the_margin_only() {
        let settings = Settings::default();
        let mut resources = Resources::new(&settings);
        resources.test(&[(1.0, 1.25), (1.0, 1.26), (0.0, 0.0), (0.0, 0.1)], &settings);
        assert_eq!((resources.more, resources.blocks), (2, 4));
        resources.test(&[(f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, 1.0)], &settings);
        assert_eq!(resources.blocks, 4, "what was not measured is no block");
    }

    #[test]
    fn a_fair_coin_pays_what_it_costs() {
        for bet in Settings::default().resource_grid {
            let mean = 0.5 * payoff(true, bet).exp() + 0.5 * payoff(false, bet).exp();
            assert!((mean - 1.0).abs() < 1e-12, "bet {bet}: {mean}");
        }
    }
}
