//! What the judge says, and on what grounds.

use serde::{Deserialize, Serialize};

/// What to do with the rollout now.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Stay at this step and keep looking.
    #[default]
    Hold,
    /// The step has shown what it had to show.
    Advance,
    /// The canary is worse; give its traffic back to the stable pool.
    Rollback,
}

/// A ruling with its reason; one is given for every tick.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub ruling: Ruling,
    /// A short name of the reason, for machines: `err`, `p99`, `route:NAME`, `requests`.
    pub reason: String,
    /// What a person can act on: "412 of 500 requests".
    pub words: String,
    /// True when a person should look now although nothing is done: the stable pool is dead.
    pub alarm: bool,
    /// The numbers behind it.
    pub evidence: Evidence,
}

/// The numbers behind a verdict. Evidence is in nats: natural logarithms of e-values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// The evidence against the canary.
    pub log_e: f64,
    /// The evidence at which the canary is rolled back: -ln alpha.
    pub threshold: f64,
    /// Each evidence on its own, before its weight, by its short name.
    pub by_name: Vec<(String, f64)>,
    /// The evidence of this step that the canary's errors are within the margin.
    pub advance_errors: Option<f64>,
    /// The evidence of this step that the canary's latency is within the margin.
    pub advance_latency: Option<f64>,
    /// What both must reach before the step may end.
    pub advance_threshold: f64,
    /// How long the step has lasted, in seconds.
    pub step_s: f64,
    /// The canary's requests in this step, the open slice included.
    pub canary_n: u64,
    /// The canary's errors in this step.
    pub canary_errors: u64,
    /// The stable pool's requests in this step.
    pub stable_n: u64,
    /// The stable pool's errors in this step.
    pub stable_errors: u64,
    /// Errors beyond those that the stable pool would have had, over the whole rollout.
    pub excess: f64,
    /// The age at which a request in flight counts as slow, in milliseconds, once it is known.
    pub inflight_limit_ms: Option<f64>,
}
