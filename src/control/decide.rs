//! Carries out what the state machine says, in its order, and keeps the record.

use super::Control;
use super::live::{Decision, Rollout, millis, record};
use super::saved::Back;
use super::saving::{intend, persist};
use super::service::{Cause, Service};
use crate::clock;
use crate::rollout::{self, Effect, End, Event, Refused, Stage, State};
use crate::split::Weight;

impl Control {
    /// Lets `event` happen to service `name`. Events that no longer apply are dropped: the state
    /// they were meant for is gone.
    pub(super) fn decide(&mut self, name: &str, event: Event, cause: Cause) {
        if let Err(Refused) = self.apply(name, event, cause) {
            tracing::debug!(service = name, ?event, "does not apply any more");
        }
    }

    /// Lets `event` happen to service `name`.
    ///
    /// # Errors
    /// When it does not apply; nothing was changed then.
    pub(super) fn apply(&mut self, name: &str, event: Event, cause: Cause) -> Result<(), Refused> {
        let service = self.services.get_mut(name).ok_or(Refused)?;
        if event == Event::Fail && !service.live.state().is_running() {
            if !service.live.weight.is_zero() {
                let (reason, words) = (&cause.reason, &cause.words);
                tracing::error!(
                    service = name,
                    reason,
                    words,
                    "rolled back: the share set by hand is 0% again"
                );
                self.change_share(name, Weight::ZERO, "rolled_back", &cause);
            }
            return Ok(());
        }
        let rollout = service.live.rollout.as_mut().ok_or(Refused)?;
        let before = rollout.state;
        let (after, effects) = rollout::next(before, event, &rollout.plan)?;
        rollout.state = after;
        // Whatever was being asked for a stage or a move that is gone need not be answered.
        if !matches!(
            after,
            State::Running { stage: Stage::Gate, .. } | State::Running { moving: Some(_), .. }
        ) {
            service.awaited = None;
            self.errands.cancel(name);
        }
        let cause = match (event, before, after) {
            // What is recorded of a move is why it was made, once it is made.
            (Event::Stored, ..) => std::mem::take(&mut service.moving_for),
            (_, _, State::Running { moving: Some(_), .. }) => {
                service.moving_for = cause;
                return self.carry_out(name, effects, &Cause::default());
            }
            _ => cause,
        };
        let begins_anew = matches!(event, Event::Deploy | Event::Restarted | Event::Rebooted);
        if before != after || begins_anew {
            self.note(name, event, after, &cause);
        }
        self.carry_out(name, effects, &cause)
    }

    fn carry_out(&mut self, name: &str, effects: &[Effect], cause: &Cause) -> Result<(), Refused> {
        let service = self.services.get_mut(name).ok_or(Refused)?;
        for effect in effects {
            match effect {
                Effect::Renew => {
                    service.live.salt = service.draw_salt();
                    if let Some(canary) = service.live.canary.clone()
                        && let Some(pool) = self.publisher.pool(service, &canary)
                    {
                        pool.endpoints.iter().for_each(|endpoint| endpoint.renew());
                    }
                }
                Effect::Intent => {
                    let Some(rollout) = &service.live.rollout else { continue };
                    let State::Ended(end) = rollout.state else { continue };
                    let back = Back::Rollout {
                        id: rollout.id.clone(),
                        started_ms: rollout.started_ms,
                        end,
                        rejected: service.live.rejected.contains(&rollout.id),
                        record: Some(Box::new(Rollout { judge: None, ..rollout.clone() })),
                    };
                    let last = rollout.decisions.last().cloned();
                    let decision =
                        last.unwrap_or_else(|| decision(rollout.state.name(), Weight::ZERO, cause));
                    intend(&self.store, service, back, decision);
                }
                Effect::Swap => swap(service),
                Effect::Publish => self.publisher.publish(service),
                Effect::Persist => service.token = persist(&self.jobs, &mut self.tokens, service),
                Effect::Observe => service.begin_stage(),
            }
        }
        Ok(())
    }

    /// Changes the share that is set by hand: at once, and on disk after it. A way back is intended
    /// first, for it must survive the end of the process whatever the disk does.
    pub(super) fn change_share(&mut self, name: &str, weight: Weight, what: &str, cause: &Cause) {
        let routes = self.choose_routes(name);
        let Some(service) = self.services.get_mut(name) else { return };
        let before = std::mem::replace(&mut service.live.weight, weight);
        if before.is_zero() {
            service.live.watch_routes = routes;
        }
        // Another share is another comparison.
        service.live.watch = None;
        let decision = decision(what, weight, cause);
        record(&mut service.live.by_hand, decision.clone());
        self.report.decided(name, &decision);
        self.announce(name, &decision);
        let Some(service) = self.services.get_mut(name) else { return };
        if weight < before {
            intend(&self.store, service, Back::Share, decision);
        }
        self.publisher.publish(service);
        service.token = persist(&self.jobs, &mut self.tokens, service);
    }

    /// Keeps the record of a decision, and says it.
    fn note(&mut self, name: &str, event: Event, after: State, cause: &Cause) {
        let Some(service) = self.services.get_mut(name) else { return };
        // A promoted release has everything, although its pool is no canary any more.
        let weight = match after {
            State::Ended(End::Promoted) => Weight::FULL,
            _ => service.live.share(),
        };
        let Some(rollout) = &mut service.live.rollout else { return };
        let decision = decision(decision_name(event, after), weight, cause);
        let (what, release) = (&decision.decision, &rollout.id);
        let stopped = matches!(event, Event::Fail | Event::Deadline) && after.is_running();
        if stopped || matches!(after, State::Ended(End::RolledBack | End::GateFailed | End::Undone))
        {
            tracing::error!(
                service = name,
                release,
                reason = cause.reason,
                words = cause.words,
                "{what}"
            );
        } else {
            tracing::info!(service = name, release, %weight, reason = cause.reason, words = cause.words, "{what}");
        }
        record(&mut rollout.decisions, decision.clone());
        if let State::Ended(end) = after {
            rollout.ended_ms = Some(decision.at_ms);
            let rejected = matches!(event, Event::Fail | Event::Undo | Event::Deadline);
            let ended = Rollout { judge: None, ..rollout.clone() };
            let (id, retire_after) = (ended.id.clone(), ended.plan.retire_after);
            if rejected {
                service.live.reject(&id);
            }
            if end == End::Promoted {
                service.live.retire_at_ms = Some(decision.at_ms + millis(retire_after));
            }
            service.live.weight = Weight::ZERO;
            service.live.call_after(&ended, &decision);
        }
        self.report.decided(name, &decision);
        self.announce(name, &decision);
    }
}

fn swap(service: &mut Service) {
    let was_stable = service.live.stable.clone();
    service.live.swap();
    // Going forward the old pool is kept warm; going back there is nothing left to go back to.
    let promoted = service.live.state() == State::Ended(End::Promoted);
    service.live.previous = promoted.then_some(was_stable);
    if !promoted {
        service.live.retire_at_ms = None;
    }
}

pub(super) fn decision(name: &str, weight: Weight, cause: &Cause) -> Decision {
    Decision {
        at_ms: millis(clock::unix()),
        decision: name.to_owned(),
        weight,
        reason: cause.reason.clone(),
        words: cause.words.clone(),
        actor: cause.actor.clone(),
        why: cause.why.clone(),
        evidence: cause.evidence.clone(),
    }
}

const fn decision_name(event: Event, after: State) -> &'static str {
    match (event, after) {
        (Event::Deploy, _) => "deploy",
        // The point of no return is behind it.
        (Event::Fail | Event::Deadline, State::Running { paused: true, .. }) => "frozen",
        (Event::Pause, _) => "paused",
        (Event::Resume, _) => "resumed",
        (Event::Restarted | Event::Rebooted, _) => "restarted",
        (_, State::Running { stage: Stage::Approval(_), .. }) => "approval",
        (_, State::Running { stage: Stage::Guard, .. }) => "guard",
        (_, State::Running { .. }) => "step",
        (_, state) => state.name(),
    }
}
