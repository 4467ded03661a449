//! Users who come at a steady rate, however long they are kept waiting.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serin::clock;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Client, PATIENCE, draw};

/// So many users there are; each comes back.
const USERS: usize = 1_000;
/// Whoever would have come while the machine was busy for longer does not come.
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// So many are there at once. An address may have 1000 connections to the proxy.
const THERE_MAX: usize = 900;

/// What a user got.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) user: usize,
    /// The server that answered; nothing where the proxy did.
    pub(super) pool: String,
    /// 0 where there was no answer at all.
    pub(super) status: u16,
}

impl Seen {
    pub(super) const fn is_good(&self) -> bool {
        self.status == 200
    }
}

/// Users, and what they got.
pub(super) struct Crowd {
    shared: Arc<Shared>,
    task: JoinHandle<JoinSet<()>>,
}

struct Shared {
    address: SocketAddr,
    paths: &'static [&'static str],
    rps: AtomicU32,
    stop: AtomicBool,
    /// Connections that nobody uses just now.
    idle: Mutex<Vec<Client>>,
    seen: Mutex<Vec<Seen>>,
}

impl Crowd {
    pub(super) fn start(address: SocketAddr, rps: u32, paths: &'static [&'static str]) -> Self {
        let shared = Arc::new(Shared {
            address,
            paths,
            rps: AtomicU32::new(rps),
            stop: AtomicBool::new(false),
            idle: Mutex::default(),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(come(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// From now on `rps` come in a second.
    pub(super) fn rate(&self, rps: u32) {
        self.shared.rps.store(rps, Ordering::Relaxed);
    }

    /// What was seen until now.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Nobody comes any more. Returns what all have seen, once they have.
    pub(super) async fn stop(self) -> Vec<Seen> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let waiting = self.task.await.unwrap();
        tokio::time::timeout(PATIENCE, waiting.join_all()).await.expect("somebody still waits");
        self.shared.seen.lock().unwrap().clone()
    }

    /// All go away, also those who wait for an answer. Returns what they have seen, and how many
    /// waited.
    pub(super) async fn abandon(self) -> (Vec<Seen>, usize) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut waiting = self.task.await.unwrap();
        while waiting.try_join_next().is_some() {}
        let count = waiting.len();
        waiting.shutdown().await;
        (self.shared.seen.lock().unwrap().clone(), count)
    }
}

async fn come(shared: Arc<Shared>) -> JoinSet<()> {
    let mut visits = JoinSet::new();
    let mut next = clock::now();
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        number += 1;
        next += Duration::from_secs(1) / shared.rps.load(Ordering::Relaxed);
        next = next.max(clock::now() - BEHIND_MAX);
        tokio::time::sleep_until(next).await;
        if visits.len() < THERE_MAX {
            visits.spawn(visit(Arc::clone(&shared), number));
        }
        while let Some(visit) = visits.try_join_next() {
            visit.unwrap();
        }
    }
    visits
}

async fn visit(shared: Arc<Shared>, number: usize) {
    let user = number % USERS;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small index")]
    let path = (draw(number, 7) * shared.paths.len() as f64) as usize;
    let line = format!("GET {}", shared.paths[path]);
    let idle = shared.idle.lock().unwrap().pop();
    let mut client = match idle {
        Some(client) => client,
        None => Client::connect(shared.address).await,
    };
    let answer = client.send(&line, &[("x-user-id", &format!("user-{user}"))], "").await;
    let seen = match &answer {
        Err(_) => Seen { user, pool: String::new(), status: 0 },
        Ok(answer) => {
            let pool = answer.fields.get("x-upstream").and_then(|pool| pool.to_str().ok());
            let pool = pool.unwrap_or_default().to_owned();
            Seen { user, pool, status: answer.status.as_u16() }
        }
    };
    shared.seen.lock().unwrap().push(seen);
    if answer.is_ok() {
        shared.idle.lock().unwrap().push(client);
    }
}
