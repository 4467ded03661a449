//! `[services.NAME.pools.POOL]`, and the keys of a pool that stand on the service for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::resources;
use crate::config::error::{Found, quote};
use crate::config::file::{Context, Table, Value};
use crate::config::{Balance, Health, Pool, PoolTimeouts, Probe, Target, keys};

const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(1);
const FIRST_BYTE: Duration = Duration::from_secs(15);
const TOTAL: Duration = Duration::from_secs(60);

/// The keys of a pool that may stand on the service; what is not written is `None`.
#[derive(Clone, Default)]
pub(super) struct Part {
    balance: Option<Balance>,
    probe: Option<Probe>,
    every: Option<Duration>,
    timeout: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    total: Option<Duration>,
    resources: Option<resources::Part>,
}

impl Part {
    /// Reads the keys from a service or a pool; `releases` says whether the service has a rollout.
    fn read(table: &Table<'_>, releases: bool) -> Self {
        let mut part = Self::default();
        if let Some(value) = table.get("protocol") {
            value.choice(&[("http/1.1", ())], &["h2", "auto"]);
        }
        let balances =
            [("least-request", Balance::LeastRequest), ("round-robin", Balance::RoundRobin)];
        part.balance = table.read("balance", |value| value.choice(&balances, &["ewma", "ip-hash"]));
        if let Some(health) = table.table("health", &keys::HEALTH) {
            part.probe = probe(&health, releases);
            part.every = health.read("every", |value| value.duration(false));
            part.timeout = health.read("timeout", |value| value.duration(false));
            let count = |key| {
                let count = health.read(key, |value| value.integer(1..=1_000));
                count.and_then(|count| u32::try_from(count).ok())
            };
            (part.rise, part.fall) = (count("rise"), count("fall"));
        }
        if let Some(timeouts) = table.table("timeouts", &keys::POOL_TIMEOUTS) {
            let timeout = |key| timeouts.read(key, |value| value.duration(false));
            part.connect = timeout("connect");
            part.first_byte = timeout("first_byte");
            part.total = timeout("total");
        }
        part.resources = resources::Part::read(table);
        part
    }

    /// Fills what is not written from `base`, then from the defaults.
    fn over(self, base: &Self, endpoints: Vec<Target>, context: &Context<'_>) -> Pool {
        let base = base.clone();
        let probe = self.probe.or(base.probe).unwrap_or_else(|| Probe::Http("/health".to_owned()));
        let health = Health {
            probe,
            every: self.every.or(base.every).unwrap_or(EVERY),
            timeout: self.timeout.or(base.timeout).unwrap_or(TIMEOUT),
            rise: self.rise.or(base.rise).unwrap_or(2),
            fall: self.fall.or(base.fall).unwrap_or(3),
        };
        let resources = resources::Part::over(self.resources, base.resources.as_ref());
        if let Some((resources, at)) = &resources {
            resources::warn(context, at, resources, &health);
        }
        Pool {
            endpoints,
            balance: self.balance.or(base.balance).unwrap_or(Balance::LeastRequest),
            health,
            timeouts: PoolTimeouts {
                connect: self.connect.or(base.connect).unwrap_or(CONNECT),
                first_byte: self.first_byte.or(base.first_byte).unwrap_or(FIRST_BYTE),
                total: self.total.or(base.total).unwrap_or(TOTAL),
            },
            resources: resources.map(|(resources, _)| resources),
        }
    }
}

/// What is asked; one question only.
fn probe(health: &Table<'_>, releases: bool) -> Option<Probe> {
    let given: Vec<_> = ["path", "tcp", "off"].into_iter().filter(|key| health.has(key)).collect();
    if let [first, second, ..] = given.as_slice()
        && let Some(value) = health.get(second)
    {
        return value.refuse_with(
            format!("`{first}` and `{second}` exclude each other"),
            "a pool has one kind of check",
        );
    }
    let only_true = |value: &Value<'_>, key: &str| match value.boolean()? {
        true => Some(()),
        false => value.refuse_with(
            format!("`{key}` can only be true"),
            format!("leave `{key}` out, or write path = \"/health\""),
        ),
    };
    if let Some(value) = health.get("tcp") {
        return only_true(&value, "tcp").map(|()| Probe::Tcp);
    }
    if let Some(value) = health.get("off") {
        only_true(&value, "off")?;
        let message = match releases {
            true => "health checks are off: a release begins although its canary may be dead",
            false => "health checks are off: a dead endpoint keeps getting requests",
        };
        value.context.warn(Found::at(&value.at, message).hint("`tcp = true` asks the least"));
        return Some(Probe::Off);
    }
    health.read("path", path).map(Probe::Http)
}

/// A path as it stands in a request line.
fn path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if !text.starts_with('/') {
        return value.refuse("`path` must begin with `/`");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        return value.refuse("`path` must not hold spaces, `#` or what is not ASCII");
    }
    Some(text)
}

/// One pool as the file has it.
pub(super) struct Written {
    /// Checked.
    pub(super) pool: Pool,
    /// Where its endpoints stand.
    pub(super) at: Range<usize>,
    /// Whether the file says that it has no endpoints yet.
    pub(super) waiting: bool,
}

/// The pools of `service`. What is wrong with one has been said.
pub(super) fn pools(service: &Table<'_>) -> BTreeMap<String, Written> {
    let releases = service.has("rollout");
    let base = Part::read(service, releases);
    let Some(tables) = service.named("pools", &keys::POOL) else { return BTreeMap::new() };
    if tables.is_empty() {
        let found = Found::at(&service.at, "a service needs at least one pool");
        let hint = "add [services.NAME.pools.blue] with endpoints = [\"app:3000\"]";
        service.context.refuse(found.hint(hint));
    }
    let pools = tables.into_iter().map(|(name, table)| {
        let value = table.require("endpoints", "add endpoints = [\"app:3000\"]");
        let at = value.as_ref().map_or_else(|| table.at.clone(), |value| value.at.clone());
        let list = value.as_ref().and_then(Value::list);
        let waiting = list.as_ref().is_some_and(Vec::is_empty);
        let pool = Part::read(&table, releases);
        let pool = pool.over(&base, endpoints(list.unwrap_or_default()), service.context);
        (name, Written { pool, at, waiting })
    });
    pools.collect()
}

fn endpoints(list: Vec<Value<'_>>) -> Vec<Target> {
    let mut seen = BTreeSet::new();
    let targets = list.into_iter().filter_map(|value| {
        let target = value.parsed(str::parse::<Target>)?;
        if seen.insert(target.clone()) {
            return Some(target);
        }
        value.refuse(format!("{} is listed twice in this pool", quote(&target.to_string())))
    });
    targets.collect()
}
