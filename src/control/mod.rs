//! The way of a decision, on one screen.
//!
//! One task on one thread. Whatever happens (a tick, a command, a health check, a look-up, a write
//! that is done) becomes an event, [`crate::rollout::next`] says what follows, and the effects are
//! carried out in its order: back at once, forward only after it is on disk.

mod act;
mod command;
mod decide;
mod gates;
mod judging;
mod live;
mod notify;
mod placebo;
mod publish;
mod recording;
mod reload;
mod resources;
mod service;
mod settle;
mod start;
mod stats;
mod store;
mod view;
mod views;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock;
use crate::config::Config;
use crate::measure;
use crate::upstream::registry::Resolved;
use command::{Command, no_such_service};
use publish::{Owner, Publisher};
use service::Service;
use store::Store;
use writer::{Job, Stored};

pub use command::{Action, Asker, Deploy, DeployStep, Handle, Refusal, Reloaded};
pub use live::Decision;
pub use start::{Setup, start};
pub use store::{Store as StateStore, Unusable};
pub use view::{
    EndpointView, LatencyView, PlaceboView, PoolView, RolloutView, ServiceView, ShareView,
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
    store: Store,
    jobs: mpsc::Sender<Job>,
    drain: measure::Drain,
    samplers: resources::Samplers,
    recorder: recording::Recorder,
    /// Since what was sampled of paths was halved.
    samples_age: Duration,
    report: views::Report,
    boot: String,
    last_tick: Instant,
    tokens: u64,
}

/// Where events come from.
pub struct Inbox {
    commands: mpsc::Receiver<Command>,
    /// The health of some endpoint changed.
    changed: Arc<Notify>,
    resolved: mpsc::Receiver<Resolved>,
    stored: mpsc::Receiver<Stored>,
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
                () = inbox.changed.notified() => self.health_changed(),
                Some(command) = inbox.commands.recv() => self.command(command),
                Some(resolved) = inbox.resolved.recv() => self.resolved(resolved),
                Some(sample) = inbox.samples.recv() => self.sampled(&sample),
            }
        }
        self.settle(Duration::ZERO);
        self.save_all(&mut inbox.stored).await;
        self.recorder.finish().await;
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
        let (services, owners) = (&mut self.services, &self.publisher.owners);
        let report = &mut self.report;
        self.drain.drain(|slot, delta| {
            let Some(Owner { service, pool, half }) = owners.get(slot.index()) else { return };
            if let Some(known) = services.get_mut(service) {
                report.measured(known, pool, &delta);
                known.measured(pool, *half, &delta);
            }
        });
        for (name, event, cause) in self.each(|service, pools| service.tick(dt, pools)) {
            self.decide(&name, event, cause);
        }
        self.settle(dt);
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
                let done = match self.services.contains_key(&service) {
                    true => self.act(&service, action, asker),
                    false => Err(no_such_service(&service)),
                };
                let _ = reply.send(
                    done.map(|()| Box::new(views::of(&self.services[&service], &self.publisher))),
                );
            }
            Command::History { service, reply } => {
                let _ = reply.send(self.history(service.as_deref()));
            }
            Command::Reload { reply } => {
                let _ = reply.send(self.reload());
            }
        }
    }

    /// The rollouts of `only`, or of every service.
    fn history(&self, only: Option<&str>) -> Result<command::History, Refusal> {
        if let Some(name) = only.filter(|name| !self.services.contains_key(*name)) {
            return Err(no_such_service(name));
        }
        let wanted = |name: &str| only.is_none_or(|only| only == name);
        let services = self.services.iter().filter(|(name, _)| wanted(name));
        let rollouts = services.flat_map(|(name, service)| {
            let live = &service.live;
            let all = live.history.iter().chain(&live.rollout);
            all.map(move |rollout| (name.clone(), RolloutView::of(rollout)))
        });
        Ok(rollouts.collect())
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
