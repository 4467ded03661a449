//! Tells people what was decided, and what keeps a release from going on.

use std::time::Duration;

use super::Control;
use super::live::{ALARMS, Decision, record};
use super::notify::event::{Event, Release};
use super::service::{Cause, Remark, Service};
use crate::judge::Verdict;
use crate::rollout::plan::{Step, Strategy};

/// How long after its `hold` a step is said to be held.
const HELD_AFTER: Duration = Duration::from_secs(60);

/// How long an alarm must be quiet until it is said to be over: a pool that comes back may stumble
/// for a while, and nobody is to be called each time.
const ALARM_QUIET: Duration = Duration::from_secs(5);

impl Control {
    /// Tells those who want to know of a decision.
    pub(super) fn announce(&self, name: &str, decision: &Decision) {
        let Some(service) = self.services.get(name) else { return };
        service.notices.tell(event(service, decision));
    }

    /// Tells of something that nobody decided.
    pub(super) fn remark(&mut self, name: &str, remark: Remark) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Remark { kind, words } = remark;
        let cause = Cause::own(kind, words);
        let decision = super::decide::decision(kind, service.live.share(), &cause);
        if ALARMS.contains(&kind)
            && let Some(rollout) = &mut service.live.rollout
            && rollout.state.is_running()
        {
            // What nobody could decide is part of the story, too.
            record(&mut rollout.decisions, decision.clone());
        }
        service.notices.tell(event(service, &decision));
    }

    /// Tells what services had to remark.
    pub(super) fn remarks(&mut self) {
        let remarks: Vec<(String, Remark)> = self
            .services
            .iter_mut()
            .flat_map(|(name, service)| {
                service.remarks.drain(..).map(|remark| (name.clone(), remark))
            })
            .collect();
        for (name, remark) in remarks {
            self.remark(&name, remark);
        }
    }
}

impl Service {
    /// Says once a step that it takes longer than it was meant to.
    pub(super) fn say_held(&mut self, step: usize, verdict: &Verdict) {
        let Some(rollout) = &self.live.rollout else { return };
        let Some(Step { hold, .. }) = rollout.plan.steps.get(step) else { return };
        let ab = rollout.plan.strategy == Strategy::Ab;
        if self.held || ab || self.staged < *hold + HELD_AFTER {
            return;
        }
        self.held = true;
        let words = format!("step {} is held: {}", step + 1, verdict.words);
        tracing::warn!(service = self.config.name, words, "held");
        self.remarks.push(Remark { kind: "held", words });
    }

    /// Says an alarm when it begins and when it is over.
    pub(super) fn alarm(&mut self, verdict: &Verdict, dt: Duration) {
        let name = &self.config.name;
        match &mut self.alarmed {
            None if verdict.alarm => {
                let words = verdict.words.clone();
                tracing::error!(service = name, words, "alarm");
                self.remarks.push(Remark { kind: "alarm", words });
                self.alarmed = Some(Duration::ZERO);
            }
            Some(quiet) if verdict.alarm => *quiet = Duration::ZERO,
            Some(quiet) if *quiet + dt < ALARM_QUIET => *quiet += dt,
            Some(_) => {
                let words = "the stable pool answers again".to_owned();
                tracing::info!(service = name, words, "alarm over");
                self.remarks.push(Remark { kind: "alarm_over", words });
                self.alarmed = None;
            }
            None => {}
        }
    }

    /// Remembers that the state cannot be written, and says so once.
    pub(super) fn cannot_write(&mut self, error: &str) {
        if self.write_error.replace(error.to_owned()).is_none() {
            let words = format!("the state cannot be written: {error}; trying again");
            self.remarks.push(Remark { kind: "alarm", words });
        }
    }
}

/// What hooks and people are told of a decision.
pub(super) fn event(service: &Service, decision: &Decision) -> Event {
    let release = service.live.rollout.as_ref().map(|rollout| Release {
        id: rollout.id.clone(),
        version: rollout.version.clone(),
        pool: rollout.pool.clone(),
        strategy: rollout.plan.strategy,
    });
    // What was done to the share by hand is about no release.
    let by_hand = service.live.by_hand.last() == Some(decision);
    Event::of(&service.config.name, release.filter(|_| !by_hand), decision, rand::random())
}
