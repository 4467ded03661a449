//! Looks at the use of both pools of each judged service, on the service thread.
//!
//! Both are read in the same moment, so that they are compared over the same stretch of time. A
//! look that finds the queue full is lost: control hears of it as silence.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::source::{self, Found};
use super::{Looked, Reading, Sample};
use crate::clock;
use crate::config::{self, Pid, ResourceSource, Target};
use crate::upstream::Pool;

/// How long a source may take to answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// How many sources are asked at once.
const AT_ONCE: usize = 32;
/// The most sources of one pool; those beyond are not looked at.
const SOURCES_MAX: usize = 256;
/// How many samples may wait for control.
const QUEUE: usize = 1024;

/// One pool, and how it is looked at.
#[derive(Clone, Debug)]
struct Plan {
    pool: Arc<Pool>,
    rule: Option<config::Resources>,
}

impl Plan {
    /// Whether `other` would look at the same endpoints in the same way.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool) && self.rule == other.rule
    }
}

/// One service that is being looked at.
#[derive(Debug)]
struct Looking {
    stable: Plan,
    canary: Plan,
    task: AbortHandle,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The tasks that look, by service.
#[derive(Debug)]
pub(in crate::control) struct Samplers {
    service_thread: Handle,
    samples: mpsc::Sender<Sample>,
    looking: BTreeMap<String, Looking>,
    /// Readings are in seconds since then.
    origin: Instant,
}

impl Samplers {
    /// Runs on `service_thread`; the samples come out of the other end.
    pub(in crate::control) fn new(service_thread: Handle) -> (Self, mpsc::Receiver<Sample>) {
        let (samples, inbox) = mpsc::channel(QUEUE);
        let looking = BTreeMap::new();
        (Self { service_thread, samples, looking, origin: clock::now() }, inbox)
    }

    /// Looks at these pools of `service` from now on, if there is anything to look at.
    pub(in crate::control) fn look(
        &mut self,
        service: &str,
        (stable, stable_rule): (&Arc<Pool>, Option<&config::Resources>),
        (canary, canary_rule): (&Arc<Pool>, Option<&config::Resources>),
    ) {
        let every = [stable_rule, canary_rule].into_iter().flatten().map(|rule| rule.every).min();
        let Some(every) = every else { return self.stop(service) };
        let stable = Plan { pool: Arc::clone(stable), rule: stable_rule.cloned() };
        let canary = Plan { pool: Arc::clone(canary), rule: canary_rule.cloned() };
        let known = self.looking.get(service);
        if known.is_some_and(|known| known.stable.is(&stable) && known.canary.is(&canary)) {
            return;
        }
        let task = watch(
            service.to_owned(),
            [stable.clone(), canary.clone()],
            every,
            self.origin,
            self.samples.clone(),
        );
        let task = self.service_thread.spawn(task).abort_handle();
        self.looking.insert(service.to_owned(), Looking { stable, canary, task });
    }

    /// Looks no more.
    pub(in crate::control) fn stop(&mut self, service: &str) {
        self.looking.remove(service);
    }

    /// Stops for services for which `keep` is false.
    pub(in crate::control) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.looking.retain(|service, _| keep(service));
    }
}

async fn watch(
    service: String,
    [stable, canary]: [Plan; 2],
    every: Duration,
    origin: Instant,
    samples: mpsc::Sender<Sample>,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (stable, canary) = tokio::join!(look(&stable, origin), look(&canary, origin));
        let sample = Sample { service: service.clone(), stable, canary };
        if let Err(mpsc::error::TrySendError::Closed(_)) = samples.try_send(sample) {
            return;
        }
    }
}

/// Asks every source of a pool.
async fn look(plan: &Plan, origin: Instant) -> Looked {
    let mut readings = Vec::new();
    if let Some(rule) = &plan.rule {
        let sources = sources(&rule.source, &plan.pool);
        for some in sources.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for (place, (name, source)) in some.iter().cloned().enumerate() {
                asked.spawn(async move {
                    let found = tokio::time::timeout(DEADLINE, source.ask()).await;
                    let late = |_| Err(format!("does not answer within {} s", DEADLINE.as_secs()));
                    let at_s = clock::now().duration_since(origin).as_secs_f64();
                    let found = found.unwrap_or_else(late);
                    (place, Reading { source: name, at_s, found })
                });
            }
            let mut answered = asked.join_all().await;
            // Looks are compared source by source, so their order has to be the same.
            answered.sort_by_key(|(place, _)| *place);
            readings.extend(answered.into_iter().map(|(_, reading)| reading));
        }
    }
    Looked { pool: plan.pool.name.clone(), readings }
}

/// One thing to ask.
#[derive(Clone, Debug)]
enum Source {
    Metrics(String, Option<(Target, SocketAddr)>),
    Cgroup(PathBuf),
    Process(Pid),
}

impl Source {
    async fn ask(self) -> Found {
        match self {
            Self::Metrics(url, endpoint) => source::exposition(&url, endpoint, DEADLINE).await,
            Self::Cgroup(folder) => source::cgroup(folder).await,
            Self::Process(pid) => source::process(pid).await,
        }
    }
}

/// What there is to ask of `pool`, with names. An endpoint that gets no requests is not asked:
/// health and operators have spoken of it already.
fn sources(source: &ResourceSource, pool: &Pool) -> Vec<(String, Source)> {
    const ENDPOINT: &str = "{endpoint}";
    let mut sources: Vec<(String, Source)> = match source {
        ResourceSource::Metrics(url) if url.contains(ENDPOINT) => {
            let up = pool.endpoints.iter().filter(|endpoint| endpoint.is_available());
            up.map(|endpoint| {
                let (target, address) = (endpoint.target.clone(), endpoint.address);
                let url = url.replace(ENDPOINT, &target.to_string());
                let mut name = target.to_string();
                if name != address.to_string() {
                    name = format!("{name} ({address})");
                }
                (name, Source::Metrics(url, Some((target, address))))
            })
            .collect()
        }
        ResourceSource::Metrics(url) => vec![(url.clone(), Source::Metrics(url.clone(), None))],
        ResourceSource::Cgroup(folders) => folders
            .iter()
            .map(|folder| (folder.display().to_string(), Source::Cgroup(folder.clone())))
            .collect(),
        ResourceSource::Pid(pids) => pids
            .iter()
            .map(|pid| {
                let name = match pid {
                    Pid::Number(number) => format!("process {number}"),
                    Pid::File(path) => path.display().to_string(),
                };
                (name, Source::Process(pid.clone()))
            })
            .collect(),
    };
    sources.truncate(SOURCES_MAX);
    sources
}

#[cfg(test)]
#[path = "tests/sampler.rs"]
mod tests;
