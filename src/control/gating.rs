//! What a release has to pass before its first request, in order.
//!
//! The `deploy` hook starts the new version, every endpoint becomes healthy, every gate passes, the
//! `before_traffic` hook agrees, and the way back is rehearsed. Then stable and canary are looked
//! at once more: the checks took their time, and nobody goes onto or back to a pool that died.

use std::sync::Arc;
use std::time::Duration;

use super::errand::{Errand, Phase};
use super::service::{Cause, Follows, Pools, Service};
use crate::rollout::Event;
use crate::upstream::health::Health;
use crate::upstream::{Endpoint, Pool, Standing};

/// How long a canary may take to become healthy before it gets any traffic.
const HEALTH_LIMIT: Duration = Duration::from_secs(60);

/// What is to be passed next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Check {
    #[default]
    Deploy,
    Health,
    Gates,
    BeforeTraffic,
    Rehearsal,
    /// Health once more.
    Last,
}

impl Check {
    const fn next(self) -> Self {
        match self {
            Self::Deploy => Self::Health,
            Self::Health => Self::Gates,
            Self::Gates => Self::BeforeTraffic,
            Self::BeforeTraffic => Self::Rehearsal,
            Self::Rehearsal | Self::Last => Self::Last,
        }
    }
}

/// Where the checks before the first request stand.
#[derive(Debug, Default)]
pub(super) struct Gating {
    check: Check,
    /// What was asked, and its answer is awaited.
    asked: bool,
    /// How long the stage had been observed when this check began.
    since: Duration,
    passed: Vec<String>,
    failed: Option<(String, String)>,
}

impl Gating {
    /// Whether the hook `deploy` has been called and has not answered.
    pub(super) fn is_deploying(&self) -> bool {
        self.check == Check::Deploy && self.asked
    }

    /// What was asked has passed.
    pub(super) fn passed(&mut self, words: String, observed: Duration) {
        if !words.is_empty() {
            self.passed.push(words);
        }
        self.check = self.check.next();
        self.asked = false;
        self.since = observed;
    }

    /// What was asked has failed, and with it the release.
    pub(super) fn failed(&mut self, reason: &str, words: String) {
        self.failed = Some((reason.to_owned(), words));
    }

    /// What is being waited for, in words.
    pub(super) const fn words(&self) -> &'static str {
        match self.check {
            Check::Deploy => "waiting for hooks: those of the release before, then `deploy`",
            Check::Health => "waiting for the canary to be healthy",
            Check::Gates => "waiting for the gates",
            Check::BeforeTraffic => "waiting for the hook `before_traffic`",
            Check::Rehearsal => "rehearsing the way back",
            Check::Last => "waiting for both pools to be healthy",
        }
    }
}

/// Whether `stable` can take users back, which nobody knows before its first checks.
fn is_known_and_up(stable: &Pool) -> bool {
    let unknown = |endpoint: &Arc<Endpoint>| endpoint.health() == Health::Unknown;
    stable.standing() == Standing::Up && !stable.endpoints.iter().any(unknown)
}

impl Service {
    /// What follows from the checks before the first request, as far as they have come.
    pub(super) fn gate(&mut self, pools: &Pools) -> Follows {
        if let Some((reason, words)) = self.gating.failed.clone() {
            return Some((Event::GateFailed, Cause::own(&reason, words)));
        }
        let canary = pools.canary.as_ref()?;
        let hooks = &self.config.rollout.hooks;
        let cleaning = self.live.calls.iter().any(|call| call.phase.hook(hooks).is_some());
        if self.gating.check == Check::Deploy && cleaning {
            // What removes the version before must not find this one in its place.
            return None;
        }
        loop {
            match self.gating.check {
                Check::Health | Check::Last => match self.healthy(canary) {
                    Some(_) if !is_known_and_up(&pools.stable) => return None,
                    Some(words) if self.gating.check == Check::Health => {
                        self.gating.passed(words, self.observed);
                    }
                    Some(_) => {
                        let words = self.gating.passed.join("; ");
                        return Some((Event::GatePassed, Cause::own("gates", words)));
                    }
                    None => return self.unhealthy(canary),
                },
                check => match self.errand_of(check) {
                    None => self.gating.passed(String::new(), self.observed),
                    Some(_) if self.gating.asked => return None,
                    Some(errand) => {
                        self.gating.asked = true;
                        self.errands.push(errand);
                        return None;
                    }
                },
            }
        }
    }

    /// What has to be asked for `check`, if anything.
    fn errand_of(&self, check: Check) -> Option<Errand> {
        let hooks = &self.config.rollout.hooks;
        let hook = |phase: Phase| phase.hook(hooks).map(|_| Errand::Hook(phase));
        match check {
            // After a restart of the process the new version has been started already.
            Check::Deploy if self.live.rollout.as_ref().is_some_and(|r| r.deployed) => None,
            Check::Deploy => hook(Phase::Deploy),
            Check::Gates => (!self.config.gates.is_empty()).then_some(Errand::Gates),
            Check::BeforeTraffic => hook(Phase::BeforeTraffic),
            Check::Rehearsal => Some(Errand::Rehearsal),
            Check::Health | Check::Last => None,
        }
    }

    /// Says so in words, if every endpoint of `canary` is healthy.
    fn healthy(&self, canary: &Pool) -> Option<String> {
        let serving: Vec<_> = canary.endpoints.iter().filter(|e| !e.is_drained()).collect();
        // A name that does not resolve yet has no endpoint to be healthy.
        let drained = self.live.pools.get(&canary.name).map(|live| &live.drained);
        let named = self.live.targets(&canary.name, &self.config).iter().all(|target| {
            drained.is_some_and(|drained| drained.contains(target))
                || serving.iter().any(|endpoint| endpoint.target == *target)
        });
        let all = named && serving.iter().all(|endpoint| endpoint.is_available());
        (all && !serving.is_empty()).then(|| match serving.len() {
            1 => format!("the endpoint of pool {} is healthy", canary.name),
            count => format!("all {count} endpoints of pool {} are healthy", canary.name),
        })
    }

    /// Fails the release once the canary had its time.
    fn unhealthy(&self, canary: &Pool) -> Follows {
        let limit = self.live.rollout.as_ref()?.plan.deadline.min(HEALTH_LIMIT);
        if self.observed < self.gating.since + limit {
            return None;
        }
        let count = canary.endpoints.len();
        let up = canary.endpoints.iter().filter(|endpoint| endpoint.is_available()).count();
        let asked = canary.health_path.as_deref().map_or(String::new(), |p| format!(" (GET {p})"));
        let words = format!(
            "{up} of {count} endpoints of pool {} became healthy within {} s{asked}",
            canary.name,
            limit.as_secs()
        );
        Some((Event::GateFailed, Cause::own("health", words)))
    }
}
