//! `[listeners.NAME]`: one port that serves clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::admin::{ADDRESS_HINT, Ports, address};
use super::tls;
use crate::config::error::Found;
use crate::config::file::{Table, Value};
use crate::config::{Listener, ListenerLimits, ListenerTimeouts, Network, Protocols, keys};

/// All listeners; there must be one.
pub(super) fn listeners(root: &Table<'_>, ports: &mut Ports) -> Option<BTreeMap<String, Listener>> {
    let tables = root.named("listeners", &keys::LISTENER)?;
    if tables.is_empty() {
        let found = Found::at(&root.at, "no listener: nothing would be served");
        root.context.refuse(found.hint("add [listeners.web] with bind = \"0.0.0.0:8080\""));
        return None;
    }
    let mut all = BTreeMap::new();
    for (name, table) in tables {
        let bind = bind(&table, ports, &name);
        let protocols = table.read("protocols", protocols).unwrap_or_default();
        let tls = table.read("tls", tls::certificates).unwrap_or_default();
        let trusted_proxies = table.read("trusted_proxies", networks).unwrap_or_default();
        let via = table.read("via", Value::boolean).unwrap_or(true);
        let (limits, timeouts) = (limits(&table), timeouts(&table));
        if let Some(bind) = bind {
            let listener =
                Listener { bind, protocols, tls, trusted_proxies, via, limits, timeouts };
            all.insert(name, listener);
        }
    }
    Some(all)
}

fn bind(table: &Table<'_>, ports: &mut Ports, name: &str) -> Option<SocketAddr> {
    let value = table.require("bind", "add bind = \"0.0.0.0:8080\"")?;
    let text = value.text_or(ADDRESS_HINT)?;
    if text.starts_with("fd:") {
        return value.not_yet("fd:");
    }
    let address = value.parsed(address)?;
    ports.take(table, &value.at, address, format!("[listeners.{name}]"));
    Some(address)
}

const HTTP1: Protocols = Protocols { http1: true, h2: false };
const H2: Protocols = Protocols { http1: false, h2: true };

fn protocols(value: &Value<'_>) -> Option<Protocols> {
    let list = value.filled_list("leave it out to speak both")?;
    let mut all = Protocols { http1: false, h2: false };
    for value in list {
        let Some(one) = value.choice(&[("http/1.1", HTTP1), ("h2", H2)], &[]) else { continue };
        if (one.http1 && all.http1) || (one.h2 && all.h2) {
            value.refuse::<()>("a protocol is listed twice");
        }
        all = Protocols { http1: all.http1 || one.http1, h2: all.h2 || one.h2 };
    }
    Some(all)
}

impl Default for Protocols {
    fn default() -> Self {
        Self { http1: true, h2: true }
    }
}

fn networks(value: &Value<'_>) -> Option<Vec<Network>> {
    let list = value.list()?;
    let networks = list.iter().filter_map(|value| {
        let network = value.parsed(str::parse::<Network>)?;
        if network.prefix == 0 {
            let found = Found::at(&value.at, "everybody may claim any client address");
            value.context.warn(found.hint("name only the networks of your own proxies"));
        }
        Some(network)
    });
    Some(networks.collect())
}

fn limits(listener: &Table<'_>) -> ListenerLimits {
    let default = ListenerLimits::default();
    let Some(table) = listener.table("limits", &keys::LISTENER_LIMITS) else { return default };
    let count = |key, range| table.read(key, |value| value.integer(range)).and_then(narrow);
    let bytes = |key, range| table.read(key, |value| value.size(range)).and_then(narrow);
    let header_bytes = bytes("header_bytes", 1 << 10..=1 << 24).unwrap_or(default.header_bytes);
    let target_bytes = bytes("target_bytes", 1 << 6..=1 << 24);
    if let (Some(target), Some(value)) = (target_bytes, table.get("target_bytes"))
        && target > header_bytes
    {
        value
            .refuse::<()>("`target_bytes` must not exceed `header_bytes`, which counts the target");
    }
    ListenerLimits {
        connections: count("connections", 1..=10_000_000).unwrap_or(default.connections),
        connections_per_ip: count("connections_per_ip", 1..=10_000_000)
            .unwrap_or(default.connections_per_ip),
        headers: count("headers", 1..=10_000).unwrap_or(default.headers),
        header_bytes,
        target_bytes: target_bytes.unwrap_or_else(|| default.target_bytes.min(header_bytes)),
        body_bytes: table
            .read("body_bytes", |value| value.size(0..=1 << 50))
            .unwrap_or(default.body_bytes),
        h2_streams: table
            .read("h2_streams", |value| value.integer(1..=10_000))
            .and_then(|streams| u32::try_from(streams).ok())
            .unwrap_or(default.h2_streams),
    }
}

fn narrow(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_ip: 1_000,
            headers: 100,
            header_bytes: 32 << 10,
            target_bytes: 8 << 10,
            body_bytes: 10 << 20,
            h2_streams: 100,
        }
    }
}

fn timeouts(listener: &Table<'_>) -> ListenerTimeouts {
    let default = ListenerTimeouts::default();
    let Some(table) = listener.table("timeouts", &keys::LISTENER_TIMEOUTS) else { return default };
    let timeout = |key, default| table.read(key, |value| value.duration(false)).unwrap_or(default);
    ListenerTimeouts {
        first_byte: timeout("first_byte", default.first_byte),
        head: timeout("head", default.head),
        body_idle: timeout("body_idle", default.body_idle),
        idle: timeout("idle", default.idle),
        stream_idle: timeout("stream_idle", default.stream_idle),
    }
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stream_idle: Duration::from_secs(5 * 60),
        }
    }
}
