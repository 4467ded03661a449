//! The sharded recorder: one writer a shard, one reader of all.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Outcome;
use super::histogram::{BUCKETS, bucket};
use crate::judge::Interval;

const OUTCOMES: usize = Outcome::ALL.len();
const CHUNK: usize = 64;
const CHUNKS: usize = 1024;

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
struct Slot {
    /// Failed first attempts.
    errors: AtomicU64,
    /// Answers by what they came to, retries and forced requests included.
    outcomes: [AtomicU64; OUTCOMES],
    /// First attempts that did not fail, by latency.
    successes: Buckets,
    /// Ages of the judged requests that clients gave up; most pools never see one.
    aborts: OnceLock<Buckets>,
}

impl Slot {
    fn new() -> Box<Self> {
        Box::new(Self {
            errors: AtomicU64::new(0),
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES],
            successes: buckets(),
            aborts: OnceLock::new(),
        })
    }
}

fn buckets() -> Buckets {
    (0..BUCKETS).map(|_| AtomicU64::new(0)).collect()
}

type Chunk = Box<[OnceLock<Box<Slot>>]>;

/// One worker's counters. Slots are allocated when a pool is first hit.
struct Shard {
    chunks: Box<[OnceLock<Chunk>]>,
    /// A bit for each slot written since the last drain, so that idle services cost a tick nothing.
    dirty: Box<[AtomicU64]>,
}

impl Shard {
    fn new() -> Self {
        Self {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            dirty: (0..CHUNKS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn slot(&self, id: SlotId) -> &Slot {
        let chunk = self.chunks[id.index() / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        chunk[id.index() % CHUNK].get_or_init(Slot::new)
    }

    fn existing(&self, id: usize) -> Option<&Slot> {
        self.chunks[id / CHUNK].get()?[id % CHUNK].get().map(AsRef::as_ref)
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
    shards: Vec<Arc<Shard>>,
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
        let writers = shards.iter().map(|shard| Writer { shard: Arc::clone(shard) }).collect();
        (writers, Drain { recorder: Self { shards }, seen: Vec::new(), warm: Vec::new() })
    }
}

/// One worker's end. There is one for each shard and it is not `Clone`, so a count is a load and
/// a store.
pub struct Writer {
    shard: Arc<Shard>,
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
    /// Counts a first attempt of the pool `slot` that came to `outcome` after `latency`.
    pub fn attempt(&self, slot: SlotId, outcome: Outcome, latency: Duration) {
        let counters = self.shard.slot(slot);
        match outcome {
            Outcome::Abandoned => {
                add_one(&counters.aborts.get_or_init(buckets)[bucket(latency)]);
            }
            // What the client spoiled says nothing about the pool.
            Outcome::BadRequest => {}
            _ if outcome.is_error() => add_one(&counters.errors),
            _ => add_one(&counters.successes[bucket(latency)]),
        }
        self.shard.touch(slot);
    }

    /// Counts an answer that the pool `slot` gave to a client.
    pub fn answer(&self, slot: SlotId, outcome: Outcome) {
        add_one(&self.shard.slot(slot).outcomes[outcome.index()]);
        self.shard.touch(slot);
    }
}

/// What one pool did since the last drain, over all workers.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// What the judge sees.
    pub interval: Interval,
    /// Answers by outcome.
    pub outcomes: [u64; OUTCOMES],
}

/// What was last seen of one slot in one shard.
struct Seen {
    errors: u64,
    outcomes: [u64; OUTCOMES],
    successes: Box<[u64]>,
    aborts: Box<[u64]>,
}

impl Seen {
    fn new() -> Self {
        let zeros = || vec![0; BUCKETS].into_boxed_slice();
        Self { errors: 0, outcomes: [0; OUTCOMES], successes: zeros(), aborts: Box::default() }
    }
}

/// The reader's end.
pub struct Drain {
    recorder: Recorder,
    /// By slot, then by shard.
    seen: Vec<Vec<Option<Box<Seen>>>>,
    /// Slots of the last drain. They are read once more: a store that was still in a worker's
    /// store buffer when its dirty bit was taken is seen a tick later, never lost.
    warm: Vec<usize>,
}

impl std::fmt::Debug for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drain").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

thread_local! {
    /// Dense sums of one slot over the shards.
    static DENSE: RefCell<(Vec<u64>, Vec<u64>)> =
        RefCell::new((vec![0; BUCKETS], vec![0; BUCKETS]));
}

impl Drain {
    /// Hands each pool that did anything since the last drain to `visit`.
    pub fn drain(&mut self, mut visit: impl FnMut(SlotId, Delta)) {
        let mut slots = std::mem::take(&mut self.warm);
        let fresh = slots.len();
        for shard in &self.recorder.shards {
            for (word_index, word) in shard.dirty.iter().enumerate() {
                if word.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                let mut bits = word.swap(0, Ordering::Relaxed);
                while bits != 0 {
                    slots.push(word_index * CHUNK + bits.trailing_zeros() as usize);
                    bits &= bits - 1;
                }
            }
        }
        self.warm = slots[fresh..].to_vec();
        self.warm.sort_unstable();
        self.warm.dedup();
        slots.sort_unstable();
        slots.dedup();
        for index in slots {
            let delta = self.read(index);
            let moved = delta.interval.n > 0
                || delta.outcomes.iter().any(|n| *n > 0)
                || !delta.interval.aborts.is_empty();
            if moved && let Some(id) = SlotId::new(index) {
                visit(id, delta);
            }
        }
    }

    fn read(&mut self, index: usize) -> Delta {
        let shards = self.recorder.shards.len();
        if self.seen.len() <= index {
            self.seen.resize_with(index + 1, Vec::new);
        }
        let seen = &mut self.seen[index];
        seen.resize_with(shards, || None);
        let mut delta = Delta::default();
        DENSE.with_borrow_mut(|(successes, aborts)| {
            for (shard, seen) in self.recorder.shards.iter().zip(seen) {
                let Some(slot) = shard.existing(index) else { continue };
                let seen = seen.get_or_insert_with(|| Box::new(Seen::new()));
                delta.interval.errors += advance(&slot.errors, &mut seen.errors);
                for (at, counter) in slot.outcomes.iter().enumerate() {
                    delta.outcomes[at] += advance(counter, &mut seen.outcomes[at]);
                }
                add_dense(&slot.successes, &mut seen.successes, successes);
                if let Some(counters) = slot.aborts.get() {
                    if seen.aborts.is_empty() {
                        seen.aborts = vec![0; BUCKETS].into_boxed_slice();
                    }
                    add_dense(counters, &mut seen.aborts, aborts);
                }
            }
            delta.interval.successes = take_sparse(successes);
            delta.interval.aborts = take_sparse(aborts);
        });
        let successes: u64 = delta.interval.successes.iter().map(|bucket| bucket.1).sum();
        delta.interval.n = successes + delta.interval.errors;
        delta
    }
}

fn advance(counter: &AtomicU64, seen: &mut u64) -> u64 {
    let now = counter.load(Ordering::Relaxed);
    now - std::mem::replace(seen, now)
}

fn add_dense(counters: &[AtomicU64], seen: &mut [u64], into: &mut [u64]) {
    for ((counter, seen), into) in counters.iter().zip(seen).zip(into) {
        *into += advance(counter, seen);
    }
}

fn take_sparse(dense: &mut [u64]) -> Vec<(u32, u64)> {
    let mut sparse = Vec::new();
    for (bucket, count) in (0..).zip(dense) {
        if *count > 0 {
            sparse.push((bucket, std::mem::take(count)));
        }
    }
    sparse
}
