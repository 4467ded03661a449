//! `resources` of a pool: where its use of CPU and memory is read, and its hard limits.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::error::Found;
use crate::config::file::{Context, Table, Value};
use crate::config::units::BadText;
use crate::config::{Health, Pid, Probe, ResourceSource, Resources, Url, keys};

/// The share of a limit that is too much, unless the file names another.
const SHARE: f64 = 0.9;
/// How often the use is read.
const EVERY: Duration = Duration::from_secs(2);
/// It is not read more often than this.
const EVERY_LEAST: Duration = Duration::from_millis(100);
/// Where an endpoint's metrics are.
const METRICS: &str = "http://{endpoint}/metrics";
/// The largest number of a process that Linux gives out.
const PID_MOST: u64 = 1 << 22;

/// The keys of `resources` on a service or a pool; what is not written is `None`.
#[derive(Clone)]
pub(super) struct Part {
    at: Range<usize>,
    source: Option<ResourceSource>,
    cpu: Option<Option<f64>>,
    memory: Option<Option<f64>>,
    cpu_limit: Option<f64>,
    memory_limit: Option<u64>,
    every: Option<Duration>,
}

impl Part {
    /// Reads `resources` from a service or a pool.
    pub(super) fn read(owner: &Table<'_>) -> Option<Self> {
        let table = owner.table("resources", &keys::RESOURCES)?;
        Some(Self {
            at: table.at.clone(),
            source: source(&table),
            cpu: table.read("cpu", share),
            memory: table.read("memory", share),
            cpu_limit: table.read("cpu_limit", |value| value.number("above 0", |n| n > 0.0)),
            memory_limit: table.read("memory_limit", |value| value.size(1..=1 << 50)),
            every: table.read("every", |value| value.duration_from(EVERY_LEAST)),
        })
    }

    /// Fills what the pool does not say from the service, then from the defaults.
    pub(super) fn over(
        pool: Option<Self>,
        service: Option<&Self>,
    ) -> Option<(Resources, Range<usize>)> {
        let part = match (pool, service) {
            (None, None) => return None,
            (Some(pool), None) => pool,
            (None, Some(service)) => service.clone(),
            (Some(pool), Some(service)) => Self {
                at: pool.at,
                source: pool.source.or_else(|| service.source.clone()),
                cpu: pool.cpu.or(service.cpu),
                memory: pool.memory.or(service.memory),
                cpu_limit: pool.cpu_limit.or(service.cpu_limit),
                memory_limit: pool.memory_limit.or(service.memory_limit),
                every: pool.every.or(service.every),
            },
        };
        let resources = Resources {
            source: part.source.unwrap_or_else(|| ResourceSource::Metrics(METRICS.to_owned())),
            cpu: part.cpu.unwrap_or(Some(SHARE)),
            memory: part.memory.unwrap_or(Some(SHARE)),
            cpu_limit: part.cpu_limit,
            memory_limit: part.memory_limit,
            every: part.every.unwrap_or(EVERY),
        };
        Some((resources, part.at))
    }
}

/// Says what `resources`, written at `at`, cannot do.
pub(super) fn warn(
    context: &Context<'_>,
    at: &Range<usize>,
    resources: &Resources,
    health: &Health,
) {
    if !matches!(resources.source, ResourceSource::Metrics(_)) {
        return;
    }
    let blind = |limit: Option<f64>, known: bool| limit.is_some() && !known;
    let cpu = blind(resources.cpu, resources.cpu_limit.is_some());
    let memory = blind(resources.memory, resources.memory_limit.is_some());
    let (what, keys, add) = match (cpu, memory) {
        (true, true) => (
            "CPU and memory",
            "`cpu` and `memory` watch",
            "cpu_limit = 2 and memory_limit = \"512MiB\"",
        ),
        (true, false) => ("CPU", "`cpu` watches", "cpu_limit = 2"),
        (false, true) => ("memory", "`memory` watches", "memory_limit = \"512MiB\""),
        (false, false) => ("", "", ""),
    };
    if !what.is_empty() {
        let message =
            format!("metrics do not say how much {what} an endpoint may use: {keys} nothing");
        let hint = format!("add {add}, or read a `cgroup`, which knows its limits");
        context.warn(Found::at(at, message).hint(hint));
    }
    if health.probe == Probe::Off {
        let message =
            "metrics are read from endpoints whose health is not checked: a dead one has none";
        context.warn(Found::at(at, message).hint("turn `health` on; `tcp = true` asks the least"));
    }
}

/// A share of a limit, or nothing where the file says "off".
fn share(value: &Value<'_>) -> Option<Option<f64>> {
    if matches!(value.raw(), DeValue::String(text) if text == "off") {
        return Some(None);
    }
    value.share("above 0%", |n| n > 0.0).map(Some)
}

/// Where the use is read; one place only.
fn source(table: &Table<'_>) -> Option<ResourceSource> {
    let given: Vec<_> =
        ["metrics", "cgroup", "pid"].into_iter().filter(|key| table.has(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        return table.get(second)?.refuse_with(
            format!("`{first}` and `{second}` exclude each other"),
            "a pool's use is read in one place",
        );
    }
    let (key, value) = given.first().and_then(|key| Some((*key, table.get(key)?)))?;
    match key {
        "metrics" => value.parsed(metrics).map(ResourceSource::Metrics),
        "cgroup" => one_or_more(&value, |value| value.path()).map(ResourceSource::Cgroup),
        _ => one_or_more(&value, pid).map(ResourceSource::Pid),
    }
}

/// A URL in which `{endpoint}` stands for an endpoint's host and port.
fn metrics(text: &str) -> Result<String, BadText> {
    let example = text.replace("{endpoint}", "127.0.0.1:1");
    example.parse::<Url>()?;
    if example.contains(['{', '}']) {
        return Err(BadText::new("only {endpoint} is replaced in this URL"));
    }
    Ok(text.to_owned())
}

fn pid(value: &Value<'_>) -> Option<Pid> {
    match value.raw() {
        DeValue::Integer(_) => {
            let number = value.integer(1..=PID_MOST)?;
            u32::try_from(number).ok().map(Pid::Number)
        }
        DeValue::String(_) => value.path().map(Pid::File),
        _ => {
            value.mismatch("the number of a process, or the file that holds it", None);
            None
        }
    }
}

/// What `read` takes, alone or in a list.
fn one_or_more<T>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<T>) -> Option<Vec<T>> {
    if !matches!(value.raw(), DeValue::Array(_)) {
        return read(value).map(|one| vec![one]);
    }
    let all: Vec<_> = value.filled_list("name at least one")?.iter().map(read).collect();
    all.into_iter().collect()
}
