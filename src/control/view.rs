//! A service as people and programs see it: the API's answer, and what the commands print.

use serde::{Deserialize, Serialize};

use super::gates::GateReport;
use super::live::Decision;
use super::report::{self, AbReport};
use crate::judge::Verdict;
use crate::rollout::plan::Plan;
use crate::rollout::{State, plan::Strategy};
use crate::split::Weight;

/// A service as it is now.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// The generation of the table that last changed it; `If-Match` takes it.
    pub generation: u64,
    /// The state of its rollout in one word.
    pub state: String,
    /// Why it is in that state, in words.
    pub reason: String,
    /// The canary's share.
    pub weight: ShareView,
    /// The pool known to be good.
    pub stable: PoolView,
    /// The pool being tried, or the one that the next release goes to.
    pub canary: Option<PoolView>,
    /// The pool that `undo` goes back to.
    pub previous: Option<String>,
    /// The rollout that runs, or the last one.
    pub rollout: Option<RolloutView>,
    /// What the judge says, while it judges.
    pub verdict: Option<Verdict>,
    /// Comparisons of two equal halves of the stable pool; none while one is not possible.
    pub placebo: Option<PlaceboView>,
    /// Ids of releases that were rolled back and are refused.
    pub rejected: Vec<String>,
    /// Why the state cannot be written: what is done now is lost with the process.
    #[serde(default)]
    pub unsaved: Option<String>,
    /// Who lets nothing go forward, while somebody does.
    #[serde(default)]
    pub frozen: Option<FreezeView>,
    /// How the way back was last tried.
    #[serde(default)]
    pub rehearsal: Option<Rehearsed>,
    /// What was done to the share by hand, oldest first.
    pub by_hand: Vec<Decision>,
}

/// Nothing goes forward.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FreezeView {
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339; until `thaw` where there is none.
    pub until: Option<String>,
    /// Who said so.
    pub actor: String,
    /// What they gave as their reason.
    pub why: Option<String>,
}

/// How a rehearsal of the way back went.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Rehearsed {
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether the way back works.
    pub armed: bool,
    /// What was seen: "rollback armed, 3 ms; ...".
    pub words: String,
    /// From the verdict to the first request that stable answered, in milliseconds.
    pub back_ms: Option<f64>,
}

/// The judge on trial: two halves of the stable pool, divided as the next release will divide users.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PlaceboView {
    /// How many comparisons there were.
    pub runs: u64,
    /// How many of them found a difference; by chance it is `alpha` of them.
    pub fired: u64,
    /// The evidence of the comparison that runs, in nats; none without traffic.
    pub log_e: Option<f64>,
    /// When that one began, RFC 3339.
    pub since: Option<String>,
}

/// The canary's share as it should be and as it was.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct ShareView {
    /// As it should be.
    pub wanted: Weight,
    /// Over the requests of the last minute, `0..=1`; none without any.
    pub observed: Option<f64>,
}

/// A pool as it is now. Counts and quantiles are of the last minute.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// The version that a deploy named.
    pub version: Option<String>,
    /// Its servers.
    pub endpoints: Vec<EndpointView>,
    /// Answers since the start of the process, by what they came to.
    pub total: std::collections::BTreeMap<String, u64>,
    /// First attempts.
    pub requests: u64,
    /// First attempts that failed.
    pub errors: u64,
    /// Their ratio, `0..=1`; none without requests.
    pub error_rate: Option<f64>,
    /// A 95 % interval for it that stays valid however often one looks.
    #[serde(default)]
    pub error_interval: Option<(f64, f64)>,
    /// Latency quantiles in milliseconds; none without requests.
    pub latency_ms: Option<LatencyView>,
    /// What is asked for and not known of its use of resources, while it is judged.
    pub resources: Option<String>,
}

/// Latency quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LatencyView {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
}

/// An endpoint as it is now.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EndpointView {
    /// What the file or the deploy calls it.
    pub target: String,
    /// Where it is; none while its name does not resolve.
    pub address: Option<String>,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Whether an operator took it out.
    pub drained: bool,
    /// Requests that it is serving.
    pub in_flight: u32,
}

/// A rollout as it is, or was.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RolloutView {
    /// The release's id.
    pub id: String,
    /// The release's version.
    pub version: String,
    /// The pool that it brings.
    pub pool: String,
    /// How it moves.
    pub strategy: Strategy,
    /// Its state in one word.
    pub state: String,
    /// The step, from 1; none outside of steps.
    pub step: Option<usize>,
    /// How many steps there are.
    pub steps: usize,
    /// Its plan.
    pub plan: Plan,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended: Option<String>,
    /// First attempts on the canary, over the whole rollout.
    pub canary_requests: u64,
    /// Those of them that failed.
    pub canary_errors: u64,
    /// What was decided, oldest first.
    pub decisions: Vec<Decision>,
    /// What its gates found, in their order.
    #[serde(default)]
    pub gates: Vec<GateReport>,
    /// How the way back was tried before the first request.
    #[serde(default)]
    pub rehearsal: Option<Rehearsed>,
    /// What a lasting split found so far.
    #[serde(default)]
    pub report: Option<AbReport>,
}

impl RolloutView {
    pub(super) fn of(rollout: &super::live::Rollout) -> Self {
        use crate::rollout::Stage::{Approval, Step};
        let step = match rollout.state {
            State::Running { stage: Step(step) | Approval(step), .. } => Some(step + 1),
            _ => None,
        };
        Self {
            id: rollout.id.clone(),
            version: rollout.version.clone(),
            pool: rollout.pool.clone(),
            strategy: rollout.plan.strategy,
            state: rollout.state.name().to_owned(),
            step,
            steps: rollout.plan.steps.len(),
            plan: rollout.plan.clone(),
            started: time(rollout.started_ms),
            ended: rollout.ended_ms.map(time),
            canary_requests: rollout.canary_requests,
            canary_errors: rollout.canary_errors,
            decisions: rollout.decisions.clone(),
            gates: rollout.gates.clone(),
            rehearsal: rollout.rehearsal.clone(),
            report: rollout.ab.as_ref().map(|ab| report::of(&ab.0, &ab.1)),
        }
    }
}

impl FreezeView {
    pub(super) fn of(freeze: &super::live::Freeze) -> Self {
        Self {
            since: time(freeze.since_ms),
            until: freeze.until_ms.map(time),
            actor: freeze.actor.clone(),
            why: freeze.why.clone(),
        }
    }
}

/// A moment in RFC 3339.
pub(super) fn time(ms_since_epoch: u64) -> String {
    let ms = i64::try_from(ms_since_epoch).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map(|t| t.to_string()).unwrap_or_default()
}
