//! The way of a decision, on one screen.
//!
//! One task on one thread. Whatever happens (a tick, a command, a health check, a look-up, a write
//! that is done) becomes an event, [`crate::rollout::next`] says what follows, and the effects are
//! carried out in its order: back at once, forward only after it is on disk.

mod acknowledge;
mod act;
mod calls;
mod command;
mod decide;
mod errand;
mod gates;
mod gating;
mod history;
mod judging;
mod live;
mod notices;
mod notify;
mod placebo;
mod publish;
mod queries;
mod recording;
mod rehearsal;
mod reload;
mod report;
mod resources;
mod saved;
mod saving;
mod service;
mod settle;
mod start;
mod stats;
mod store;
mod view;
mod views;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock;
use crate::config::Config;
use crate::measure;
use crate::upstream::registry::Resolved;
use command::Command;
use errand::{Errands, News};
use publish::{Cohort, Owner, Publisher};
use service::Service;
use writer::{Job, Stored};

pub use crate::judge::Evidence;
pub use command::{Action, Asker, Deploy, DeployStep, Handle, Refusal, Reloaded};
pub use gates::GateReport;
pub use live::Decision;
pub use report::{AbReport, QuantileReport, SideReport};
pub use start::{Setup, start};
pub use store::{
    Change, Durability, Entry, FileStore, HISTORY_MAX, Kept, Key, PutError, Revision, Store,
    Unusable,
};
pub use view::{
    EndpointView, FreezeView, LatencyView, PlaceboView, PoolView, Rehearsed, RolloutView,
    ServiceView, ShareView,
};

/// How often what was measured is judged.
const TICK: Duration = Duration::from_millis(100);
/// The most that one tick may count for.
const DT_MAX: Duration = Duration::from_secs(1);
/// A gap between two ticks after which observation begins anew.
const FROZEN: Duration = Duration::from_secs(3);
/// How often the judge's state is written while nothing is decided.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// Decides what becomes of every release.
pub struct Control {
    config: Arc<Config>,
    config_path: Option<PathBuf>,
    services: BTreeMap<String, Service>,
    publisher: Publisher,
    store: Arc<dyn Store>,
    jobs: mpsc::Sender<Job>,
    errands: Errands,
    /// A port of the proxy, for rehearsals.
    listener: SocketAddr,
    questions: mpsc::Sender<history::Question>,
    drain: measure::Drain,
    samplers: resources::Samplers,
    recorder: recording::Recorder,
    /// Since what was sampled of paths was halved.
    samples_age: Duration,
    report: views::Report,
    boot: String,
    last_tick: Instant,
    tokens: u64,
    waiting: Vec<acknowledge::Waiting>,
    /// They write to the store, and read from it.
    threads: Vec<JoinHandle<()>>,
}

/// Where events come from.
pub struct Inbox {
    commands: mpsc::Receiver<Command>,
    /// The health of some endpoint changed.
    changed: Arc<Notify>,
    resolved: mpsc::Receiver<Resolved>,
    stored: mpsc::Receiver<Stored>,
    news: mpsc::Receiver<News>,
    /// States that somebody else changed.
    others: mpsc::Receiver<Change>,
    samples: mpsc::Receiver<resources::Sample>,
    stop: oneshot::Receiver<()>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("services", &self.services.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl Control {
    /// Decides until it is told to stop.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut inbox.stop => break,
                _ = ticks.tick() => self.tick(clock::now()),
                Some(stored) = inbox.stored.recv() => self.stored(stored),
                Some(change) = inbox.others.recv() => self.changed_by_others(&change),
                () = inbox.changed.notified() => self.health_changed(),
                Some(news) = inbox.news.recv() => self.heard(news),
                Some(command) = inbox.commands.recv() => self.command(command),
                Some(resolved) = inbox.resolved.recv() => self.resolved(resolved),
                Some(sample) = inbox.samples.recv() => self.sampled(&sample),
            }
        }
        self.settle(Duration::ZERO);
        self.save_all(&mut inbox.stored).await;
        self.recorder.finish().await;
        self.release_store().await;
    }

    /// Drains what workers measured, and judges it.
    fn tick(&mut self, now: Instant) {
        let gap = now.duration_since(self.last_tick);
        self.last_tick = now;
        // A process that was frozen saw nothing, and what was not seen is no good behaviour.
        let dt = gap.min(DT_MAX);
        if gap > FROZEN {
            tracing::warn!(?gap, "the process stood still; what is observed begins anew");
            self.services.values_mut().for_each(Service::observe_anew);
        }
        let (services, publisher) = (&mut self.services, &self.publisher);
        let report = &mut self.report;
        self.drain.drain(|slot, delta| {
            let Some((Owner { service, pool, cohort }, is_now)) = publisher.owner(slot) else {
                return;
            };
            let Some(known) = services.get_mut(service) else { return };
            if *cohort == Cohort::Rehearsal {
                return known.rehearsal_measured(pool, &delta);
            }
            report.measured(known, pool, &delta);
            if is_now {
                known.measured(pool, *cohort, &delta);
            }
        });
        for (name, event, cause) in self.each(|service, pools| service.tick(dt, pools)) {
            self.decide(&name, event, cause);
        }
        self.rehearsals(dt);
        self.settle(dt);
        self.run_errands();
        self.remarks();
        self.retire();
        self.save_what_is_due(dt);
        self.report.tick(dt, &self.services, &self.publisher);
    }

    /// A canary without endpoints is left now, not at the next tick.
    fn health_changed(&mut self) {
        for (name, _) in self.publisher.registry.settle() {
            if let Some(service) = self.services.get_mut(&name) {
                self.publisher.publish(service);
            }
        }
        for (name, event, cause) in self.each(|service, pools| service.glance(pools)) {
            self.decide(&name, event, cause);
        }
        self.run_errands();
    }

    fn resolved(&mut self, resolved: Resolved) {
        let (name, pool) = resolved.key.clone();
        if self.publisher.registry.resolved(resolved).is_none() {
            return;
        }
        let Some(service) = self.services.get_mut(&name) else { return };
        if service.live.canary.as_ref() == Some(&pool) {
            // Other endpoints are another canary: its step starts anew.
            service.observe_anew();
        }
        self.publisher.publish(service);
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have gone; what was asked for is done all the same.
        match command {
            Command::View { service, reply } => {
                let wanted = |name: &String| service.as_ref().is_none_or(|only| only == name);
                let services = self.services.iter().filter(|(name, _)| wanted(name));
                let all = services.map(|(_, service)| views::of(service, &self.publisher));
                let _ = reply.send(all.collect());
            }
            Command::Act { service, action, asker, reply } => {
                self.asked(service, action, asker, reply);
            }
            Command::History { service, reply } => self.history(service.as_deref(), reply),
            Command::Rollout { id, reply } => self.rollout(id, reply),
            Command::Reload { reply } => {
                let _ = reply.send(self.reload());
            }
        }
    }

    /// Asks every service what follows from what it sees.
    fn each(
        &mut self,
        mut ask: impl FnMut(&mut Service, &service::Pools) -> service::Follows,
    ) -> Vec<(String, crate::rollout::Event, service::Cause)> {
        let mut events = Vec::new();
        for (name, service) in &mut self.services {
            if !service.is_active() {
                continue;
            }
            if let Some(pools) = self.publisher.pools(service)
                && let Some((event, cause)) = ask(service, &pools)
            {
                events.push((name.clone(), event, cause));
            }
        }
        events
    }
}

#[cfg(test)]
mod tests;
