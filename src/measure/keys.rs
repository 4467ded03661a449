//! Errors by sticky key, in a table of fixed size: its one writer never waits, and its one reader
//! reads it between two counts.
//!
//! The judge wants to know of the robot that fails again and again, which is one key. Where more
//! keys fail at once than the table holds, the rest is charged to no key: then it is no robot that
//! is at fault.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const WAYS: usize = 4;
const SETS: usize = 16;
const NO_ROUTE: u32 = u32::MAX;

/// An entry that was last counted in so many drains ago has been read.
const READ_AFTER: u32 = 2;

/// Errors of one pool on one worker, by key and route.
pub(super) struct ErrorKeys([[Entry; WAYS]; SETS]);

#[derive(Default)]
struct Entry {
    /// Zero until it is first used; odd while it is being given to another key.
    version: AtomicU32,
    /// The drain during which it was last counted in.
    counted: AtomicU32,
    route: AtomicU32,
    key: AtomicU64,
    count: AtomicU64,
}

/// What was last seen of a table.
#[derive(Default)]
pub(super) struct Seen([[SeenEntry; WAYS]; SETS]);

#[derive(Default)]
struct SeenEntry {
    version: u32,
    count: u64,
}

impl ErrorKeys {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self(std::array::from_fn(|_| std::array::from_fn(|_| Entry::default()))))
    }

    /// Counts an error during drain number `drain`.
    pub(super) fn count(&self, key: u64, route: Option<u8>, drain: u32) {
        // Which side a key falls on depends on its leading bits; the last ones are free. The routes
        // of one key are spread, so that a robot that tries them all has room for each.
        let spread = route.map_or(0, |route| 7 * (usize::from(route) + 1));
        let set = &self.0[(usize::from(key.to_le_bytes()[0]) + spread) % SETS];
        let route = route.map_or(NO_ROUTE, u32::from);
        if let Some(known) = set.iter().find(|entry| entry.is(key, route)) {
            known.counted.store(drain, Ordering::Relaxed);
            let count = known.count.load(Ordering::Relaxed);
            known.count.store(count + 1, Ordering::Release);
        } else if let Some(free) = set.iter().find(|entry| entry.is_free(drain)) {
            free.counted.store(drain, Ordering::Relaxed);
            free.give(key, route);
        }
    }

    /// Hands every key with errors since `seen` to `visit`: key, route, errors.
    pub(super) fn read(&self, seen: &mut Seen, mut visit: impl FnMut(u64, Option<u8>, u64)) {
        for (entry, seen) in self.0.iter().flatten().zip(seen.0.iter_mut().flatten()) {
            let Some((version, key, route, count)) = entry.read() else { continue };
            if seen.version != version {
                *seen = SeenEntry { version, count: 0 };
            }
            let new = count - std::mem::replace(&mut seen.count, count);
            if new > 0 {
                visit(key, u8::try_from(route).ok(), new);
            }
        }
    }
}

impl Entry {
    fn is(&self, key: u64, route: u32) -> bool {
        self.version.load(Ordering::Relaxed) != 0
            && self.key.load(Ordering::Relaxed) == key
            && self.route.load(Ordering::Relaxed) == route
    }

    fn is_free(&self, drain: u32) -> bool {
        self.version.load(Ordering::Relaxed) == 0
            || drain.wrapping_sub(self.counted.load(Ordering::Relaxed)) >= READ_AFTER
    }

    /// Makes it the entry of another key, which has one error. Whoever reads any of the new values
    /// sees at least the odd version.
    fn give(&self, key: u64, route: u32) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        self.key.store(key, Ordering::Release);
        self.route.store(route, Ordering::Release);
        self.count.store(1, Ordering::Release);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Version, key, route and count that belong together; none while they are changing.
    fn read(&self) -> Option<(u32, u64, u32, u64)> {
        let version = self.version.load(Ordering::Acquire);
        let key = self.key.load(Ordering::Acquire);
        let route = self.route.load(Ordering::Acquire);
        let count = self.count.load(Ordering::Acquire);
        let whole = version != 0
            && version.is_multiple_of(2)
            && self.version.load(Ordering::Relaxed) == version;
        whole.then_some((version, key, route, count))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn an_entry_that_changes_hands_while_it_is_read_is_of_one_key_or_of_none() {
        const READ: usize = 2_000_000;
        let (entry, done) = (Entry::default(), AtomicBool::new(false));
        let mut whole = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for route in (0..u32::MAX).take_while(|_| !done.load(Ordering::Relaxed)) {
                    entry.give(u64::from(route) << 8, route);
                }
            });
            let mut torn = None;
            for _ in 0..READ {
                if let Some((_, key, route, count)) = entry.read() {
                    whole += 1;
                    let whose = u64::from(route) << 8;
                    torn = torn.or_else(|| (key != whose).then_some((key, route, count)));
                }
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(torn, None, "key, route and count of two keys");
        });
        assert!(whole > 0, "nothing was read");
    }
}
