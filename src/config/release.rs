//! What stands around a release: gates before it, hooks along it, notices about it, and what is
//! watched beside requests.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::split::Role;

/// An address of something that serin asks on its own account. `Debug` hides its path, which is
/// the secret of many webhooks; `Display` writes it whole.
#[derive(Clone, Eq, PartialEq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
}

/// A check that a release has to pass before any traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Its name, unique in its service.
    pub name: String,
    /// What is asked.
    pub check: Check,
    /// The sides it is asked of; at least one.
    pub against: Vec<Role>,
    /// How long all of it may take.
    pub deadline: Duration,
}

/// What a gate asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// A request to every endpoint of the pool, and what its answer must look like.
    Request(Box<Smoke>),
    /// A program, without a shell; it passes with exit status 0. One with a `/` in its name is
    /// relative to the file's folder, as it stands here.
    Command(Vec<String>),
    /// A POST to somebody who decides: 2xx passes, 202 waits, anything else fails.
    Webhook(Url),
    /// A query to Prometheus that must hold.
    Query(Box<Query>),
}

/// A request and what its answer must look like. `Debug` hides the values of its headers.
#[derive(Clone, PartialEq)]
pub struct Smoke {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields to send.
    pub headers: Vec<(String, String)>,
    /// The body to send.
    pub body: String,
    /// What the answer must look like.
    pub expect: Expect,
}

/// What an answer must look like; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// This status; 2xx where `None`.
    pub status: Option<u16>,
    /// The body holds this text.
    pub contains: Option<String>,
    /// The body is JSON, and what is at this pointer (RFC 6901) equals this value; it only has to be there where there is no value.
    pub json: Option<(String, Option<serde_json::Value>)>,
    /// This header is there (name in lower case) and holds this text, if any is given.
    pub header: Option<(String, Option<String>)>,
    /// The answer is whole within this time.
    pub within: Option<Duration>,
}

/// A query to Prometheus and the bound its value must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Its name, for messages.
    pub name: String,
    /// The server, such as `http://prometheus:9090`; `/api/v1/query` is added to its path.
    pub url: Url,
    /// PromQL. `{service}`, `{pool}`, `{version}` and `{role}` are replaced.
    pub query: String,
    /// What must hold.
    pub compare: Compare,
    /// How often it is asked while a release runs.
    pub every: Duration,
}

/// A bound, such as `< 0.01` or `<= 1.2 * stable`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compare {
    /// How the canary's value relates to the bound.
    pub operator: Operator,
    /// The bound, or what stable's value is multiplied by.
    pub number: f64,
    /// Whether the bound is `number` times what the same query gives for the stable pool.
    pub times_stable: bool,
}

/// A relation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Something of the operator's own that is called at a point of a release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hook {
    /// A program and its arguments, without a shell; found as a gate's is.
    Command(Vec<String>),
    /// A POST; 2xx passes, 202 waits, anything else fails.
    Webhook(Url),
}

/// The points of a release at which something of the operator's own is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hooks {
    /// Before everything else: starts the new version.
    pub deploy: Option<Hook>,
    /// After the gates, before the first request.
    pub before_traffic: Option<Hook>,
    /// When a step has passed, before the next one.
    pub each_step: Option<Hook>,
    /// Before the canary gets all requests.
    pub before_promote: Option<Hook>,
    /// When the release has ended, whatever way.
    pub after: Option<Hook>,
    /// When the previous pool is no longer kept.
    pub retire: Option<Hook>,
    /// After a rollback, once the canary's requests have ended.
    pub rolled_back: Option<Hook>,
    /// How long one call may take, waiting included.
    pub deadline: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            deploy: None,
            before_traffic: None,
            each_step: None,
            before_promote: None,
            after: None,
            retire: None,
            rolled_back: None,
            deadline: Duration::from_secs(5 * 60),
        }
    }
}

/// Somebody who is told. `Debug` hides the key.
#[derive(Clone, Eq, PartialEq)]
pub struct Notify {
    /// Where.
    pub webhook: Url,
    /// In what shape.
    pub format: NotifyFormat,
    /// PagerDuty's key of the integration.
    pub routing_key: Option<String>,
}

/// The shape of a notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotifyFormat {
    /// serin's own event.
    Json,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow webhook of Microsoft Teams: an Adaptive Card.
    Teams,
    /// Alertmanager's API v2; the webhook is the server, such as `http://alertmanager:9093`.
    Alertmanager,
    /// PagerDuty's Events API v2.
    PagerDuty,
}

/// Where a pool's use of resources is read, and its hard limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Where it is read.
    pub source: ResourceSource,
    /// CPU above this share of its limit, three times running, is a rollback.
    pub cpu: Option<f64>,
    /// Memory above this share of its limit, three times running, is a rollback.
    pub memory: Option<f64>,
    /// How many cores an endpoint may use, where the source does not say.
    pub cpu_limit: Option<f64>,
    /// How many bytes an endpoint may use, where the source does not say.
    pub memory_limit: Option<u64>,
    /// How often it is read.
    pub every: Duration,
}

/// Where a pool's use of resources is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResourceSource {
    /// `process_*` of each endpoint's own exposition; `{endpoint}` is replaced by host:port.
    Metrics(String),
    /// Folders of cgroup v2, together.
    Cgroup(Vec<PathBuf>),
    /// Processes, by number or by a file that holds it, together.
    Pid(Vec<Pid>),
}

/// A process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pid {
    /// By number.
    Number(u32),
    /// By the file that holds its number.
    File(PathBuf),
}

impl fmt::Debug for Smoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Smoke")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("expect", &self.expect)
            .finish()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("webhook", &self.webhook)
            .field("format", &self.format)
            .finish()
    }
}
