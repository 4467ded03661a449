//! The reader's end of the recorder: what changed since it last looked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::BUCKETS;
use super::recorder::{CHUNK, OUTCOMES, Recorder, Slot, SlotId, WORDS};
use super::{ROUTES_MAX, keys};
use crate::judge::Interval;

/// What one pool did since the last drain, over all workers.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// What the judge sees.
    pub interval: Interval,
    /// Answers by outcome.
    pub outcomes: [u64; OUTCOMES],
    /// A bit for each sticky key that was seen, by the last byte of its hash: the bits that are set
    /// are no more than the keys there were. Those of several drains may be put together.
    pub keys_seen: [u64; 4],
    /// First attempts by route: how many ended, and how many of these failed.
    pub routes: [(u64, u64); ROUTES_MAX],
    /// Those of `interval.error_keys` that fell on a route.
    pub route_errors: Vec<RouteErrors>,
}

/// Errors of one sticky key on one route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteErrors {
    /// The route's number.
    pub route: u8,
    /// The hash of the key.
    pub key: u64,
    /// How many.
    pub errors: u64,
}

impl Delta {
    fn is_empty(&self) -> bool {
        self.interval.n == 0
            && self.interval.inflight_slow == 0
            && self.interval.aborts.is_empty()
            && self.interval.error_keys.is_empty()
            && self.outcomes.iter().all(|n| *n == 0)
            && self.keys_seen.iter().all(|bits| *bits == 0)
            && self.routes.iter().all(|counts| *counts == (0, 0))
    }
}

/// What was last seen of one slot in one shard.
struct Seen {
    errors: u64,
    outcomes: [u64; OUTCOMES],
    successes: Box<[u64]>,
    /// The buckets that the last look took. They are looked at once more, as the slot is.
    written: [u64; WORDS],
    aborts: Box<[u64]>,
    routes: [[u64; 2]; ROUTES_MAX],
    inflight_slow: u64,
    error_keys: Option<Box<keys::Seen>>,
}

impl Seen {
    fn new() -> Self {
        let zeros = || vec![0; BUCKETS].into_boxed_slice();
        Self {
            errors: 0,
            outcomes: [0; OUTCOMES],
            successes: zeros(),
            written: [0; WORDS],
            aborts: Box::default(),
            routes: [[0; 2]; ROUTES_MAX],
            inflight_slow: 0,
            error_keys: None,
        }
    }
}

/// The reader's end.
pub struct Drain {
    recorder: Recorder,
    /// How many drains there were.
    number: u32,
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
    pub(super) const fn new(recorder: Recorder) -> Self {
        Self { recorder, number: 0, seen: Vec::new(), warm: Vec::new() }
    }

    /// From now on a first attempt of the pool `slot` that is in flight for longer than `limit`
    /// counts as slow; none does without a limit.
    pub fn limit(&self, slot: SlotId, limit: Option<Duration>) {
        let us =
            limit.map_or(0, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1));
        for shard in &self.recorder.shards {
            if us == 0 && shard.existing(slot.index()).is_none() {
                continue;
            }
            let before = shard.slot(slot).limit_us.swap(us, Ordering::Relaxed);
            match (before, us) {
                (0, 1..) => shard.limited.fetch_add(1, Ordering::Relaxed),
                (1.., 0) => shard.limited.fetch_sub(1, Ordering::Relaxed),
                _ => 0,
            };
        }
    }

    /// The paths that the pool `slot` was asked for, as far as they were sampled, over all workers.
    pub fn take_samples(&self, slot: SlotId) -> Vec<(String, u64)> {
        let mut paths = HashMap::new();
        let slots = self.recorder.shards.iter().filter_map(|shard| shard.existing(slot.index()));
        for samples in slots.filter_map(|slot| slot.samples.get()) {
            samples.add_to(&mut paths);
        }
        let mut paths: Vec<(String, u64)> = paths.into_iter().collect();
        paths.sort_unstable();
        paths
    }

    /// Lets all that was sampled until now count half as much as what will be.
    pub fn age_samples(&self) {
        for slot in self.recorder.shards.iter().flat_map(|shard| shard.slots()) {
            if let Some(samples) = slot.samples.get() {
                samples.age();
            }
        }
    }

    /// Hands each pool that did anything since the last drain to `visit`.
    pub fn drain(&mut self, mut visit: impl FnMut(SlotId, Delta)) {
        let mut slots = std::mem::take(&mut self.warm);
        let fresh = slots.len();
        self.number = self.number.wrapping_add(1);
        for shard in &self.recorder.shards {
            shard.drain.store(self.number, Ordering::Relaxed);
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
            if !delta.is_empty()
                && let Some(id) = SlotId::new(index)
            {
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
        let (mut written, mut aborted) = ([0; WORDS], false);
        DENSE.with_borrow_mut(|(successes, aborts)| {
            for (shard, seen) in self.recorder.shards.iter().zip(seen) {
                let Some(slot) = shard.existing(index) else { continue };
                let seen = seen.get_or_insert_with(|| Box::new(Seen::new()));
                seen.read(slot, &mut delta);
                for (word, all) in written.iter_mut().enumerate() {
                    let look = seen.take_written(slot, word);
                    *all |= look;
                    for bucket in bits(word, look) {
                        successes[bucket] +=
                            advance(&slot.successes[bucket], &mut seen.successes[bucket]);
                    }
                }
                if let Some(counters) = slot.aborts.get() {
                    aborted = true;
                    if seen.aborts.is_empty() {
                        seen.aborts = vec![0; BUCKETS].into_boxed_slice();
                    }
                    add_dense(counters, &mut seen.aborts, aborts);
                }
            }
            let buckets = written.into_iter().enumerate().flat_map(|(word, all)| bits(word, all));
            delta.interval.successes = take_sparse(successes, buckets);
            if aborted {
                delta.interval.aborts = take_sparse(aborts, 0..BUCKETS);
            }
        });
        sum_up(&mut delta.interval.error_keys);
        let successes: u64 = delta.interval.successes.iter().map(|bucket| bucket.1).sum();
        delta.interval.n = successes + delta.interval.errors;
        delta
    }
}

impl Seen {
    /// The buckets of a word that may have changed.
    fn take_written(&mut self, slot: &Slot, word: usize) -> u64 {
        let fresh = match slot.written[word].load(Ordering::Relaxed) {
            0 => 0,
            _ => slot.written[word].swap(0, Ordering::Relaxed),
        };
        fresh | std::mem::replace(&mut self.written[word], fresh)
    }

    /// Adds what is new in `slot` to `delta`, but for the histograms.
    fn read(&mut self, slot: &Slot, delta: &mut Delta) {
        let interval = &mut delta.interval;
        interval.errors += advance(&slot.errors, &mut self.errors);
        interval.inflight_slow += advance(&slot.inflight_slow, &mut self.inflight_slow);
        for (at, counter) in slot.outcomes.iter().enumerate() {
            delta.outcomes[at] += advance(counter, &mut self.outcomes[at]);
        }
        for (at, [good, failed]) in slot.routes.iter().enumerate() {
            let good = advance(good, &mut self.routes[at][0]);
            let failed = advance(failed, &mut self.routes[at][1]);
            delta.routes[at].0 += good + failed;
            delta.routes[at].1 += failed;
        }
        for (bits, all) in slot.keys_seen.iter().zip(&mut delta.keys_seen) {
            if bits.load(Ordering::Relaxed) != 0 {
                *all |= bits.swap(0, Ordering::Relaxed);
            }
        }
        if let Some(keys) = slot.error_keys.get() {
            let seen = self.error_keys.get_or_insert_with(Box::default);
            keys.read(seen, |key, route, errors| {
                interval.error_keys.push((key, errors));
                if let Some(route) = route {
                    delta.route_errors.push(RouteErrors { route, key, errors });
                }
            });
        }
    }
}

/// Makes one entry of all that are of one key.
fn sum_up(errors: &mut Vec<(u64, u64)>) {
    errors.sort_unstable();
    errors.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
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

/// The buckets whose bits are set in word number `word`, ascending.
fn bits(word: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(word * u64::BITS as usize + bit)
    })
}

fn take_sparse(dense: &mut [u64], buckets: impl Iterator<Item = usize>) -> Vec<(u32, u64)> {
    let mut sparse = Vec::new();
    for bucket in buckets {
        let count = std::mem::take(&mut dense[bucket]);
        if let (1.., Ok(bucket)) = (count, u32::try_from(bucket)) {
            sparse.push((bucket, count));
        }
    }
    sparse
}
