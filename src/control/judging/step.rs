//! What one pool's sticky keys and routes have shown in a step. Pure.
//!
//! One robot that hits one broken page is not many trials. The judge caps the errors of a key by
//! itself; what it is told of routes is counted after the same cap.

use std::collections::BTreeMap;

use crate::measure::{Delta, ROUTES_MAX};

/// Completions and errors by route.
pub(super) type Routes = [(u64, u64); ROUTES_MAX];

/// One pool in one step.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// A bit for each sticky key that was seen.
    keys: [u64; 4],
    /// Errors by sticky key.
    errors: BTreeMap<u64, u64>,
    /// Since the last tick, after the cap.
    routes: Routes,
    /// What the cap takes out of routes whose counts have not come yet: they are written and read
    /// without a lock, one after the other.
    owed: [u64; ROUTES_MAX],
}

/// So many distinct keys are needed before the cap applies, as for the judge.
const MANY: u64 = 20;
/// So many failing keys are remembered. A robot is among them long before the list is full.
const REMEMBERED: usize = 512;

impl Step {
    /// Takes in what the pool did. More than `key_cap` errors of one key do not count for routes.
    pub(super) fn add(&mut self, delta: &Delta, key_cap: u64) {
        for (all, bits) in self.keys.iter_mut().zip(delta.keys_seen) {
            *all |= bits;
        }
        for (sum, more) in self.routes.iter_mut().zip(delta.routes) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
        let mut allowed: BTreeMap<u64, u64> = BTreeMap::new();
        for &(key, count) in &delta.interval.error_keys {
            self.make_room(key, key_cap);
            let errors = self.errors.entry(key).or_default();
            allowed.insert(key, key_cap.saturating_sub(*errors));
            *errors = errors.saturating_add(count);
        }
        if self.distinct_keys().max(self.errors.len() as u64) < MANY {
            return;
        }
        for counted in &delta.route_errors {
            let Some(allowed) = allowed.get_mut(&counted.key) else { continue };
            let kept = counted.errors.min(*allowed);
            *allowed -= kept;
            if let Some(owed) = self.owed.get_mut(usize::from(counted.route)) {
                *owed += counted.errors - kept;
            }
        }
        for ((n, errors), owed) in self.routes.iter_mut().zip(&mut self.owed) {
            let out = (*errors).min(*owed);
            *owed -= out;
            *n -= out;
            *errors -= out;
        }
    }

    /// The counts by route since the last call.
    pub(super) fn take_routes(&mut self) -> Routes {
        std::mem::take(&mut self.routes)
    }

    /// How many sticky keys were seen; there may have been more.
    pub(super) fn distinct_keys(&self) -> u64 {
        self.keys.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Forgets keys that are within their allowance when too many are known.
    fn make_room(&mut self, key: u64, key_cap: u64) {
        if self.errors.len() < REMEMBERED || self.errors.contains_key(&key) {
            return;
        }
        self.errors.retain(|_, errors| *errors > key_cap);
        if self.errors.len() == REMEMBERED {
            self.errors.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Interval;
    use crate::measure::RouteErrors;

    /// `errors` of `key` on route 1, one good request on each of routes 0 and 1.
    fn delta(key: u64, errors: u64) -> Delta {
        let interval = Interval { error_keys: vec![(key, errors)], ..Interval::default() };
        let mut delta = Delta { interval, ..Delta::default() };
        delta.routes[0] = (1, 0);
        delta.routes[1] = (1 + errors, errors);
        delta.route_errors = vec![RouteErrors { route: 1, key, errors }];
        delta
    }

    fn many() -> Delta {
        Delta { keys_seen: [0xF_FFFF, 0, 0, 0], ..Delta::default() }
    }

    #[test]
    fn errors_of_one_key_beyond_the_cap_are_taken_out_of_its_routes() {
        let mut step = Step::default();
        step.add(&many(), 2);
        step.add(&delta(7, 5), 2);
        assert_eq!(step.take_routes()[..2], [(1, 0), (3, 2)]);
        step.add(&delta(7, 5), 2);
        assert_eq!(step.take_routes()[..2], [(1, 0), (1, 0)], "its allowance is used up");
        step.add(&delta(8, 1), 2);
        assert_eq!(step.take_routes()[..2], [(1, 0), (2, 1)]);
        assert_eq!(step.take_routes(), Routes::default(), "taken once");
    }

    #[test]
    fn with_few_users_every_error_counts() {
        let mut step = Step::default();
        step.add(&Delta { keys_seen: [0x7_FFFF, 0, 0, 0], ..Delta::default() }, 2);
        assert_eq!(step.distinct_keys(), 19);
        step.add(&delta(7, 5), 2);
        assert_eq!(step.take_routes()[1], (6, 5));
        // The key that makes them many.
        step.add(&Delta { keys_seen: [0, 0, 0, 1 << 63], ..Delta::default() }, 2);
        assert_eq!(step.distinct_keys(), 20);
        step.add(&delta(7, 5), 2);
        assert_eq!(step.take_routes()[1], (1, 0));
    }

    /// Keys are read before or after the counts of the same request.
    #[test]
    fn what_the_cap_takes_out_is_taken_when_its_count_comes() {
        let mut step = Step::default();
        step.add(&many(), 2);
        let mut early = delta(7, 5);
        early.routes = Routes::default();
        step.add(&early, 2);
        assert_eq!(step.take_routes(), Routes::default());
        let mut late = Delta::default();
        late.routes[1] = (5, 5);
        step.add(&late, 2);
        assert_eq!(step.take_routes()[1], (2, 2));
    }

    #[test]
    fn a_fault_that_hits_everybody_fills_no_memory() {
        let mut step = Step::default();
        for key in 0..10_000 {
            step.add(&delta(key, 1), 2);
        }
        assert!(step.errors.len() <= REMEMBERED);
        let before = step.take_routes();
        assert_eq!(before[1], (20_000, 10_000), "nobody is beyond the cap");
        step.add(&delta(77_777, 9), 2);
        assert_eq!(step.take_routes()[1], (3, 2));
    }
}
