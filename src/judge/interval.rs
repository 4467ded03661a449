//! What happened in one pool during one tick: the judge's only input.

use serde::{Deserialize, Serialize};

/// First attempts of one pool during one tick. All counts are deltas.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Interval {
    /// Completed first attempts, errors included.
    pub n: u64,
    /// Failed first attempts.
    pub errors: u64,
    /// Successes by latency bucket, sparse and ascending.
    pub successes: Vec<(u32, u64)>,
    /// Clients that gave up, by age bucket, sparse and ascending.
    pub aborts: Vec<(u32, u64)>,
    /// Requests in flight that passed the limit of the judge during this tick.
    pub inflight_slow: u64,
    /// Errors by sticky key: an anonymous identity of the key, and how many.
    pub error_keys: Vec<(u64, u64)>,
    /// How many distinct sticky keys were seen on this pool in the step, where that is known.
    pub distinct_keys: u64,
    /// False when the pool has no healthy endpoint.
    pub healthy: bool,
}

/// One route's share of a tick, counted after the key cap where there is one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RouteInterval {
    /// The route's name.
    pub name: String,
    /// Stable's completions and errors.
    pub stable: (u64, u64),
    /// The canary's completions and errors.
    pub canary: (u64, u64),
}

/// One tick of one rollout: the same slice of time in both pools.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Tick {
    /// Seconds since the rollout began, pauses left out.
    pub t_s: f64,
    /// The length of this tick, in seconds.
    pub dt_s: f64,
    /// Index into the plan's steps; `steps.len()` while at 100 % (the guard).
    pub step: usize,
    /// The stable pool.
    pub stable: Interval,
    /// The canary pool.
    pub canary: Interval,
    /// By route, where routes are measured.
    pub routes: Vec<RouteInterval>,
    /// Finished resource blocks: use per request of stable and of the canary.
    pub resources: Vec<(f64, f64)>,
    /// A hard resource limit was broken in three successive samples.
    pub over_limit: bool,
}
