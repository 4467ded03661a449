//! What is counted by key and by route.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Whatever was drained, put together.
#[derive(Debug, Default, Eq, PartialEq)]
struct Sum {
    n: u64,
    errors: u64,
    routes: [(u64, u64); ROUTES_MAX],
    error_keys: BTreeMap<u64, u64>,
    route_errors: BTreeMap<(u8, u64), u64>,
    keys_seen: [u64; 4],
}

impl Sum {
    fn drain(&mut self, drain: &mut Drain) {
        for (_, delta) in drained(drain) {
            self.n += delta.interval.n;
            self.errors += delta.interval.errors;
            for (sum, new) in self.routes.iter_mut().zip(delta.routes) {
                assert!(new.1 <= new.0, "more errors than attempts: {new:?}");
                *sum = (sum.0 + new.0, sum.1 + new.1);
            }
            let keys = delta.interval.error_keys;
            assert!(keys.windows(2).all(|pair| pair[0].0 < pair[1].0), "not merged: {keys:?}");
            for (key, errors) in keys {
                *self.error_keys.entry(key).or_default() += errors;
            }
            for RouteErrors { route, key, errors } in delta.route_errors {
                *self.route_errors.entry((route, key)).or_default() += errors;
            }
            for (sum, new) in self.keys_seen.iter_mut().zip(delta.keys_seen) {
                *sum |= new;
            }
        }
    }

    fn keys(&self) -> u32 {
        self.keys_seen.iter().map(|word| word.count_ones()).sum()
    }
}

fn attempt(key: Option<u64>, route: Option<u8>) -> Attempt {
    Attempt { route, key, ..Attempt::on(slot(5)) }
}

/// One attempt on one of two workers; `drain` comes before it.
#[derive(Clone, Debug)]
struct Step {
    worker: usize,
    key: Option<u64>,
    route: Option<u8>,
    outcome: Outcome,
    drain: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // So few keys that none has to make room for another.
    let key = proptest::option::of((0..4_u64).prop_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let route = proptest::option::of(0..10_u8);
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let step = (0..2_usize, key, route, outcome, proptest::bool::weighted(0.1)).prop_map(
        |(worker, key, route, outcome, drain)| Step { worker, key, route, outcome, drain },
    );
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Two workers and any number of drains between are the same as one list of counts.
    #[test]
    fn what_is_drained_is_what_was_counted(steps in steps()) {
        let (writers, mut drain) = Recorder::split(2);
        let (mut sum, mut want) = (Sum::default(), Sum::default());
        let mut keys = BTreeSet::new();
        for Step { worker, key, route, outcome, drain: drain_first } in steps {
            if drain_first {
                sum.drain(&mut drain);
            }
            writers[worker].attempt(attempt(key, route), outcome, Duration::from_millis(3));
            if outcome != Outcome::BadRequest {
                keys.extend(key.map(|key| key % 256));
            }
            if matches!(outcome.fault(), Some(Fault::Client)) {
                continue;
            }
            let error = u64::from(outcome.is_error());
            want.n += 1;
            want.errors += error;
            if let Some(counts) = route.and_then(|route| want.routes.get_mut(usize::from(route))) {
                *counts = (counts.0 + 1, counts.1 + error);
            }
            if let Some(key) = key.filter(|_| error > 0) {
                *want.error_keys.entry(key).or_default() += 1;
                if let Some(route) = route {
                    *want.route_errors.entry((route, key)).or_default() += 1;
                }
            }
        }
        sum.drain(&mut drain);
        sum.drain(&mut drain);
        prop_assert_eq!(sum.keys() as usize, keys.len());
        want.keys_seen = sum.keys_seen;
        prop_assert_eq!(sum, want);
    }
}

#[test]
fn a_request_without_a_key_is_no_key() {
    let (writers, mut drain) = Recorder::split(1);
    writers[0].attempt(attempt(None, Some(1)), Outcome::ServerError, Duration::ZERO);
    let mut sum = Sum::default();
    sum.drain(&mut drain);
    assert_eq!((sum.n, sum.errors, sum.routes[1]), (1, 1, (1, 1)));
    assert_eq!((sum.keys(), sum.error_keys.len(), sum.route_errors.len()), (0, 0, 0));
}

#[test]
fn a_robot_is_told_from_a_crowd_that_fails_with_it() {
    let (writers, mut drain) = Recorder::split(1);
    let mut sum = Sum::default();
    let mut crowd = 0..;
    for _ in 0..50 {
        for _ in 0..20 {
            writers[0].attempt(attempt(Some(42), None), Outcome::Timeout, Duration::ZERO);
            let user: u64 = crowd.next().unwrap();
            let user = user.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            writers[0].attempt(attempt(Some(user), None), Outcome::Timeout, Duration::ZERO);
        }
        sum.drain(&mut drain);
    }
    assert_eq!(sum.errors, 2_000);
    assert_eq!(sum.error_keys[&42], 1_000, "some of the robot's errors are nobody's");
    // Entries are given to others once they were read: nearly everyone has one.
    let named = sum.error_keys.len();
    assert!((800..=1_001).contains(&named), "{named} of 1001 keys");
    assert!(sum.keys() > 100, "{} keys of 1001", sum.keys());
}

#[test]
fn more_failing_keys_than_there_is_room_for_are_left_out_and_never_mistaken() {
    let (writers, mut drain) = Recorder::split(1);
    for n in 0..10_000_u64 {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writers[0].attempt(attempt(Some(key), None), Outcome::Reset, Duration::ZERO);
    }
    let mut sum = Sum::default();
    sum.drain(&mut drain);
    assert_eq!(sum.errors, 10_000);
    assert!(sum.error_keys.len() <= 64, "{}", sum.error_keys.len());
    assert!(sum.error_keys.values().all(|errors| *errors == 1), "one had another's errors");
}
