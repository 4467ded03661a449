//! How control comes to life: what was on disk, what the file says, and what follows from both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::command::{Handle, Refusal, Reloaded};
use super::errand::Errands;
use super::history::{self, Question};
use super::live::{Live, millis};
use super::publish::Publisher;
use super::queries::Queries;
use super::saved::{self, Found};
use super::saving::{differs, persist_in_turn};
use super::service::{Cause, Service};
use super::store::{Entry, Store, Unusable};
use super::writer::{self, Base, Job, Stored, Writer};
use super::{Control, Inbox, recording, reload, resources, views};
use crate::clock;
use crate::config::{self, Config};
use crate::measure;
use crate::rollout::Event;
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
    /// Where states are kept.
    pub store: Arc<dyn Store>,
    /// Where tables are published.
    pub cell: Cell,
    /// A port of the proxy: rehearsals go through it.
    pub listener: SocketAddr,
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
    let store = Arc::clone(&setup.store);
    let (mut control, inbox, handle, stop, work) = prepare(setup, boot_id())?;
    let Work { jobs, stored, questions } = work;
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let failed = |error| Unusable::new(format!("cannot make a thread: {error}"));
    // They end when control does, for they then get no more to do.
    let writer = Writer::new(Arc::clone(&store));
    control.threads = vec![
        thread("serin-store").spawn(move || writer.run(jobs, &stored)).map_err(failed)?,
        thread("serin-history").spawn(move || history::run(&*store, questions)).map_err(failed)?,
    ];
    Ok((control, inbox, handle, stop))
}

/// What is done on threads of their own.
pub(super) struct Work {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) stored: mpsc::Sender<Stored>,
    pub(super) questions: mpsc::Receiver<Question>,
}

pub(super) type Prepared = (Control, Inbox, Handle, oneshot::Sender<()>, Work);

/// Makes control without the threads that write and read for it.
pub(super) fn prepare(setup: Setup, boot: String) -> Result<Prepared, Unusable> {
    let Setup { config, config_path, store, cell, listener, drain, metrics, service_thread } =
        setup;
    // Whoever changes something from now on is heard.
    let others = store.watch();
    let mut services = restored(&store.load()?, &config, &*store, &boot, &service_thread)?;
    let (commands, command_inbox) = mpsc::channel(COMMANDS);
    let (resolved, resolved_inbox) = mpsc::channel(EVENTS);
    let (stored, stored_inbox) = mpsc::channel(EVENTS);
    let (stop, stop_inbox) = oneshot::channel();
    let changed = Arc::new(Notify::new());
    let (jobs, job_inbox) = writer::queue();
    let folder = config_path.as_deref().and_then(Path::parent).map(Path::to_owned);
    let (errands, news) = Errands::new(service_thread.clone(), folder.unwrap_or_default());
    let (questions, question_inbox) = history::queue();
    let (samplers, samples) = resources::Samplers::new(service_thread.clone());
    let registry = Registry::new(service_thread, Arc::clone(&changed), resolved);
    let mut publisher = Publisher::new(cell, registry);
    publisher.publish_all(&mut services);
    let mut control = Control {
        config: Arc::new(config),
        config_path,
        services,
        publisher,
        store,
        jobs,
        errands,
        listener,
        questions,
        drain,
        samplers,
        recorder: recording::Recorder::default(),
        samples_age: Duration::ZERO,
        report: views::Report::new(metrics),
        boot,
        last_tick: clock::now(),
        tokens: 0,
        waiting: Vec::new(),
        threads: Vec::new(),
    };
    control.resume();
    for (name, service) in &control.services {
        control.report.placebo(name, service.live.placebo);
    }
    let inbox = Inbox {
        commands: command_inbox,
        changed,
        resolved: resolved_inbox,
        stored: stored_inbox,
        news,
        others,
        samples,
        stop: stop_inbox,
    };
    let work = Work { jobs: job_inbox, stored, questions: question_inbox };
    Ok((control, inbox, Handle { commands, reloads: Arc::default() }, stop, work))
}

/// Which boot of the machine this is; after another one an intent may have been lost.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// The services of `config`, each as the store has it.
fn restored(
    entries: &BTreeMap<String, Entry>,
    config: &Config,
    store: &dyn Store,
    boot: &str,
    service_thread: &Runtime,
) -> Result<BTreeMap<String, Service>, Unusable> {
    let mut found = BTreeMap::new();
    for (name, entry) in entries {
        found.insert(name.clone(), saved::read(entry)?);
    }
    let lives = found.iter().filter_map(|(name, found)| Some((name.clone(), found.live.clone()?)));
    let now = millis(clock::unix());
    let lives = reload::merge_all(&lives.collect(), config, boot, now, || Salt(rand::random()))
        .map_err(|problems| Unusable::new(problems.join("\n")))?;
    let services = lives.into_iter().map(|(name, live)| {
        let file = config.services[&name].clone();
        let issuer = issuer(&file, store).map_err(Unusable::new)?;
        let was = found.get(&name).and_then(|found| found.live.as_ref());
        if let Some(words) = was.and_then(|was| reload::held_back(was, &live, &file)) {
            tracing::warn!("{words}");
        }
        let service =
            restore(Service::new(file, issuer, live, service_thread), found.remove(&name));
        Ok((name, service))
    });
    // All at once, for a map that grows one by one in their order has half its room to spare.
    services.collect()
}

/// Gives `service`, whose state is merged with the file, what else was found of it.
fn restore(mut service: Service, found: Option<Found>) -> Service {
    let Some(found) = found else {
        service.unsaved = true;
        return service;
    };
    for intent in found.orphans {
        saved::honour(&mut service.live, intent);
    }
    service.base = Base::first(found.revision);
    // A clock that was set back must not make new intents look older than the old ones.
    service.last_intent = service.last_intent.max(found.last_intent);
    service.unsaved =
        found.changed || found.live.is_none_or(|stored| differs(&service.live, &stored));
    service
}

impl Control {
    /// Comes back to the last confirmed step of every rollout, never further.
    fn resume(&mut self) {
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            self.resume_one(&name);
        }
    }

    fn resume_one(&mut self, name: &str) {
        let Some(service) = self.services.get_mut(name) else { return };
        let rebooted = service.live.boot != self.boot;
        service.live.boot.clone_from(&self.boot);
        if service.live.state().is_running() {
            let (event, words) = if rebooted {
                (Event::Rebooted, "the machine came back; the gates have to pass again")
            } else {
                (Event::Restarted, "the process came back; the step begins anew")
            };
            self.decide(name, event, Cause::own("restart", words));
        } else if rebooted && !service.live.weight.is_zero() {
            // Its way back may have been lost with the machine.
            let words = "the machine came back; a share set by hand begins at 0%";
            self.change_share(name, Weight::ZERO, "weight", &Cause::own("restart", words));
        } else if std::mem::take(&mut service.unsaved) {
            // What the disk has already is left alone: there may be thousands of services.
            persist_in_turn(&self.jobs, &mut self.tokens, service);
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
        let config = Config::reload(path).map_err(|errors| Refusal::Invalid(errors.to_string()))?;
        let mut known: BTreeMap<String, Live> =
            self.services.iter().map(|(name, s)| (name.clone(), s.live.clone())).collect();
        let (mut found, mut issuers) = (BTreeMap::new(), BTreeMap::new());
        for (name, file) in &config.services {
            if !known.contains_key(name) {
                // It may have been here before.
                let entry = self.store.get(name).map_err(|e| Refusal::Failed(e.to_string()))?;
                let was = saved::read(&entry).map_err(|e| Refusal::Conflict(e.to_string()))?;
                known.extend(was.live.clone().map(|live| (name.clone(), live)));
                found.insert(name.clone(), was);
            }
            let issuer = issuer(file, &*self.store).map_err(Refusal::Invalid)?;
            issuers.insert(name.clone(), issuer);
        }
        let now = millis(clock::unix());
        let lives = reload::merge_all(&known, &config, &self.boot, now, || Salt(rand::random()))
            .map_err(|problems| Refusal::Conflict(problems.join("\n")))?;
        // From here on nothing can fail.
        let mut notes = reload::needs_restart(&self.config, &config);
        notes.extend(config.warnings.iter().map(ToString::to_string));
        let mut shares = Vec::new();
        self.services.retain(|name, _| config.services.contains_key(name));
        self.errands.retain(|name| config.services.contains_key(name));
        for (name, mut live) in lives {
            let file = config.services[&name].clone();
            let issuer = issuers.remove(&name).flatten();
            notes.extend(known.get(&name).and_then(|was| reload::held_back(was, &live, &file)));
            match self.services.get_mut(&name) {
                Some(service) => {
                    let canary = live.canary.clone().unwrap_or_default();
                    let moved = live.targets(&canary, &file)
                        != service.live.targets(&canary, &service.config);
                    service.notices.retarget(&file.rollout.notify);
                    if file.judge.queries != service.config.judge.queries {
                        // What one query found says nothing of the one in its place.
                        service.queries = Queries::default();
                    }
                    if live.weight != service.live.weight && live.canary == service.live.canary {
                        // It is changed as by hand, once all else is in place.
                        shares.push((name.clone(), live.weight));
                        live.weight = service.live.weight;
                    }
                    service.unsaved |= differs(&live, &service.live);
                    (service.live, service.config, service.issuer) = (live, file, issuer);
                    if moved {
                        service.observe_anew();
                    }
                }
                None => {
                    let new = Service::new(file, issuer, live, &self.errands.service_thread);
                    let service = restore(new, found.get(&name).cloned());
                    self.services.insert(name, service);
                }
            }
        }
        self.config = Arc::new(config);
        self.publisher.publish_all(&mut self.services);
        found.keys().for_each(|name| self.resume_one(name));
        for (name, share) in shares {
            let cause = Cause::own("reload", format!("the file says {share}"));
            self.change_share(&name, share, "weight", &cause);
        }
        for service in self.services.values_mut().filter(|service| service.unsaved) {
            service.unsaved = false;
            persist_in_turn(&self.jobs, &mut self.tokens, service);
        }
        Ok(Reloaded { generation: self.publisher.generation, notes })
    }
}

/// Who signs the cookies of `service`.
fn issuer(service: &config::Service, store: &dyn Store) -> Result<Option<Issuer>, String> {
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
