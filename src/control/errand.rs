//! What takes time and must not hold up a decision: gates and hooks run on the service thread and
//! send back what they found. Control only ever asks, and hears.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::gates::query::ask;
use super::gates::sample::Finding;
use super::gates::{self, Asked, Failed, GateReport};
use super::rehearsal::Probed;
use crate::clock;
use crate::config::{Gate, Hook, Hooks, Query};
use crate::split::Role;

/// How many reports of one release are kept.
pub(super) const REPORTS_MAX: usize = 64;
/// How long a query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(10);
/// How many answers may wait for control.
const NEWS: usize = 256;

/// Something to be asked of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Errand {
    /// The gates, in their order.
    Gates,
    /// The hook of this phase.
    Hook(Phase),
    /// The way back is tried.
    Rehearsal,
    /// The judge's query of this number.
    Query(usize),
}

/// A point of a release at which something of the operator's own is called.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Deploy,
    BeforeTraffic,
    EachStep,
    BeforePromote,
    After,
    Retire,
    RolledBack,
}

impl Phase {
    /// Its key in the file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::BeforeTraffic => "before_traffic",
            Self::EachStep => "each_step",
            Self::BeforePromote => "before_promote",
            Self::After => "after",
            Self::Retire => "retire",
            Self::RolledBack => "rolled_back",
        }
    }

    /// What is called in this phase, if anything.
    pub(super) const fn hook(self, hooks: &Hooks) -> Option<&Hook> {
        match self {
            Self::Deploy => hooks.deploy.as_ref(),
            Self::BeforeTraffic => hooks.before_traffic.as_ref(),
            Self::EachStep => hooks.each_step.as_ref(),
            Self::BeforePromote => hooks.before_promote.as_ref(),
            Self::After => hooks.after.as_ref(),
            Self::Retire => hooks.retire.as_ref(),
            Self::RolledBack => hooks.rolled_back.as_ref(),
        }
    }
}

/// What became of an errand.
#[derive(Debug)]
pub(super) struct News {
    pub(super) service: String,
    pub(super) number: u64,
    pub(super) what: What,
}

/// What was found.
#[derive(Debug)]
pub(super) enum What {
    /// One gate's result; others follow.
    Report(GateReport),
    /// All gates passed, or one did not.
    Gates(bool),
    /// A hook passed or failed.
    Hook { phase: Phase, result: Result<String, Failed>, took: Duration },
    /// What a query of this number found.
    Query(usize, Finding),
    /// The probes of a rehearsal are done.
    Rehearsed(Result<Probed, String>),
}

/// The errands under way: of each kind at most one a service.
#[derive(Debug)]
pub(super) struct Errands {
    pub(super) service_thread: Handle,
    news: mpsc::Sender<News>,
    /// Programs are started in the folder of the file.
    pub(super) folder: PathBuf,
    running: HashMap<(String, Lane), AbortHandle>,
    last: u64,
}

impl Errands {
    pub(super) fn new(service_thread: Handle, folder: PathBuf) -> (Self, mpsc::Receiver<News>) {
        let (news, inbox) = mpsc::channel(NEWS);
        (Self { service_thread, news, folder, running: HashMap::new(), last: 0 }, inbox)
    }

    /// A number that no errand had.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Asks the gates of a service, and returns the errand's number.
    pub(super) fn gates(&mut self, service: &str, gates: Vec<Gate>, asked: Asked) -> u64 {
        let number = self.number();
        let (news, name) = (self.news.clone(), service.to_owned());
        self.start(service, number, Lane::Awaited, async move {
            // Each gate is asked of both sides at most.
            let (reports, mut report) = mpsc::channel(2 * gates.len().max(1));
            let asking = async move {
                let all = gates::run(&gates, &asked, |report| {
                    let _ = reports.try_send(report);
                });
                all.await.iter().all(|report| report.passed)
            };
            let telling = async {
                while let Some(found) = report.recv().await {
                    let what = What::Report(found);
                    let _ = news.send(News { service: name.clone(), number, what }).await;
                }
            };
            let (passed, ()) = tokio::join!(asking, telling);
            What::Gates(passed)
        });
        number
    }

    /// Calls a hook, and returns the errand's number.
    pub(super) fn hook(&mut self, service: &str, call: HookCall, lane: Lane) -> u64 {
        let number = self.number();
        self.start(service, number, lane, async move {
            let HookCall { phase, hook, asked, event, deadline } = call;
            let began = clock::now();
            let result = gates::hook(&hook, phase.name(), &asked, event, deadline).await;
            What::Hook { phase, result, took: clock::now() - began }
        });
        number
    }

    /// Asks the judge's query number `index`, and returns the errand's number.
    pub(super) fn query(&mut self, service: &str, index: usize, query: Query, asked: Asked) -> u64 {
        let number = self.number();
        self.start(service, number, Lane::Query(index), async move {
            let limit = query.every.min(QUERY_LIMIT);
            What::Query(index, ask(&query, &asked, Role::Canary, limit).await)
        });
        number
    }

    /// Runs the probes of a rehearsal. A release may or may not wait for them.
    pub(super) fn rehearse(
        &mut self,
        service: &str,
        number: u64,
        probes: impl Future<Output = Result<Probed, String>> + Send + 'static,
    ) {
        self.start(service, number, Lane::Rehearsal, async { What::Rehearsed(probes.await) });
    }

    /// Tells control what is known without asking anybody.
    pub(super) fn tell(&mut self, service: &str, number: u64, what: What) {
        let (news, service) = (self.news.clone(), service.to_owned());
        self.service_thread.spawn(async move {
            let _ = news.send(News { service, number, what }).await;
        });
    }

    /// Ends the errand that a release of `service` waits for: programs that run are killed.
    pub(super) fn cancel(&mut self, service: &str) {
        if let Some(errand) = self.running.remove(&(service.to_owned(), Lane::Awaited)) {
            errand.abort();
        }
    }

    /// Ends what is asked for services that are gone, and forgets what has ended. A hook that is
    /// called after a release is let finish.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.running.retain(|(service, lane), errand| {
            let keeps = keep(service);
            if !keeps && *lane != Lane::Call {
                errand.abort();
            }
            keeps && !errand.is_finished()
        });
    }

    /// Runs `errand`, which ends what `lane` was busy with, and tells control what it found.
    fn start(
        &mut self,
        service: &str,
        number: u64,
        lane: Lane,
        errand: impl Future<Output = What> + Send + 'static,
    ) {
        let (news, name) = (self.news.clone(), service.to_owned());
        let telling = async move {
            let what = errand.await;
            let _ = news.send(News { service: name, number, what }).await;
        };
        let handle = self.service_thread.spawn(telling).abort_handle();
        if let Some(before) = self.running.insert((service.to_owned(), lane), handle) {
            before.abort();
        }
    }
}

/// What an errand is for; of each there is at most one a service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Lane {
    /// A release waits for it.
    Awaited,
    /// A call after a release.
    Call,
    /// A rehearsal.
    Rehearsal,
    /// The judge's query of this number.
    Query(usize),
}

/// Everything that the call of a hook needs.
#[derive(Debug)]
pub(super) struct HookCall {
    pub(super) phase: Phase,
    pub(super) hook: Hook,
    pub(super) asked: Asked,
    pub(super) event: serde_json::Value,
    pub(super) deadline: Duration,
}
