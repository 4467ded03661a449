//! How control comes to life: what was on disk, what the file says, and what follows from both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::command::{Handle, Refusal, Reloaded};
use super::live::{Live, record};
use super::publish::Publisher;
use super::service::{Cause, Service};
use super::store::{Back, Intent, Store, Unusable, boot_id};
use super::{Control, Inbox, recording, reload, resources, views, writer};
use crate::clock;
use crate::config::{self, Config};
use crate::measure;
use crate::rollout::{End, Event, State};
use crate::split::issued::Issuer;
use crate::split::sticky::Source;
use crate::split::{Salt, Weight};
use crate::table::Cell;
use crate::telemetry::metrics::Metrics;
use crate::upstream::registry::Registry;

/// What control needs to begin.
#[derive(Debug)]
pub struct Setup {
    /// The checked file.
    pub config: Config,
    /// Where it was read from; none where there is no file to read again.
    pub config_path: Option<PathBuf>,
    /// The open state directory.
    pub store: Store,
    /// Where tables are published.
    pub cell: Cell,
    /// What workers measure.
    pub drain: measure::Drain,
    /// What is exposed.
    pub metrics: Metrics,
    /// Runs checks, look-ups and writes.
    pub service_thread: Runtime,
}

/// Commands that may wait; an operator is told when there are more.
const COMMANDS: usize = 64;
/// Look-ups and writes that may wait.
const EVENTS: usize = 1024;

/// Makes control, how to talk to it, and where its events come from. The first table is published
/// before this returns.
///
/// # Errors
/// When the state on disk cannot be read, or the file contradicts it.
pub fn start(setup: Setup) -> Result<(Control, Inbox, Handle, oneshot::Sender<()>), Unusable> {
    let Setup { config, config_path, store, cell, drain, metrics, service_thread } = setup;
    let boot = boot_id();
    let (mut known, mut last_intents) = (BTreeMap::new(), BTreeMap::new());
    for (name, (mut live, intents)) in store.load()? {
        for (number, intent) in intents {
            honour(&mut live, intent);
            last_intents.insert(name.clone(), number);
        }
        known.insert(name, live);
    }
    let lives = reload::merge_all(&known, &config, &boot, || Salt(rand::random()))
        .map_err(|problems| Unusable::new(problems.join("\n")))?;
    let mut services = BTreeMap::new();
    for (name, live) in lives {
        let file = config.services[&name].clone();
        let issuer = issuer(&file, &store).map_err(Unusable::new)?;
        let mut service = Service::new(file, issuer, live);
        // A clock that was set back must not make new intents look older than the old ones.
        let last = last_intents.get(&name).copied().unwrap_or_default();
        service.last_intent = service.last_intent.max(last);
        services.insert(name, service);
    }

    let (commands, command_inbox) = mpsc::channel(COMMANDS);
    let (resolved, resolved_inbox) = mpsc::channel(EVENTS);
    let (stored, stored_inbox) = mpsc::channel(EVENTS);
    let (stop, stop_inbox) = oneshot::channel();
    let changed = Arc::new(Notify::new());
    let (jobs, job_inbox) = writer::queue();
    let writer_store = store.clone();
    // It ends when control does, for it then gets no more jobs.
    std::thread::Builder::new()
        .name("serin-store".into())
        .spawn(move || writer::run(&writer_store, job_inbox, &stored))
        .map_err(|error| Unusable::new(format!("cannot make a thread: {error}")))?;
    let (samplers, samples) = resources::Samplers::new(service_thread.clone());
    let registry = Registry::new(service_thread, Arc::clone(&changed), resolved);
    let mut control = Control {
        config: Arc::new(config),
        config_path,
        services,
        publisher: Publisher::new(cell, registry),
        store,
        jobs,
        drain,
        samplers,
        recorder: recording::Recorder::default(),
        samples_age: Duration::ZERO,
        report: views::Report::new(metrics),
        boot,
        last_tick: clock::now(),
        tokens: 0,
    };
    control.publisher.publish_all(&mut control.services);
    control.resume();
    for (name, service) in &control.services {
        control.report.placebo(name, service.live.placebo);
    }
    let inbox = Inbox {
        commands: command_inbox,
        changed,
        resolved: resolved_inbox,
        stored: stored_inbox,
        samples,
        stop: stop_inbox,
    };
    Ok((control, inbox, Handle { commands }, stop))
}

impl Control {
    /// Comes back to the last confirmed step of every rollout, never further.
    fn resume(&mut self) {
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            let Some(service) = self.services.get_mut(&name) else { continue };
            let rebooted = service.live.boot != self.boot;
            service.live.boot.clone_from(&self.boot);
            if service.live.state().is_running() {
                let (event, words) = if rebooted {
                    (Event::Rebooted, "the machine came back; the gates have to pass again")
                } else {
                    (Event::Restarted, "the process came back; the step begins anew")
                };
                self.decide(&name, event, Cause::own("restart", words));
                continue;
            }
            service.token = super::decide::persist(&self.jobs, &mut self.tokens, service);
            if rebooted && !service.live.weight.is_zero() {
                // Its way back may have been lost with the machine.
                let words = "the machine came back; a share set by hand begins at 0%";
                self.change_share(&name, Weight::ZERO, "weight", &Cause::own("restart", words));
            }
        }
    }

    /// Reads the file again, and applies it whole or not at all.
    pub(super) fn reload(&mut self) -> Result<Reloaded, Refusal> {
        let Some(path) = self.config_path.clone() else {
            return Err(Refusal::Conflict(
                "this serin runs on built-in defaults: there is no file to read".into(),
            ));
        };
        let reloaded = self.reload_from(&path);
        match &reloaded {
            Ok(done) => {
                tracing::info!(generation = done.generation, notes = ?done.notes, "reloaded")
            }
            Err(refusal) => tracing::error!(%refusal, "not reloaded; nothing was changed"),
        }
        reloaded
    }

    fn reload_from(&mut self, path: &Path) -> Result<Reloaded, Refusal> {
        let config = Config::load(path).map_err(|errors| Refusal::Invalid(errors.to_string()))?;
        let known: BTreeMap<String, Live> =
            self.services.iter().map(|(name, s)| (name.clone(), s.live.clone())).collect();
        let lives = reload::merge_all(&known, &config, &self.boot, || Salt(rand::random()))
            .map_err(|problems| Refusal::Conflict(problems.join("\n")))?;
        let mut issuers = BTreeMap::new();
        for (name, file) in &config.services {
            issuers.insert(name.clone(), issuer(file, &self.store).map_err(Refusal::Invalid)?);
        }
        // From here on nothing can fail.
        let mut notes = reload::needs_restart(&self.config, &config);
        notes.extend(config.warnings.iter().map(ToString::to_string));
        self.services.retain(|name, _| config.services.contains_key(name));
        for (name, live) in lives {
            let file = config.services[&name].clone();
            let issuer = issuers.remove(&name).flatten();
            match self.services.get_mut(&name) {
                Some(service) => {
                    let canary = live.canary.clone().unwrap_or_default();
                    let moved = live.targets(&canary, &file)
                        != service.live.targets(&canary, &service.config);
                    (service.live, service.config, service.issuer) = (live, file, issuer);
                    if moved {
                        service.observe_anew();
                    }
                }
                None => {
                    self.services.insert(name, Service::new(file, issuer, live));
                }
            }
        }
        self.config = Arc::new(config);
        self.publisher.publish_all(&mut self.services);
        for service in self.services.values_mut() {
            service.token = super::decide::persist(&self.jobs, &mut self.tokens, service);
        }
        Ok(Reloaded { generation: self.publisher.generation, notes })
    }
}

/// Completes a way back that was decided before the process ended.
fn honour(live: &mut Live, intent: Intent) {
    let Intent { back, decision } = intent;
    match back {
        Back::Share => {
            live.weight = live.weight.min(decision.weight);
            live.watch = None;
            record(&mut live.by_hand, decision);
        }
        Back::Rollout { id, started_ms, end, rejected } => {
            let Some(known) = &mut live.rollout else { return };
            let undone = end == End::Undone && known.state == State::Ended(End::Promoted);
            let is_it = known.id == id && known.started_ms == started_ms;
            if !is_it || !(undone || known.state.is_running()) {
                return;
            }
            known.state = State::Ended(end);
            known.ended_ms = Some(decision.at_ms);
            record(&mut known.decisions, decision);
            live.weight = Weight::ZERO;
            if undone {
                live.swap();
                live.previous = None;
                live.retire_at_ms = None;
            }
            if rejected {
                live.reject(&id);
            }
        }
    }
}

/// Who signs the cookies of `service`.
fn issuer(service: &config::Service, store: &Store) -> Result<Option<Issuer>, String> {
    let Some(issue) = &service.issue else { return Ok(None) };
    if !service.sticky.contains(&Source::Issue) {
        return Ok(None);
    }
    let key = match &issue.key_file {
        Some(path) => std::fs::read(path).map_err(|error| {
            format!("services.{}.issue.key_file: {}: {error}", service.name, path.display())
        })?,
        None => store.cookie_key().map_err(|e| format!("cookie key: {e}"))?,
    };
    if key.len() < 16 {
        return Err(format!(
            "services.{}.issue: the key must have at least 16 bytes",
            service.name
        ));
    }
    Ok(Some(Issuer::new(issue.cookie.clone(), &key, issue.max_age)))
}
