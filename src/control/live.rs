//! What must outlive the process: who is stable, who is the canary, and where its rollout stands.
//!
//! Plain data, written as JSON so that a person can read it in an emergency.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::placebo::Counts;
use crate::config::{self, Target};
use crate::judge::{Evidence, Judge};
use crate::rollout::plan::Plan;
use crate::rollout::{self, State};
use crate::split::{Salt, Weight};

/// The format of a service's state. A file with a higher one is of a newer serin.
pub(super) const FORMAT: u32 = 1;
/// How many ended rollouts a service remembers.
const HISTORY_MAX: usize = 20;
/// How many decisions of a rollout are remembered.
const DECISIONS_MAX: usize = 200;
/// How many rejected release ids are remembered.
const REJECTED_MAX: usize = 100;

/// The durable state of one service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Live {
    pub(super) format: u32,
    /// Which boot of the machine wrote it.
    pub(super) boot: String,
    pub(super) stable: String,
    pub(super) canary: Option<String>,
    /// The pool that was stable before the last promotion, while `undo` still works.
    pub(super) previous: Option<String>,
    /// When the previous pool may go, in milliseconds since the epoch.
    pub(super) retire_at_ms: Option<u64>,
    pub(super) pools: BTreeMap<String, LivePool>,
    /// The canary's share while no rollout runs.
    pub(super) weight: Weight,
    pub(super) salt: Salt,
    /// What the next release divides users by; there once the service has run.
    #[serde(default)]
    pub(super) next_salt: Option<Salt>,
    /// Comparisons of two halves of stable.
    #[serde(default)]
    pub(super) placebo: Counts,
    /// What the file said when it was last applied.
    pub(super) applied: Applied,
    pub(super) rollout: Option<Rollout>,
    /// Ended rollouts, oldest first.
    pub(super) history: Vec<Rollout>,
    /// Ids of releases that were rolled back.
    pub(super) rejected: Vec<String>,
    /// Judges a share set by hand.
    pub(super) watch: Option<Judged>,
    /// The routes that are judged on their own while the share is set by hand.
    #[serde(default)]
    pub(super) watch_routes: Vec<String>,
    /// What was done to the share by hand, oldest first.
    pub(super) by_hand: Vec<Decision>,
}

/// A judge and its clock, which stands still between processes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Judged {
    pub(super) judge: Judge,
    /// Seconds that it has watched.
    pub(super) t_s: f64,
}

/// What a deploy or an operator said of a pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct LivePool {
    pub(super) version: Option<String>,
    /// The release that brought it.
    pub(super) release: Option<String>,
    /// Given by a deploy; the file's where `None`.
    pub(super) endpoints: Option<Vec<Target>>,
    /// Endpoints that an operator took out.
    #[serde(default)]
    pub(super) drained: BTreeSet<Target>,
}

/// The file's values, as last applied.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Applied {
    pub(super) stable: String,
    pub(super) canary: Option<String>,
    pub(super) weight: Weight,
    pub(super) endpoints: BTreeMap<String, Vec<Target>>,
}

/// One release of one service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Rollout {
    pub(super) id: String,
    pub(super) version: String,
    /// The pool that it brings.
    pub(super) pool: String,
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) started_ms: u64,
    pub(super) ended_ms: Option<u64>,
    /// First attempts that failed on the canary, over the whole rollout.
    pub(super) canary_errors: u64,
    /// First attempts on the canary, over the whole rollout.
    pub(super) canary_requests: u64,
    pub(super) decisions: Vec<Decision>,
    pub(super) judge: Option<Judged>,
    /// The routes that are judged on their own.
    #[serde(default)]
    pub(super) routes: Vec<String>,
}

/// Something that was done, by whom and on what grounds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Decision {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What: `deploy`, `step`, `promoted`, `rolled_back`, ...
    pub decision: String,
    /// The share of the pool that is released, afterwards.
    pub weight: Weight,
    /// A short name of the reason.
    pub reason: String,
    /// The reason in words.
    pub words: String,
    /// Who: `serin`, or who called the API.
    pub actor: String,
    /// What they gave as their reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The numbers it stood on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Live {
    /// The state of a service that was never seen before.
    pub(super) fn of_file(service: &config::Service, boot: &str, salt: Salt) -> Self {
        Self {
            format: FORMAT,
            boot: boot.to_owned(),
            stable: service.stable.clone(),
            canary: service.canary.clone(),
            previous: None,
            retire_at_ms: None,
            pools: BTreeMap::new(),
            weight: service.weight,
            salt,
            next_salt: None,
            placebo: Counts::default(),
            applied: Applied::of(service),
            rollout: None,
            history: Vec::new(),
            rejected: Vec::new(),
            watch: None,
            watch_routes: Vec::new(),
            by_hand: Vec::new(),
        }
    }

    /// The rollout's state; `Idle` where there is none.
    pub(super) fn state(&self) -> State {
        self.rollout.as_ref().map_or(State::Idle, |rollout| rollout.state)
    }

    /// The canary's share now.
    pub(super) fn share(&self) -> Weight {
        match &self.rollout {
            Some(rollout) => rollout::weight(rollout.state, &rollout.plan, self.weight),
            None => self.weight,
        }
    }

    /// The routes that are judged on their own now.
    pub(super) fn routes(&self) -> &[String] {
        match &self.rollout {
            Some(rollout) if rollout.state.is_running() => &rollout.routes,
            _ if !self.weight.is_zero() => &self.watch_routes,
            _ => &[],
        }
    }

    /// Where the endpoints of `pool` are: the deploy's word, else the file's.
    pub(super) fn targets<'a>(&'a self, pool: &str, file: &'a config::Service) -> &'a [Target] {
        let given = self.pools.get(pool).and_then(|live| live.endpoints.as_deref());
        given.or_else(|| file.pools.get(pool).map(|p| p.endpoints.as_slice())).unwrap_or_default()
    }

    /// Exchanges the stable and the canary pool.
    pub(super) fn swap(&mut self) {
        if let Some(canary) = &mut self.canary {
            std::mem::swap(canary, &mut self.stable);
        }
    }

    /// Puts the rollout that ended among the history.
    pub(super) fn archive(&mut self) {
        if let Some(mut rollout) = self.rollout.take() {
            rollout.judge = None;
            self.history.push(rollout);
            let excess = self.history.len().saturating_sub(HISTORY_MAX);
            self.history.drain(..excess);
        }
    }

    /// Remembers that release `id` was found bad.
    pub(super) fn reject(&mut self, id: &str) {
        self.rejected.retain(|known| known != id);
        self.rejected.push(id.to_owned());
        let excess = self.rejected.len().saturating_sub(REJECTED_MAX);
        self.rejected.drain(..excess);
    }
}

impl Applied {
    pub(super) fn of(service: &config::Service) -> Self {
        Self {
            stable: service.stable.clone(),
            canary: service.canary.clone(),
            weight: service.weight,
            endpoints: service
                .pools
                .iter()
                .map(|(name, pool)| (name.clone(), pool.endpoints.clone()))
                .collect(),
        }
    }
}

/// Adds a decision to `list`. The first tells who asked for it; the middle is what can be missed.
pub(super) fn record(list: &mut Vec<Decision>, decision: Decision) {
    list.push(decision);
    if list.len() > DECISIONS_MAX {
        list.remove(1);
    }
}

/// Milliseconds since the epoch.
pub(super) fn millis(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
