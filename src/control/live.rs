//! What must outlive the process: who is stable, who is the canary, and where its rollout stands.
//!
//! Plain data, written as JSON so that a person can read it in an emergency.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::errand::Phase;
use super::gates::GateReport;
use super::placebo::Counts;
use super::report::Totals;
use super::view::Rehearsed;
use crate::config::{self, Target};
use crate::judge::{Evidence, Judge};
use crate::rollout::plan::Plan;
use crate::rollout::{self, End, State};
use crate::split::{Salt, Weight};

/// The format of a service's state. A file with a higher one is of a newer serin.
pub(super) const FORMAT: u32 = 1;
/// How many ended rollouts may wait for their place in the store.
const ENDED_MAX: usize = 50;
/// How many decisions of a rollout are remembered.
const DECISIONS_MAX: usize = 200;
/// What is recorded among decisions and is none.
pub(super) const ALARMS: [&str; 2] = ["alarm", "alarm_over"];
/// How many hooks may wait to be called after a release.
const CALLS_MAX: usize = 16;
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
    /// Ended rollouts that are not known to be in the store's history, oldest first. They are
    /// written there before this state is, so it holds none; those of before 0.2 do.
    #[serde(default, rename = "history", serialize_with = "nothing")]
    pub(super) ended: Vec<Rollout>,
    /// Ids of releases that were rolled back.
    pub(super) rejected: Vec<String>,
    /// Judges a share set by hand.
    pub(super) watch: Option<Judged>,
    /// The routes that are judged on their own while the share is set by hand.
    #[serde(default)]
    pub(super) watch_routes: Vec<String>,
    /// What was done to the share by hand, oldest first.
    pub(super) by_hand: Vec<Decision>,
    /// Who lets nothing go forward.
    #[serde(default)]
    pub(super) freeze: Option<Freeze>,
    /// How the way back was last tried.
    #[serde(default)]
    pub(super) rehearsal: Option<Rehearsed>,
    /// Hooks to be called that no release waits for, in order. One that a crash interrupts is
    /// called again.
    #[serde(default)]
    pub(super) calls: Vec<Call>,
    /// The number of the last way back that this state knows of.
    #[serde(default)]
    pub(super) knows_intent: u64,
}

/// A hook to be called after a release.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Call {
    pub(super) phase: Phase,
    pub(super) release: String,
    pub(super) version: String,
    /// The pool that it is about.
    pub(super) pool: String,
    /// Where a deploy said that it ran; where the file says, if none did.
    #[serde(default)]
    pub(super) endpoints: Option<Vec<Target>>,
    /// Since when it is due.
    pub(super) since_ms: u64,
    /// What happened.
    pub(super) decision: Decision,
}

/// A judge and its clock, which stands still between processes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Judged {
    /// Large, and most services have none.
    pub(super) judge: Box<Judge>,
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
    /// What stable and the canary did, of a lasting split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ab: Option<Box<(Totals, Totals)>>,
    /// The `deploy` hook has run.
    #[serde(default)]
    pub(super) deployed: bool,
    /// What its gates and hooks found.
    #[serde(default)]
    pub(super) gates: Vec<GateReport>,
    /// How the way back was tried before the first request.
    #[serde(default)]
    pub(super) rehearsal: Option<Rehearsed>,
}

impl Rollout {
    /// The last decision. An alarm is among them for whoever reads the story, and decides nothing.
    pub(super) fn last(&self) -> Option<&Decision> {
        self.decisions.iter().rev().find(|known| !ALARMS.contains(&known.decision.as_str()))
    }
}

/// Nothing goes forward.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Freeze {
    pub(super) since_ms: u64,
    pub(super) until_ms: Option<u64>,
    pub(super) actor: String,
    pub(super) why: Option<String>,
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
            ended: Vec::new(),
            rejected: Vec::new(),
            watch: None,
            watch_routes: Vec::new(),
            by_hand: Vec::new(),
            freeze: None,
            rehearsal: None,
            calls: Vec::new(),
            knows_intent: 0,
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
        if let Some(rollout) = self.rollout.take() {
            self.ended.push(Rollout { judge: None, ..rollout });
            let excess = self.ended.len().saturating_sub(ENDED_MAX);
            self.ended.drain(..excess);
        }
    }

    /// Who lets nothing go forward at `now_ms`.
    pub(super) fn frozen(&self, now_ms: u64) -> Option<&Freeze> {
        self.freeze.as_ref().filter(|freeze| freeze.until_ms.is_none_or(|until| now_ms < until))
    }

    /// Notes that the hook of `phase` is to be called about `decision`.
    pub(super) fn call(&mut self, phase: Phase, pool: &str, decision: &Decision) {
        let Some(rollout) = &self.rollout else { return };
        let (release, version) = (rollout.id.clone(), rollout.version.clone());
        self.call_of(phase, (release, version), pool, decision);
    }

    /// Notes the hooks that are due now that `rollout` has ended with `decision`.
    pub(super) fn call_after(&mut self, rollout: &Rollout, decision: &Decision) {
        let State::Ended(end) = rollout.state else { return };
        let went_back = matches!(end, End::RolledBack | End::Undone);
        let phases = went_back.then_some(Phase::RolledBack).into_iter().chain([Phase::After]);
        for phase in phases {
            let release = (rollout.id.clone(), rollout.version.clone());
            self.call_of(phase, release, &rollout.pool, decision);
        }
    }

    fn call_of(
        &mut self,
        phase: Phase,
        (release, version): (String, String),
        pool: &str,
        decision: &Decision,
    ) {
        self.calls.push(Call {
            phase,
            release,
            version,
            pool: pool.to_owned(),
            endpoints: self.pools.get(pool).and_then(|live| live.endpoints.clone()),
            since_ms: decision.at_ms,
            decision: decision.clone(),
        });
        let excess = self.calls.len().saturating_sub(CALLS_MAX);
        self.calls.drain(..excess);
    }

    /// Remembers that release `id` was found bad.
    pub(super) fn reject(&mut self, id: &str) {
        self.rejected.retain(|known| known != id);
        self.rejected.push(id.to_owned());
        let excess = self.rejected.len().saturating_sub(REJECTED_MAX);
        self.rejected.drain(..excess);
    }
}

/// The shape of 0.1 stays, so that it can read what later ones wrote.
fn nothing<S: Serializer>(_: &[Rollout], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(std::iter::empty::<()>())
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
