//! `proxy.toml`: the shape on disk (`file`), then a checked value (`check`) the program runs on.
//!
//! Later code cannot meet a bad value: a name that stands in a [`Config`] exists, a plan rises, a
//! share is a share. Nothing here opens a socket or knows how a value is used.

mod address;
mod check;
mod error;
mod file;
pub mod keys;
mod release;
pub mod units;
mod url;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Objectives, Settings};
use crate::rollout::plan::Plan;
use crate::split::sticky::Source;
use crate::split::{Role, Weight};

pub use crate::rollout::plan;
pub use error::{Errors, Problem, Warning};
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

/// One port that serves clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Its address.
    pub bind: SocketAddr,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Bounds on what a client may send.
    pub limits: ListenerLimits,
    /// Bounds on how long it may take.
    pub timeouts: ListenerTimeouts,
}

/// Bounds on what a client may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_ip: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Streams of a connection of HTTP/2 that are open at the same time.
    pub h2_streams: u32,
}

/// Bounds on how long a client may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerTimeouts {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two pieces of a response's body.
    pub stream_idle: Duration,
}

/// An address range, written `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    /// The network's address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
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
        let text = std::fs::read_to_string(path).map_err(|e| Errors::unreadable(path, &e))?;
        let unicode = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment = std::env::vars_os().filter_map(unicode).collect();
        Self::parse(&text, path, &environment)
    }

    /// Parses and checks `text`. `path` names the file in messages and is what relative paths in it
    /// are relative to; `environment` is what `${NAME}` takes its value from.
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        check::config(text, path, environment)
    }
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

impl Network {
    /// Whether `ip` is in the range; an IPv4-mapped address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        fn same(a: u128, b: u128, bits: u32, prefix: u8) -> bool {
            let drop = bits.saturating_sub(u32::from(prefix));
            a.checked_shr(drop) == b.checked_shr(drop)
        }
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same(a.to_bits().into(), b.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
