//! The sharded recorder: one writer a shard, one reader of all.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::histogram::{BUCKETS, bucket};
use super::in_flight::{InFlight, Ticket};
use super::keys::ErrorKeys;
use super::samples::Samples;
use super::{Outcome, ROUTES_MAX};

pub(super) const OUTCOMES: usize = Outcome::ALL.len();
pub(super) const CHUNK: usize = 64;
const CHUNKS: usize = 1024;

/// How many bits a word has.
const WORD: usize = u64::BITS as usize;
/// How many words have a bit for each bucket.
pub(super) const WORDS: usize = BUCKETS.div_ceil(WORD);

/// How many pools of how many services one recorder can hold.
pub const SLOTS_MAX: usize = CHUNK * CHUNKS;

/// Names the counters of one pool of one service.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotId(u32);

impl SlotId {
    /// Returns slot `index`, or `None` when the recorder has no more.
    pub fn new(index: usize) -> Option<Self> {
        (index < SLOTS_MAX).then(|| u32::try_from(index).ok().map(Self)).flatten()
    }

    /// Its number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

type Buckets = Box<[AtomicU64]>;

/// The counters of one pool, written by one worker. They only ever grow.
pub(super) struct Slot {
    /// Failed first attempts.
    pub(super) errors: AtomicU64,
    /// Answers by what they came to, retries and forced requests included.
    pub(super) outcomes: [AtomicU64; OUTCOMES],
    /// First attempts that did not fail, by latency.
    pub(super) successes: Buckets,
    /// A bit for each of them that was written since the last drain. The reader takes them: most
    /// pools answer within a few buckets, and the others need not be looked through.
    pub(super) written: [AtomicU64; WORDS],
    /// Ages of the judged requests that clients gave up; most pools never see one.
    pub(super) aborts: OnceLock<Buckets>,
    /// First attempts by route: how many did not fail, and how many did.
    pub(super) routes: [[AtomicU64; 2]; ROUTES_MAX],
    /// A bit for each key seen since the last drain, by the last byte of its hash. The reader
    /// takes them.
    pub(super) keys_seen: [AtomicU64; 4],
    /// Failed first attempts by key; most pools never see one.
    pub(super) error_keys: OnceLock<Box<ErrorKeys>>,
    /// First attempts that were in flight for longer than the limit.
    pub(super) inflight_slow: AtomicU64,
    /// That limit in microseconds, set by the reader; 0 is none.
    pub(super) limit_us: AtomicU64,
    /// Paths that were asked for.
    pub(super) samples: OnceLock<Samples>,
}

impl Slot {
    fn new() -> Box<Self> {
        Box::new(Self {
            errors: AtomicU64::new(0),
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES],
            successes: buckets(),
            written: [const { AtomicU64::new(0) }; WORDS],
            aborts: OnceLock::new(),
            routes: [const { [const { AtomicU64::new(0) }; 2] }; ROUTES_MAX],
            keys_seen: [const { AtomicU64::new(0) }; 4],
            error_keys: OnceLock::new(),
            inflight_slow: AtomicU64::new(0),
            limit_us: AtomicU64::new(0),
            samples: OnceLock::new(),
        })
    }

    fn succeeded(&self, latency: Duration) {
        let bucket = bucket(latency);
        add_one(&self.successes[bucket]);
        let (word, bit) = (&self.written[bucket / WORD], 1 << (bucket % WORD));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn see_key(&self, key: u64) {
        let last = key.to_le_bytes()[0];
        let (word, bit) = (&self.keys_seen[usize::from(last / 64)], 1 << (last % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

fn buckets() -> Buckets {
    (0..BUCKETS).map(|_| AtomicU64::new(0)).collect()
}

type Chunk = Box<[OnceLock<Box<Slot>>]>;

/// One worker's counters. Slots are allocated when a pool is first hit.
pub(super) struct Shard {
    chunks: Box<[OnceLock<Chunk>]>,
    /// A bit for each slot written since the last drain, so that idle services cost a tick nothing.
    pub(super) dirty: Box<[AtomicU64]>,
    /// The number of the last drain that began.
    pub(super) drain: AtomicU32,
    /// How many slots have a limit for requests in flight.
    pub(super) limited: AtomicU32,
}

impl Shard {
    fn new() -> Self {
        Self {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            dirty: (0..CHUNKS).map(|_| AtomicU64::new(0)).collect(),
            drain: AtomicU32::new(0),
            limited: AtomicU32::new(0),
        }
    }

    pub(super) fn slot(&self, id: SlotId) -> &Slot {
        let chunk = self.chunks[id.index() / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        chunk[id.index() % CHUNK].get_or_init(Slot::new)
    }

    pub(super) fn existing(&self, id: usize) -> Option<&Slot> {
        self.chunks[id / CHUNK].get()?[id % CHUNK].get().map(AsRef::as_ref)
    }

    /// Every slot that was ever hit.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        let chunks = self.chunks.iter().filter_map(OnceLock::get);
        chunks.flat_map(|chunk| chunk.iter()).filter_map(OnceLock::get).map(AsRef::as_ref)
    }

    fn touch(&self, id: SlotId) {
        let (word, bit) = (&self.dirty[id.index() / CHUNK], 1 << (id.index() % CHUNK));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// Everything that workers measure.
pub struct Recorder {
    pub(super) shards: Vec<Arc<Shard>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("shards", &self.shards.len()).finish()
    }
}

impl Recorder {
    /// Makes a recorder for `workers` workers, a writer for each, and the one reader.
    pub fn split(workers: usize) -> (Vec<Writer>, Drain) {
        let shards: Vec<_> = (0..workers).map(|_| Arc::new(Shard::new())).collect();
        let writer = |shard| Writer { shard, in_flight: RefCell::default() };
        let writers = shards.iter().map(Arc::clone).map(writer).collect();
        (writers, Drain::new(Self { shards }))
    }
}

/// A first attempt, and what it is counted under.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The pool that is charged.
    pub slot: SlotId,
    /// The route's number, below [`ROUTES_MAX`], where routes are counted.
    pub route: Option<u8>,
    /// The hash of the sticky key that chose the pool; none where chance did.
    pub key: Option<u64>,
    /// Its place among those in flight.
    pub ticket: Ticket,
}

impl Attempt {
    /// An attempt of `slot` of which nothing else is known.
    pub const fn on(slot: SlotId) -> Self {
        Self { slot, route: None, key: None, ticket: Ticket::NONE }
    }
}

/// One worker's end. There is one for each shard and it is not `Clone`, so a count is a load and
/// a store.
pub struct Writer {
    shard: Arc<Shard>,
    in_flight: RefCell<InFlight>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Writer {
    /// A first attempt of the pool `slot` was made at `now`.
    pub fn begin(&self, slot: SlotId, now: Instant) -> Ticket {
        self.in_flight.borrow_mut().begin(slot, now)
    }

    /// A first attempt is in flight no longer, or its latency is known; whether it was counted as
    /// slow before.
    pub fn end(&self, ticket: Ticket) -> bool {
        ticket != Ticket::NONE && self.in_flight.borrow_mut().end(ticket)
    }

    /// Counts the first attempts that are older than their pool's limit, each once.
    pub fn overdue(&self, now: Instant) {
        let shard = &self.shard;
        if shard.limited.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.in_flight.borrow_mut().overdue(|id, started| {
            let Some(slot) = shard.existing(id.index()) else { return false };
            let limit = Duration::from_micros(slot.limit_us.load(Ordering::Relaxed));
            let slow = !limit.is_zero() && now.saturating_duration_since(started) > limit;
            if slow {
                add_one(&slot.inflight_slow);
                shard.touch(id);
            }
            slow
        });
    }

    /// Counts a first attempt that came to `outcome` after `latency`.
    pub fn attempt(&self, attempt: Attempt, outcome: Outcome, latency: Duration) {
        let Attempt { slot, route, key, ticket } = attempt;
        self.end(ticket);
        if outcome == Outcome::BadRequest {
            // What the client spoiled says nothing about the pool.
            return;
        }
        let counters = self.shard.slot(slot);
        if let Some(key) = key {
            counters.see_key(key);
        }
        if outcome == Outcome::Abandoned {
            add_one(&counters.aborts.get_or_init(buckets)[bucket(latency)]);
        } else {
            let failed = outcome.is_error();
            if failed {
                add_one(&counters.errors);
                if let Some(key) = key {
                    let drain = self.shard.drain.load(Ordering::Relaxed);
                    counters.error_keys.get_or_init(ErrorKeys::new).count(key, route, drain);
                }
            } else {
                counters.succeeded(latency);
            }
            if let Some(route) = route.and_then(|at| counters.routes.get(usize::from(at))) {
                add_one(&route[usize::from(failed)]);
            }
        }
        self.shard.touch(slot);
    }

    /// Counts `path` among those that the pool `slot` is asked for; not for every request.
    pub fn sample(&self, slot: SlotId, path: &str) {
        self.shard.slot(slot).samples.get_or_init(Samples::default).count(path);
    }

    /// Counts an answer that the pool `slot` gave to a client.
    pub fn answer(&self, slot: SlotId, outcome: Outcome) {
        add_one(&self.shard.slot(slot).outcomes[outcome.index()]);
        self.shard.touch(slot);
    }
}
