//! What is asked before a release gets traffic, and along its way: gates and hooks.
//!
//! Nothing here decides about a release: it asks, and says what came, in words that are kept as
//! evidence. Every question has a deadline, every text a bound. It runs on the service thread; a
//! question that nobody waits for any more is dropped, and with it whatever it started.

#![cfg_attr(not(test), expect(dead_code, reason = "wired next"))]

mod command;
mod expect;
mod output;
pub(super) mod query;
mod request;
pub(super) mod sample;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock;
use crate::config::{Check, Gate, Hook, Target};
use crate::rollout::plan::Strategy;
use crate::split::Role;
use output::OUTPUT_BYTES_MAX;
use text::{Names, WORDS_BYTES_MAX, as_it_is, bounded_end};

pub(super) use text::{bounded, excerpt};

/// The shape of what a gate's webhook is asked.
const GATE_SCHEMA: &str = "serin.gate/1";
/// The shape of what a hook's webhook is told.
const HOOK_SCHEMA: &str = "serin.hook/1";

/// What is asked about: a release of a service, and the two sides as they are now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) service: String,
    /// The release's id.
    pub(super) release: String,
    pub(super) strategy: Strategy,
    pub(super) stable: Side,
    /// The side that is being released, and the one that hooks are about. When the previous pool is
    /// retired after a promotion, that is this one.
    pub(super) canary: Side,
    /// The folder of the configuration file, where programs run.
    pub(super) folder: PathBuf,
}

/// A pool with its part in a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) pool: String,
    /// The version that it runs; empty where nobody said.
    pub(super) version: String,
    /// Where it can be asked; what an operator took out is not among them.
    pub(super) endpoints: Vec<(Target, SocketAddr)>,
}

/// What a gate said of one side; kept as evidence.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct GateReport {
    /// The gate.
    pub(super) name: String,
    /// The side that was asked.
    pub(super) against: Role,
    /// Whether it passed.
    pub(super) passed: bool,
    /// What came, 2 KiB at most.
    pub(super) words: String,
    /// How long it took, in milliseconds.
    pub(super) took_ms: u64,
    /// The end of what a program wrote, 16 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
}

/// A yes.
#[derive(Clone, Debug, PartialEq)]
struct Passed {
    words: String,
    output: Option<String>,
}

/// A no, or no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failed {
    /// Why, 2 KiB at most.
    pub(super) words: String,
    /// The end of what a program wrote, 16 KiB at most.
    pub(super) output: Option<String>,
}

impl Failed {
    const fn new(words: String) -> Self {
        Self { words, output: None }
    }
}

/// Asks `gates` in their order, each of its sides in their order, and tells `progress` of every
/// answer as it comes. The first failure ends it.
pub(super) async fn run(
    gates: &[Gate],
    asked: &Asked,
    mut progress: impl FnMut(GateReport) + Send,
) -> Vec<GateReport> {
    let mut reports = Vec::new();
    for gate in gates {
        let until = clock::now() + gate.deadline;
        for role in &gate.against {
            let began = clock::now();
            let outcome = check(gate, asked, *role, until).await;
            let took = clock::now().duration_since(began);
            let report = GateReport::of(gate, *role, outcome, took);
            let passed = report.passed;
            progress(report.clone());
            reports.push(report);
            if !passed {
                return reports;
            }
        }
    }
    reports
}

/// Calls `hook` at the point `phase` of a release and returns what it said. `event` is what happened
/// there, for a webhook to read.
///
/// # Errors
/// When it says no, or nothing within `deadline`.
pub(super) async fn hook(
    hook: &Hook,
    phase: &str,
    asked: &Asked,
    event: Value,
    deadline: Duration,
) -> Result<String, Failed> {
    let until = clock::now() + deadline;
    let outcome = match hook {
        Hook::Command(arguments) => {
            let phase = ("SERIN_PHASE", phase.to_owned());
            asked.run(arguments, Role::Canary, phase, until).await
        }
        Hook::Webhook(url) => {
            let mut question = asked.question(HOOK_SCHEMA, Role::Canary);
            question["phase"] = phase.into();
            question["event"] = event;
            webhook::ask(url, question, until).await
        }
    };
    match outcome {
        Ok(passed) => Ok(bounded(&passed.words, WORDS_BYTES_MAX)),
        Err(failed) => Err(Failed {
            words: bounded(&failed.words, WORDS_BYTES_MAX),
            output: failed.output.map(|output| bounded_end(&output, OUTPUT_BYTES_MAX)),
        }),
    }
}

async fn check(gate: &Gate, asked: &Asked, role: Role, until: Instant) -> Result<Passed, Failed> {
    match &gate.check {
        Check::Request(smoke) => request::check(smoke, asked, role, until).await,
        Check::Command(arguments) => {
            let name = ("SERIN_GATE", gate.name.clone());
            asked.run(arguments, role, name, until).await
        }
        Check::Webhook(url) => {
            let mut question = asked.question(GATE_SCHEMA, role);
            question["gate"] = gate.name.clone().into();
            webhook::ask(url, question, until).await
        }
        Check::Query(query) => query::check(query, asked, role, until).await,
    }
}

impl GateReport {
    fn of(gate: &Gate, role: Role, outcome: Result<Passed, Failed>, took: Duration) -> Self {
        let passed = outcome.is_ok();
        let (words, output) = match outcome {
            Ok(Passed { words, output }) | Err(Failed { words, output }) => (words, output),
        };
        Self {
            name: gate.name.clone(),
            against: role,
            passed,
            words: bounded(&words, WORDS_BYTES_MAX),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            output: output.map(|output| bounded_end(&output, OUTPUT_BYTES_MAX)),
        }
    }
}

impl Asked {
    const fn side(&self, role: Role) -> &Side {
        match role {
            Role::Stable => &self.stable,
            Role::Canary => &self.canary,
        }
    }

    /// What placeholders stand for on a side, where no single endpoint is asked.
    fn names(&self, role: Role) -> Names<'_> {
        let side = self.side(role);
        Names {
            service: &self.service,
            pool: &side.pool,
            version: &side.version,
            role: role.name(),
            endpoint: "",
        }
    }

    /// Runs a program about a side. `own` is what only it is told.
    async fn run(
        &self,
        arguments: &[String],
        role: Role,
        own: (&'static str, String),
        until: Instant,
    ) -> Result<Passed, Failed> {
        let side = self.side(role);
        let endpoints = side.endpoints.iter().map(|(target, _)| target.to_string());
        let endpoints = endpoints.collect::<Vec<_>>().join(" ");
        let names = Names { endpoint: &endpoints, ..self.names(role) };
        let arguments: Vec<_> = arguments.iter().map(|text| names.fill(text, as_it_is)).collect();
        let environment = [
            ("SERIN_SERVICE", self.service.clone()),
            ("SERIN_RELEASE", self.release.clone()),
            ("SERIN_POOL", side.pool.clone()),
            ("SERIN_VERSION", side.version.clone()),
            ("SERIN_ROLE", role.name().to_owned()),
            ("SERIN_ENDPOINTS", endpoints.clone()),
            own,
        ];
        command::run(&arguments, &environment, &self.folder, until).await
    }

    /// What a webhook is asked about a side. `id` is the same however often it is asked.
    fn question(&self, schema: &str, role: Role) -> Value {
        let side = self.side(role);
        let endpoints: Vec<_> = side.endpoints.iter().map(|(target, _)| target).collect();
        json!({
            "schema": schema,
            "id": format!("{:032x}", rand::random::<u128>()),
            "service": self.service,
            "release": {
                "id": self.release,
                "version": self.canary.version,
                "pool": self.canary.pool,
                "strategy": self.strategy,
            },
            "against": role,
            "pool": side.pool,
            "version": side.version,
            "endpoints": endpoints,
        })
    }
}
