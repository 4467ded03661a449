//! Carries out what the state machine says, in its order, and keeps the record.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use super::live::{Decision, millis, record};
use super::service::{Cause, Service};
use super::store::{Back, Durability, Intent, Store};
use super::writer::{Job, Stored};
use super::{Control, SAVE_EVERY};
use crate::clock;
use crate::rollout::{self, Effect, End, Event, Refused, Stage, State};
use crate::split::Weight;

/// How long the end of the process waits for the disk.
const LAST_WRITES: Duration = Duration::from_secs(3);
/// How many services' counts of comparisons a tick may write: releases come first.
const COUNTS_AT_ONCE: usize = 2;

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
                    };
                    let what = rollout.state.name();
                    intend(&self.store, service, back, decision(what, Weight::ZERO, cause));
                }
                Effect::Swap => swap(service),
                Effect::Publish => self.publisher.publish(service),
                Effect::Persist => service.token = persist(&self.jobs, &mut self.tokens, service),
                Effect::Observe => service.observe_anew(),
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
        if matches!(after, State::Ended(End::RolledBack | End::GateFailed | End::Undone)) {
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
            let (id, retire_after) = (rollout.id.clone(), rollout.plan.retire_after);
            if rejected {
                service.live.reject(&id);
            }
            if end == End::Promoted {
                service.live.retire_at_ms = Some(decision.at_ms + millis(retire_after));
            }
            service.live.weight = Weight::ZERO;
        }
        self.report.decided(name, &decision);
    }

    /// A state is on disk, or is not.
    pub(super) fn stored(&mut self, stored: Stored) {
        let Some(service) = self.services.get_mut(&stored.service) else { return };
        if let Err(error) = stored.result {
            tracing::error!(service = stored.service, %error, "cannot write the state; trying again");
            service.unsaved = true;
            return;
        }
        service.stored = service.stored.max(stored.token);
        let waits = matches!(service.live.state(), State::Running { moving: Some(_), .. });
        if waits && stored.token == service.token {
            self.decide(&stored.service, Event::Stored, Cause::default());
        }
    }

    /// Writes again what could not be written, and now and then what the judge has seen.
    pub(super) fn save_what_is_due(&mut self, dt: Duration) {
        let mut counts = COUNTS_AT_ONCE;
        for service in self.services.values_mut() {
            let judging = service.live.watch.is_some() || service.live.state().is_running();
            if counts > 0 && service.judging.counts_unsaved {
                counts -= 1;
                // A few comparisons that are lost with the machine matter to nobody.
                let saved = save(&self.jobs, service, Durability::Process, 0);
                service.judging.counts_unsaved = !saved;
            }
            if !judging && !service.unsaved {
                continue;
            }
            service.unsaved_for += dt;
            if service.unsaved_for < SAVE_EVERY {
                continue;
            }
            service.unsaved_for = Duration::ZERO;
            if std::mem::take(&mut service.unsaved) {
                service.token = persist(&self.jobs, &mut self.tokens, service);
            } else {
                // A lost one costs two seconds of evidence, so it need not be flushed.
                save(&self.jobs, service, Durability::Process, 0);
            }
        }
    }

    /// Writes every judge's state before the process ends, behind what is still being written.
    pub(super) async fn save_all(&mut self, stored: &mut mpsc::Receiver<Stored>) {
        let mut waiting = BTreeMap::new();
        for (name, service) in &mut self.services {
            let judging = service.live.watch.is_some() || service.live.state().is_running();
            if judging || service.unsaved {
                service.token = persist(&self.jobs, &mut self.tokens, service);
            }
            if service.token > service.stored {
                waiting.insert(name.clone(), service.token);
            }
        }
        let written = async {
            while !waiting.is_empty()
                && let Some(Stored { service, token, .. }) = stored.recv().await
            {
                waiting.retain(|name, wanted| *name != service || *wanted > token);
            }
        };
        if tokio::time::timeout(LAST_WRITES, written).await.is_err() {
            tracing::warn!("the disk is slow: the last seconds of evidence may be lost");
        }
    }

    /// Lets previous pools go whose time has come.
    pub(super) fn retire(&mut self) {
        let now = millis(clock::unix());
        for (name, service) in &mut self.services {
            if service.live.retire_at_ms.is_none_or(|at| now < at) {
                continue;
            }
            service.live.retire_at_ms = None;
            let previous = service.live.previous.take();
            tracing::info!(
                service = name,
                previous,
                "the previous pool is no longer kept for undo"
            );
            service.token = persist(&self.jobs, &mut self.tokens, service);
        }
    }
}

/// Sends the state to the disk and returns the token that the answer brings.
pub(super) fn persist(jobs: &mpsc::Sender<Job>, tokens: &mut u64, service: &mut Service) -> u64 {
    *tokens += 1;
    if !save(jobs, service, Durability::Disk, *tokens) {
        service.unsaved = true;
    }
    *tokens
}

fn save(jobs: &mpsc::Sender<Job>, service: &Service, durability: Durability, token: u64) -> bool {
    let json = match serde_json::to_vec(&service.live) {
        Ok(json) => json,
        Err(error) => {
            tracing::error!(service = service.config.name, %error, "cannot write the state");
            return false;
        }
    };
    let job = Job {
        service: service.config.name.clone(),
        json,
        durability,
        knows_intent: service.last_intent,
        token,
    };
    jobs.try_send(job).is_ok()
}

/// Writes down a way back before it is taken.
fn intend(store: &Store, service: &mut Service, back: Back, decision: Decision) {
    let name = &service.config.name;
    service.last_intent += 1;
    // Without it a kill -9 in the next milliseconds would bring the canary back; that is no reason
    // to leave it up now.
    let intent = Intent { back, decision };
    if let Err(error) = store.write_intent(name, service.last_intent, &intent) {
        tracing::error!(service = name, %error, "cannot write the intent");
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
        (Event::Pause, _) => "paused",
        (Event::Resume, _) => "resumed",
        (Event::Restarted | Event::Rebooted, _) => "restarted",
        (_, State::Running { stage: Stage::Approval(_), .. }) => "approval",
        (_, State::Running { stage: Stage::Guard, .. }) => "guard",
        (_, State::Running { .. }) => "step",
        (_, state) => state.name(),
    }
}
