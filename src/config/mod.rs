//! `proxy.toml`: the shape on disk (`file`), then a checked value (`check`) the program runs on.
//!
//! Later code cannot meet a bad value: a name that stands in a [`Config`] exists, a plan rises, a
//! share is a share. Nothing here opens a socket or knows how a value is used.

mod address;
pub mod certificate;
mod check;
mod error;
mod file;
pub mod keys;
mod listener;
mod release;
pub mod units;
mod url;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::judge::{Objectives, Settings};
use crate::rollout::plan::Plan;
use crate::split::sticky::Source;
use crate::split::{Role, Weight};

pub use crate::rollout::plan;
pub use error::{Errors, Problem, Warning};
pub use listener::{Certificate, Listener, ListenerLimits, ListenerTimeouts, Network, Protocols};
pub use release::{
    Check, Compare, Expect, Gate, Hook, Hooks, Notify, NotifyFormat, Operator, Pid, Query,
    ResourceSource, Resources, Smoke, Url,
};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The API's listener.
    pub admin: Admin,
    /// Where state is kept.
    pub state: PathBuf,
    /// How many workers; one per core where the file says 0.
    pub workers: usize,
    /// By name; at least one.
    pub listeners: BTreeMap<String, Listener>,
    /// By name; at least one.
    pub services: BTreeMap<String, Service>,
    /// What `check` has to say that is no error.
    pub warnings: Vec<Warning>,
}

/// Where the API listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Its address.
    pub bind: AdminBind,
    /// Holds the operator's token.
    pub token_file: Option<PathBuf>,
    /// Holds a token that may look but not act.
    pub read_token_file: Option<PathBuf>,
    /// A read-only listener for metrics and probes.
    pub metrics_bind: Option<SocketAddr>,
    /// Names that a `Host` header may carry, beside loopback and the bound address.
    pub hosts: Vec<String>,
}

/// An address of the API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AdminBind {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// One service: what it matches, its pools and how it is released.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name, in `[a-z0-9_-]`.
    pub name: String,
    /// Hosts it answers for; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// Path prefixes; at least one, each begins with `/`.
    pub paths: Vec<String>,
    /// Further conditions; all must hold.
    pub matches: Vec<Match>,
    /// The stable pool's name in the file.
    pub stable: String,
    /// The canary pool's name in the file.
    pub canary: Option<String>,
    /// The canary's share while no rollout runs.
    pub weight: Weight,
    /// Where keys come from, in order.
    pub sticky: Vec<Source>,
    /// The cookie that is issued, where `sticky` says so.
    pub issue: Option<Issue>,
    /// Rules for testers.
    pub force: Vec<Force>,
    /// By name; holds `stable` and `canary`.
    pub pools: BTreeMap<String, Pool>,
    /// How it is released.
    pub rollout: Rollout,
    /// Checks before any traffic, in order.
    pub gates: Vec<Gate>,
    /// How a canary is judged.
    pub judge: Judge,
}

/// A host that a service answers for, in lower case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// `*.example.com` is kept as `example.com`: any name with at least one label before it.
    Wildcard(String),
}

/// A further condition on a request.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Match {
    /// A header (name in lower case) has this value; any, where `None`.
    Header {
        /// In lower case.
        name: String,
        /// The value, compared as it stands.
        value: Option<String>,
    },
    /// The method, as it stands.
    Method(String),
}

/// The cookie that is issued to clients without a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issue {
    /// The cookie's name.
    pub cookie: String,
    /// Holds the signing key; one in the state directory where `None`.
    pub key_file: Option<PathBuf>,
    /// The cookie's life.
    pub max_age: Duration,
}

/// Sends requests that carry a secret to one side.
#[derive(Clone, Eq, PartialEq)]
pub struct Force {
    /// Where the secret stands: header, cookie or query.
    pub source: Source,
    /// The secret.
    pub value: String,
    /// The side.
    pub to: Role,
}

impl std::fmt::Debug for Force {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Force").field("source", &self.source).field("to", &self.to).finish()
    }
}

/// One pool of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Where its servers are.
    pub endpoints: Vec<Target>,
    /// How one is chosen.
    pub balance: Balance,
    /// How they are checked.
    pub health: Health,
    /// Bounds on how long they may take.
    pub timeouts: PoolTimeouts,
    /// What is read of their use of resources.
    pub resources: Option<Resources>,
}

/// `host:port` of an endpoint as the file or a deploy gives it; the host may be a name.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Balance {
    /// The less busy of two drawn at random.
    LeastRequest,
    /// One after another.
    RoundRobin,
}

/// How endpoints are checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub every: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Passes in a row that bring an endpoint up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// GET on this path answers 2xx.
    Http(String),
    /// A connection opens.
    Tcp,
    /// Nothing is asked: every endpoint counts as up.
    Off,
}

/// Bounds on how long an endpoint may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolTimeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the head of the answer.
    pub first_byte: Duration,
    /// Until the end of the answer.
    pub total: Duration,
}

/// How a service is released.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rollout {
    /// The plan of a deploy that names none.
    pub plan: Plan,
    /// Whether a user must stay on one side.
    pub stateful: bool,
    /// What is called along the way.
    pub hooks: Hooks,
    /// Who is told.
    pub notify: Vec<Notify>,
}

/// How a canary is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    /// The parameters.
    pub settings: Settings,
    /// Whether a share set by hand is judged.
    pub watch: bool,
    /// What the service promises, whatever the stable pool does.
    pub objectives: Objectives,
    /// Where ticks are recorded for a replay.
    pub record: Option<PathBuf>,
    /// Metrics of the business, asked of Prometheus.
    pub queries: Vec<Query>,
}

impl Config {
    /// Reads and checks the file at `path`, and returns all problems at once.
    pub fn load(path: &Path) -> Result<Self, Errors> {
        let (text, environment) = read(path)?;
        Self::parse(&text, path, &environment)
    }

    /// As [`Config::load`], but without a look at certificates. Those in use are watched by
    /// themselves, and one that is bad today must keep nobody from changing a share.
    pub fn reload(path: &Path) -> Result<Self, Errors> {
        let (text, environment) = read(path)?;
        check::config(&text, path, &environment, None)
    }

    /// Parses and checks `text`. `path` names the file in messages and is what relative paths in it
    /// are relative to; `environment` is what `${NAME}` takes its value from.
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        check::config(text, path, environment, Some(clock::unix()))
    }
}

fn read(path: &Path) -> Result<(String, BTreeMap<String, String>), Errors> {
    let text = std::fs::read_to_string(path).map_err(|e| Errors::unreadable(path, &e))?;
    let unicode = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Ok((text, std::env::vars_os().filter_map(unicode).collect()))
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            watch: true,
            objectives: Objectives::default(),
            record: None,
            queries: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
