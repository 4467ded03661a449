//! When a state is written, and what follows once it is there, or cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::acknowledge::overtake;
use super::decide::decision;
use super::errand::Phase;
use super::live::{Decision, Live, Rollout, millis};
use super::saved::{self, Back, Intent};
use super::service::{Cause, Remark, Service};
use super::store::{Change, Durability, Entry, PutError, Revision, Store};
use super::writer::{Job, Stored, has_room};
use super::{Control, SAVE_EVERY, reload};
use crate::clock;
use crate::rollout::{Event, State};
use crate::split::Weight;

/// How long the end of the process waits for people to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the end of the process waits for the disk.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// How many services' counts of comparisons a tick may write: releases come first.
const COUNTS_AT_ONCE: usize = 2;

impl Control {
    /// A state is on disk, or is not.
    pub(super) fn stored(&mut self, stored: Stored) {
        self.take_in(stored);
        self.acknowledge(Duration::ZERO);
    }

    fn take_in(&mut self, stored: Stored) {
        let Some(service) = self.services.get_mut(&stored.service) else { return };
        service.live.ended.retain(|rollout| !stored.archived.contains(&rollout.key()));
        if stored.base != service.base {
            // It was written from a state that has been replaced.
            return;
        }
        match stored.result {
            Ok(()) => {
                if service.write_error.take().is_some() && service.alarmed.is_none() {
                    let words = "the state can be written again".to_owned();
                    service.remarks.push(Remark { kind: "alarm_over", words });
                }
            }
            Err(PutError::Conflict(entry)) => return self.replaced(&stored.service, &entry),
            Err(PutError::Io(error)) => {
                tracing::error!(service = stored.service, %error, "cannot write the state; trying again");
                service.unsaved = true;
                service.cannot_write(&error.to_string());
                return;
            }
        }
        service.stored = service.stored.max(stored.token);
        let waits = matches!(service.live.state(), State::Running { moving: Some(_), .. });
        if waits && stored.token == service.token {
            self.written(&stored.service);
        }
    }

    /// Somebody else changed a state.
    pub(super) fn changed_by_others(&mut self, change: &Change) {
        if self.services.contains_key(&change.service) {
            self.replaced(&change.service, &change.entry);
        }
    }

    /// Goes on from `entry`, which somebody else put in place of what this process wrote.
    fn replaced(&mut self, name: &str, entry: &Entry) {
        let Some(service) = self.services.get_mut(name) else { return };
        if entry.state.is_none() {
            tracing::error!(
                service = name,
                place = entry.place,
                "the state was removed while serin runs; it is written anew"
            );
            service.base = service.base.again(Revision::NONE);
            return self.persist(name);
        }
        match take_over(service, entry) {
            Ok(()) => {
                tracing::error!(
                    service = name,
                    place = entry.place,
                    "the state was changed while serin runs; going on from what it says now"
                );
                overtake(&mut self.waiting, name);
            }
            Err(why) => {
                tracing::error!(
                    service = name,
                    why,
                    "the state was changed while serin runs and cannot be used; nothing moves forward until it is mended"
                );
                service.unsaved = true;
                return;
            }
        }
        service.live.boot.clone_from(&self.boot);
        if service.live.state().is_running() {
            let words = "the state was changed by others; the step begins anew";
            self.decide(name, Event::Restarted, Cause::own("restart", words));
        } else {
            self.publisher.publish(service);
            self.persist(name);
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
            if service.unsaved && !has_room(&self.jobs) {
                // As soon as there is.
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
        self.acknowledge(dt);
    }

    /// Writes the state of service `name` without waiting for it.
    pub(super) fn persist(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            service.token = persist(&self.jobs, &mut self.tokens, service);
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
        self.acknowledge_all();
        let mut telling = tokio::task::JoinSet::new();
        for service in std::mem::take(&mut self.services).into_values() {
            telling.spawn(service.notices.flush(LAST_WORDS));
        }
        telling.join_all().await;
    }

    /// Waits until nobody holds the store any more, so that the next process finds it free.
    pub(super) async fn release_store(self) {
        let Self { jobs, questions, store, threads, .. } = self;
        // Threads end once they can get no more to do.
        drop((jobs, questions, store));
        if !have_ended(&threads, LAST_WRITES).await {
            tracing::warn!("the disk is slow: the state directory is in use a little longer");
        }
    }

    /// Lets previous pools go whose time has come.
    pub(super) fn retire(&mut self) {
        let now = millis(clock::unix());
        let due = |live: &Live| live.retire_at_ms.is_some_and(|at| now >= at);
        let due: Vec<String> = self
            .services
            .iter()
            .filter(|(_, service)| due(&service.live) && service.live.frozen(now).is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(service) = self.services.get_mut(&name) else { continue };
            service.live.retire_at_ms = None;
            let Some(previous) = service.live.previous.take() else { continue };
            let words = format!("pool {previous} is no longer kept for undo");
            tracing::info!(service = name, words, "retired");
            let decision = decision("retired", Weight::FULL, &Cause::own("retire", words));
            service.live.call(Phase::Retire, &previous, &decision);
            self.persist(&name);
            self.announce(&name, &decision);
        }
    }
}

/// Waits for at most `limit` until `threads` have ended; tells whether they have.
pub(super) async fn have_ended(threads: &[JoinHandle<()>], limit: Duration) -> bool {
    let ended = async {
        while !threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(limit / 300).await;
        }
    };
    tokio::time::timeout(limit, ended).await.is_ok()
}

/// Puts the state in `entry` in place of that of `service`.
fn take_over(service: &mut Service, entry: &Entry) -> Result<(), String> {
    let found = saved::read(entry).map_err(|unusable| unusable.to_string())?;
    let live = found.live.ok_or("there is no state")?;
    let mut live = reload::merge(&live, &service.config, millis(clock::unix()))?;
    // What ended here stays in the history, whatever the others know of.
    live.ended.append(&mut service.live.ended);
    if let Some(rollout) = service.live.rollout.take()
        && !rollout.state.is_running()
        && live.rollout.as_ref().is_none_or(|other| other.key() != rollout.key())
    {
        live.ended.push(Rollout { judge: None, ..rollout });
    }
    service.last_intent = service.last_intent.max(found.last_intent);
    service.base = service.base.again(entry.revision);
    service.verdict = None;
    service.moving_for = Cause::default();
    service.awaited = None;
    service.live = live;
    Ok(())
}

/// Sends the state to the disk and returns the token that the answer brings.
pub(super) fn persist(jobs: &mpsc::Sender<Job>, tokens: &mut u64, service: &mut Service) -> u64 {
    *tokens += 1;
    if !save(jobs, service, Durability::Disk, *tokens) {
        service.unsaved = true;
        if !jobs.is_closed() {
            // The queue is full now, which will not take long.
            service.unsaved_for = SAVE_EVERY;
        }
    }
    *tokens
}

/// Sends the state to the disk in its turn: nothing waits for it.
pub(super) fn persist_in_turn(jobs: &mpsc::Sender<Job>, tokens: &mut u64, service: &mut Service) {
    if has_room(jobs) {
        service.token = persist(jobs, tokens, service);
    } else {
        service.unsaved = true;
        service.unsaved_for = SAVE_EVERY;
    }
}

fn save(
    jobs: &mpsc::Sender<Job>,
    service: &mut Service,
    durability: Durability,
    token: u64,
) -> bool {
    service.live.knows_intent = service.last_intent;
    match job(service, durability, token) {
        Ok(job) => jobs.try_send(job).is_ok(),
        Err(error) => {
            tracing::error!(service = service.config.name, %error, "cannot write the state");
            false
        }
    }
}

fn job(service: &Service, durability: Durability, token: u64) -> serde_json::Result<Job> {
    let name = &service.config.name;
    let ended = service.live.ended.iter();
    let archive = ended.map(|rollout| Ok((rollout.key(), saved::to_archive(name, rollout)?)));
    Ok(Job {
        service: name.clone(),
        state: serde_json::to_vec(&service.live)?,
        durability,
        knows_intent: service.last_intent,
        archive: archive.collect::<serde_json::Result<_>>()?,
        base: service.base,
        token,
    })
}

/// Whether `live` says something else than `stored`, but for the boot that wrote it.
pub(super) fn differs(live: &Live, stored: &Live) -> bool {
    let as_written = |live: &Live| {
        serde_json::to_vec(&Live { boot: String::new(), ..live.clone() }).unwrap_or_default()
    };
    as_written(live) != as_written(stored)
}

/// Writes down a way back before it is taken.
pub(super) fn intend(
    store: &Arc<dyn Store>,
    service: &mut Service,
    back: Back,
    decision: Decision,
) {
    let name = &service.config.name;
    service.last_intent += 1;
    // Without it a kill -9 in the next milliseconds would bring the canary back; that is no reason
    // to leave it up now.
    let written = serde_json::to_vec(&Intent { back, decision })
        .map_err(Into::into)
        .and_then(|intent| store.intend(name, service.last_intent, &intent));
    service.intended = written.is_ok();
    if let Err(error) = written {
        tracing::error!(service = name, %error, "cannot write the intent");
        service.cannot_write(&error.to_string());
    }
}
