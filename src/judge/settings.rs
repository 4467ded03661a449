//! The judge's parameters, by the names of the configuration, with their defaults.

use serde::{Deserialize, Serialize};

/// Which rule judges.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Sequential tests with a guaranteed false-alarm rate.
    #[default]
    Sequential,
    /// The textbook rule at the end of each step, kept to compare against.
    Threshold,
}

/// How strictly a canary is judged. Ratios and margins are what a good canary may differ by.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Settings {
    /// Which rule judges.
    pub mode: Mode,
    /// P(a canary within the margins is rolled back), over the whole rollout and all metrics.
    pub alpha: f64,
    /// Tolerated errors as a ratio to stable's (rho).
    pub error_ratio: f64,
    /// Tolerated errors on top, as a share of requests (delta).
    pub error_margin: f64,
    /// Tolerated slowdown on the time axis.
    pub latency_ratio: f64,
    /// The quantiles that are compared.
    pub levels: Vec<f64>,
    /// The price of attention of each evidence; they sum to at most 1.
    pub attention: Attention,
    /// Alternatives of the error test, as multiples of `error_ratio` (G).
    pub error_grid: Vec<f64>,
    /// Odds ratios of the latency test (GL).
    pub latency_grid: Vec<f64>,
    /// The length of a slice, in seconds.
    pub slice_s: f64,
    /// The most that one slice may add to the wealth, in nats.
    pub cap: f64,
    /// For how long `warm_margin` replaces `latency_ratio`, in seconds.
    pub warm_s: f64,
    /// Tolerated slowdown of a cold canary.
    pub warm_margin: f64,
    /// Half-life of the stable pool's reference histogram, in seconds.
    pub reference_half_life_s: f64,
    /// P(advancing although the canary is worse than the margin), per step.
    pub alpha_advance: f64,
    /// The harm a step may do: its share of all traffic times the excess error rate.
    pub harm: f64,
    /// The least margin of the advance test, as a share of requests.
    pub advance_floor: f64,
    /// Tolerated errors of the advance test, as a ratio to stable's.
    pub advance_ratio: f64,
    /// How many times wider the margin of the advance test is for slow requests.
    pub advance_latency_factor: f64,
    /// Alternatives of the advance test (Z).
    pub advance_grid: Vec<f64>,
    /// The log-evidence above which a step holds, in nats.
    pub suspicion: f64,
    /// How many errors of one sticky key count per step and pool.
    pub key_cap: u64,
    /// How many routes are tested on their own.
    pub max_routes: usize,
    /// How many slices may start a new e-process (H).
    pub horizon_slices: u32,
    /// Wealth injected at the rollout's start.
    pub inject_start: f64,
    /// Wealth injected at each later step's start, shared by all of them.
    pub inject_steps: f64,
    /// Wealth injected before each slice, shared by the horizon.
    pub inject_slices: f64,
    /// Tolerated resource use per request on top of stable's, as a ratio.
    pub resource_margin: f64,
    /// The least length of a finished resource block, in seconds.
    pub resource_block_s: f64,
    /// Bets of the resource test.
    pub resource_grid: Vec<f64>,
    /// Stable's error rate above which nothing is decided.
    pub stable_dead: f64,
    /// Excess errors at which the canary is left without waiting for proof, if set.
    pub max_harm: Option<f64>,
}

/// What each evidence weighs in the mixture.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Attention {
    /// Errors of all requests.
    pub errors: f64,
    /// Errors by route, all routes together.
    pub routes: f64,
    /// Resources.
    pub resources: f64,
    /// Latency, one for each of `levels`.
    pub latency: Vec<f64>,
}

impl Default for Attention {
    fn default() -> Self {
        Self { errors: 0.40, routes: 0.10, resources: 0.10, latency: vec![0.08, 0.08, 0.16, 0.08] }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Sequential,
            alpha: 0.01,
            error_ratio: 1.5,
            error_margin: 0.0005,
            latency_ratio: 1.2,
            levels: vec![0.5, 0.9, 0.99, 0.999],
            attention: Attention::default(),
            error_grid: vec![1.25, 1.6, 2.2, 3.5, 6.0, 12.0, 40.0, 150.0, 1000.0],
            latency_grid: vec![1.15, 1.35, 1.7, 2.5, 4.5, 10.0, 40.0],
            slice_s: 0.25,
            cap: 3.0,
            warm_s: 30.0,
            warm_margin: 4.0,
            reference_half_life_s: 120.0,
            alpha_advance: 0.05,
            harm: 0.0025,
            advance_floor: 0.005,
            advance_ratio: 1.25,
            advance_latency_factor: 2.0,
            advance_grid: vec![0.0, 0.25, 0.5, 0.7, 0.85],
            suspicion: 1.1,
            key_cap: 2,
            max_routes: 8,
            horizon_slices: 20_000,
            inject_start: 0.5,
            inject_steps: 0.25,
            inject_slices: 0.25,
            resource_margin: 0.25,
            resource_block_s: 10.0,
            resource_grid: vec![0.3, 0.6, 0.9],
            stable_dead: 0.5,
            max_harm: None,
        }
    }
}
