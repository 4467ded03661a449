//! Pools and their endpoints: who may be sent a request, and who is chosen.
//!
//! A [`Pool`] is an immutable list that a table holds; when a name resolves to other addresses a
//! new pool is published. An [`Endpoint`] outlives tables: its counts and its health carry over.

pub mod connect;
pub mod health;
pub mod pick;
pub mod registry;
mod resolve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

pub use crate::config::Balance;
use crate::config::{PoolTimeouts, Target};
use health::Health;

/// A server of a pool, at one address.
#[derive(Debug)]
#[repr(align(64))]
pub struct Endpoint {
    /// Unique in this process; a server that comes back under its old address is a new endpoint.
    pub id: u64,
    /// Where it is.
    pub address: SocketAddr,
    /// What the file or the deploy calls it.
    pub target: Target,
    in_flight: AtomicU32,
    health: AtomicU8,
    drained: AtomicBool,
    /// Raised to forget results of checks that began before.
    epoch: AtomicU32,
    /// Tells the task that checks it that the epoch was raised.
    renewed: Arc<Notify>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Endpoint {
    /// An endpoint that nothing is known of yet.
    pub fn new(target: Target, address: SocketAddr, health: Health) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            target,
            in_flight: AtomicU32::new(0),
            health: AtomicU8::new(health as u8),
            drained: AtomicBool::new(false),
            epoch: AtomicU32::new(0),
            renewed: Arc::new(Notify::new()),
        })
    }

    /// What checks last said.
    pub fn health(&self) -> Health {
        Health::from_number(self.health.load(Ordering::Relaxed))
    }

    /// Whether it may be given a request.
    pub fn is_available(&self) -> bool {
        self.health() == Health::Up && !self.is_drained()
    }

    /// Whether an operator took it out.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Takes it out, or lets it back in.
    pub fn set_drained(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    /// Requests that it is serving.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Forgets what is known of its health; checks under way no longer count.
    pub fn renew(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.health.store(Health::Unknown as u8, Ordering::Release);
        self.renewed.notify_one();
    }

    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Release);
    }
}

/// A request that an endpoint is serving.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// The endpoint.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pool as a table sees it.
#[derive(Debug)]
pub struct Pool {
    /// Its name in the file.
    pub name: String,
    /// Its servers, those that are down included.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// How one is chosen.
    pub balance: Balance,
    /// How long they may take.
    pub timeouts: PoolTimeouts,
    /// What HTTP checks ask for, for messages.
    pub health_path: Option<String>,
}

/// How a pool stands as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// At least one endpoint may be given requests.
    Up,
    /// None may, but no check has said so yet.
    Unknown,
    /// None may.
    Down,
}

impl Pool {
    /// How the pool stands as a whole.
    pub fn standing(&self) -> Standing {
        if self.endpoints.iter().any(|endpoint| endpoint.is_available()) {
            Standing::Up
        } else if self.endpoints.is_empty()
            || self.endpoints.iter().any(|endpoint| endpoint.health() == Health::Unknown)
        {
            Standing::Unknown
        } else {
            Standing::Down
        }
    }

    /// Whether every endpoint is up, and there is one.
    pub fn is_whole(&self) -> bool {
        !self.endpoints.is_empty() && self.endpoints.iter().all(|endpoint| endpoint.is_available())
    }
}
