//! What serves requests, with a table made by hand and nobody who decides.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serin::config::{Balance, Config, PoolTimeouts, Target};
use serin::measure::{Delta, Drain, Outcome, ROUTES_MAX, Recorder, SlotId};
use serin::net::Socket;
use serin::proxy;
use serin::split::{Salt, Split};
use serin::table::{self, Matcher, Service, Side, Table};
use serin::upstream::health::Health;
use serin::upstream::{Endpoint, Pool};
use serin::wire::server::{Rules, Server};
use serin::wire::{self, Client};
use tokio::net::TcpListener;

use super::{LOOPBACK, PATIENCE, Upstream, config};

/// The counters of blue, of green, and two that no pool has.
pub(crate) const SLOTS: usize = 4;

/// What one slot measured, put together over all drains.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Measured {
    pub(crate) n: u64,
    pub(crate) errors: u64,
    pub(crate) aborts: u64,
    pub(crate) inflight_slow: u64,
    pub(crate) answers: u64,
    pub(crate) error_keys: BTreeMap<u64, u64>,
    pub(crate) keys_seen: [u64; 4],
    pub(crate) routes: [(u64, u64); ROUTES_MAX],
}

/// One worker that serves `shop`, whose pools blue (stable) and green (canary) are always up.
pub(crate) struct Stack {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    cell: table::Cell,
    sum: [Measured; SLOTS],
}

pub(crate) fn slot(index: usize) -> SlotId {
    SlotId::new(index).unwrap()
}

fn side(number: usize, name: &str, addresses: &[SocketAddr]) -> Side {
    let timeouts = PoolTimeouts { connect: PATIENCE, first_byte: PATIENCE, total: PATIENCE };
    let endpoints = addresses.iter().map(|address| {
        let target = Target { host: address.ip().to_string(), port: address.port() };
        Endpoint::new(target, *address, Health::Up)
    });
    let pool = Pool {
        name: name.into(),
        endpoints: endpoints.collect(),
        balance: Balance::RoundRobin,
        timeouts,
        health_path: None,
    };
    Side { pool: Arc::new(pool), slot: slot(number) }
}

impl Stack {
    /// Serves `keys` of the file on this thread; `edit` has the last word on the table. To be
    /// called within a `LocalSet`.
    pub(crate) async fn start(
        blue: &[&Upstream],
        green: &[&Upstream],
        keys: &str,
        edit: impl FnOnce(&mut Service),
    ) -> Self {
        // The file does not know of a pool that is empty; its names may have no address yet.
        let text = config(blue, if green.is_empty() { blue } else { green }, keys, "");
        let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new());
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let shop = &config.services["shop"];
        let addresses = |pool: &[&Upstream]| -> Vec<SocketAddr> {
            pool.iter().map(|upstream| upstream.address).collect()
        };
        let mut service = Service {
            name: "shop".into(),
            split: Split { weight: shop.weight, salt: Salt(7) },
            sticky: shop.sticky.clone(),
            issuer: None,
            force: shop.force.clone(),
            stable: side(0, "blue", &addresses(blue)),
            canary: Some(side(1, "green", &addresses(green))),
            routes: Arc::default(),
            placebo: None,
        };
        edit(&mut service);
        let cell = table::Cell::default();
        cell.publish(Arc::new(Table {
            generation: 1,
            services: vec![Arc::new(service)],
            matcher: Arc::new(Matcher::new(config.services.values())),
            rehearsals: Vec::new(),
        }));
        let (mut writers, drain) = Recorder::split(1);
        let worker = Rc::new(proxy::Worker {
            table: RefCell::new(cell.reader()),
            writer: writers.remove(0),
            idle: wire::client::Idle::default(),
            random: RefCell::new(SmallRng::seed_from_u64(7)),
            turn: Cell::new(0),
            until_sample: Cell::new(0),
        });
        tokio::task::spawn_local(proxy::watch(Rc::clone(&worker)));
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(rules(), proxy::stack(&worker, Rc::new([]), true));
        tokio::task::spawn_local(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let (client, never) = (Client::new(peer, false), std::future::pending());
                let socket = Socket::new(stream.into_std().unwrap());
                tokio::task::spawn_local(Rc::clone(&server).serve(socket, client, None, never));
            }
        });
        Self { address, drain, cell, sum: Default::default() }
    }

    /// Publishes the table anew, changed by `edit`.
    pub(crate) fn publish(&self, edit: impl FnOnce(&mut Table)) {
        let before = self.cell.load();
        let mut table = Table {
            generation: before.generation + 1,
            services: before.services.clone(),
            matcher: Arc::clone(&before.matcher),
            rehearsals: before.rehearsals.clone(),
        };
        edit(&mut table);
        self.cell.publish(Arc::new(table));
    }

    /// What each slot has measured until now.
    pub(crate) fn measured(&mut self) -> &[Measured; SLOTS] {
        let sum = &mut self.sum;
        self.drain.drain(|slot, delta| sum[slot.index()].add(&delta));
        &self.sum
    }
}

impl Measured {
    fn add(&mut self, delta: &Delta) {
        let interval = &delta.interval;
        self.n += interval.n;
        self.errors += interval.errors;
        self.inflight_slow += interval.inflight_slow;
        self.aborts += interval.aborts.iter().map(|bucket| bucket.1).sum::<u64>();
        self.answers +=
            Outcome::ALL.iter().map(|outcome| delta.outcomes[outcome.index()]).sum::<u64>();
        for (key, errors) in &interval.error_keys {
            *self.error_keys.entry(*key).or_default() += errors;
        }
        for (sum, new) in self.keys_seen.iter_mut().zip(delta.keys_seen) {
            *sum |= new;
        }
        for (sum, new) in self.routes.iter_mut().zip(delta.routes) {
            *sum = (sum.0 + new.0, sum.1 + new.1);
        }
    }

    /// At least so many keys were seen.
    pub(crate) fn keys(&self) -> u32 {
        self.keys_seen.iter().map(|word| word.count_ones()).sum()
    }
}

/// What a listener of a test allows.
pub(crate) fn rules() -> Rules {
    Rules {
        headers: 100,
        header_bytes: 32 << 10,
        target_bytes: 8 << 10,
        body_bytes: 1 << 20,
        first_byte: PATIENCE,
        head: PATIENCE,
        body_idle: PATIENCE,
        idle: PATIENCE,
        stream_idle: PATIENCE + Duration::from_secs(1),
        http1: true,
        http2: true,
        h2_streams: 100,
    }
}
