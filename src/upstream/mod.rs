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
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

pub use crate::config::Balance;
use crate::config::{PoolTimeouts, Target};
use health::Health;

/// A server of a pool, at one address.
///
/// What a request needs comes first, together with the count of those who hold it: of many
/// endpoints each is cold when its next request comes.
#[derive(Debug)]
#[repr(C)]
pub struct Endpoint {
    /// Unique in this process; a server that comes back under its old address is a new endpoint.
    pub id: u64,
    /// The health in the lowest byte, and above it an epoch that is raised to forget results of
    /// checks that began before. One word, so that an old check cannot slip in between.
    state: AtomicU64,
    in_flight: AtomicU32,
    drained: AtomicBool,
    /// Where it is.
    pub address: SocketAddr,
    /// What the file or the deploy calls it.
    pub target: Target,
    /// Tells the task that checks it that the epoch was raised.
    renewed: Arc<Notify>,
    /// When the last check that passed began, in the order of all checks.
    passed: AtomicU64,
    /// When the last check that failed began.
    failed: AtomicU64,
    /// When it went down.
    fell: AtomicU64,
}

/// One epoch in an endpoint's state.
const EPOCH: u64 = 1 << 8;
/// What lies below the epoch.
const EPOCH_BELOW: u64 = EPOCH - 1;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// Numbers what happens in checks in its order.
static ORDER: AtomicU64 = AtomicU64::new(1);

fn next_in_order() -> u64 {
    ORDER.fetch_add(1, Ordering::Relaxed)
}

impl Endpoint {
    /// An endpoint that nothing is known of yet.
    pub fn new(target: Target, address: SocketAddr, health: Health) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            target,
            in_flight: AtomicU32::new(0),
            state: AtomicU64::new(health as u64),
            drained: AtomicBool::new(false),
            renewed: Arc::new(Notify::new()),
            passed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            fell: AtomicU64::new(0),
        })
    }

    /// What checks last said.
    pub fn health(&self) -> Health {
        Health::of_word(self.state.load(Ordering::Relaxed))
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
        let next =
            |word: u64| Some((word & !EPOCH_BELOW).wrapping_add(EPOCH) | Health::Unknown as u64);
        // The closure always has an answer, so this cannot fail.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        self.renewed.notify_one();
    }

    /// A check begins.
    fn begin_check(&self) -> Began {
        Began { word: self.state.load(Ordering::Acquire), at: next_in_order() }
    }

    /// Takes in what a check found that `began` so; false when that is out of date.
    fn found(&self, began: Began, passed: bool, health: Health) -> bool {
        let Began { word, at } = began;
        let last = if passed { &self.passed } else { &self.failed };
        last.store(at, Ordering::Relaxed);
        if health == Health::Down && Health::of_word(word) != Health::Down {
            self.fell.store(next_in_order(), Ordering::Relaxed);
        }
        // Whoever sees the new health sees the rest, too.
        let new = word & !EPOCH_BELOW | health as u64;
        self.state.compare_exchange(word, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What was known as a check began.
#[derive(Clone, Copy, Debug)]
struct Began {
    word: u64,
    /// Its place in the order of all checks.
    at: u64,
}

/// A request that an endpoint is serving.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

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
    /// Whether it is down and `stable` is not, for a reason of its own. Pools are not checked at the
    /// same time: of two that fail alike one is down first, and of two that recover alike one is up
    /// first. So after it went down stable has to pass a check, and then it has to fail another.
    pub fn is_down_beside(&self, stable: &Self) -> bool {
        if self.standing() != Standing::Down || stable.standing() != Standing::Up {
            return false;
        }
        let order = |at: &AtomicU64| at.load(Ordering::Relaxed);
        let own = || self.endpoints.iter().filter(|endpoint| !endpoint.is_drained());
        let up = stable.endpoints.iter().filter(|endpoint| endpoint.is_available());
        let fell = own().map(|endpoint| order(&endpoint.fell)).max();
        let passed = up.map(|endpoint| order(&endpoint.passed)).min();
        let failed = own().map(|endpoint| order(&endpoint.failed)).min();
        match (fell, passed, failed) {
            (Some(fell), Some(passed), Some(failed)) => fell < passed && passed < failed,
            // All of it was taken out.
            _ => true,
        }
    }

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
}
