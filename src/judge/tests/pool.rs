use super::*;

fn failing(keys: impl IntoIterator<Item = (u64, u64)>) -> Interval {
    let error_keys: Vec<(u64, u64)> = keys.into_iter().collect();
    let errors = error_keys.iter().map(|entry| entry.1).sum();
    Interval { n: errors + 10, errors, error_keys, healthy: true, ..Interval::default() }
}

fn observe(pool: &mut Pool, tick: &Interval) -> PoolSlice {
    let mut slice = PoolSlice::default();
    pool.observe(tick, 2, &mut slice);
    slice
}

#[test]
fn a_robot_is_not_many_trials() {
    let mut pool = Pool::default();
    let tick = Interval { distinct_keys: 500, ..failing([(7, 5), (8, 1)]) };
    let slice = observe(&mut pool, &tick);
    assert_eq!(slice.raw, Trials::new(16, 6));
    assert_eq!(slice.kept, Trials::new(13, 3), "three of the robot's errors are beyond its two");
    let slice = observe(&mut pool, &failing([(7, 4)]));
    assert_eq!(slice.kept, Trials::new(10, 0), "its allowance is for the step");
    pool.begin_step();
    let tick = Interval { distinct_keys: 500, ..failing([(7, 4)]) };
    assert_eq!(observe(&mut pool, &tick).kept, Trials::new(12, 2));
}

#[test]
fn few_keys_are_not_capped() {
    let mut pool = Pool::default();
    let tick = Interval { distinct_keys: 19, ..failing([(7, 50)]) };
    assert_eq!(observe(&mut pool, &tick).kept, Trials::new(60, 50));
    assert_eq!(observe(&mut pool, &failing((100..118).map(|key| (key, 1)))).kept.events, 18);
    let twentieth = failing([(7, 1), (200, 1)]);
    assert_eq!(observe(&mut pool, &twentieth).kept.events, 1, "the failing keys are 20 now");
}

/// Keys that fail once must not push a robot out of the list.
#[test]
fn many_keys_do_not_fill_the_memory_nor_hide_a_robot() {
    let mut pool = Pool::default();
    observe(&mut pool, &failing([(u64::MAX, 5)]));
    for round in 0..20 {
        observe(&mut pool, &failing((0..100).map(|key| (round * 100 + key, 1))));
    }
    assert!(pool.keys.errors.len() <= Keys::REMEMBERED);
    assert_eq!(observe(&mut pool, &failing([(u64::MAX, 5)])).kept.events, 0);
    for robot in 0..2_000 {
        observe(&mut pool, &failing([(robot, 9)]));
    }
    assert!(pool.keys.errors.len() <= Keys::REMEMBERED);
}

#[test]
fn a_request_that_was_counted_in_flight_is_not_counted_again() {
    let mut pool = Pool::default();
    let slow = Interval { inflight_slow: 3, ..Interval::default() };
    assert_eq!(observe(&mut pool, &slow).slow(40, 40), Trials::new(3, 3));
    pool.remember(3, Some(40));
    let done = Interval {
        n: 12,
        successes: vec![(10, 10), (45, 2)],
        aborts: vec![(41, 2)],
        ..Interval::default()
    };
    let slice = observe(&mut pool, &done);
    assert_eq!(slice.slow(40, 40), Trials::new(11, 1), "one of two aborts is new");
    assert_eq!(slice.successes.total(), 12, "the reference sees all successes");
    assert_eq!(slice.raw.n, 12);
    let slice = observe(&mut pool, &done);
    assert_eq!(slice.slow(40, 40), Trials::new(14, 4), "nothing is pending any more");
}

#[test]
fn a_restart_forgets_what_was_in_flight() {
    let mut pool = Pool::default();
    pool.remember(3, Some(40));
    pool.forget_in_flight();
    let done = Interval { n: 2, successes: vec![(45, 2)], ..Interval::default() };
    assert_eq!(observe(&mut pool, &done).slow(40, 40), Trials::new(2, 2));
}

#[test]
fn absurd_counts_do_not_panic() {
    let mut pool = Pool::default();
    let absurd = Interval {
        n: 3,
        errors: u64::MAX,
        successes: vec![(u32::MAX, u64::MAX), (0, u64::MAX), (0, 1)],
        aborts: vec![(5, u64::MAX), (1, u64::MAX)],
        inflight_slow: u64::MAX,
        error_keys: vec![(1, u64::MAX), (1, u64::MAX), (2, 3)],
        distinct_keys: u64::MAX,
        healthy: false,
    };
    for _ in 0..3 {
        let slice = observe(&mut pool, &absurd);
        pool.remember(u64::MAX, Some(0));
        assert_eq!(slice.raw, Trials::new(3, 3));
        assert!(slice.slow(0, 0).events <= slice.slow(0, 0).n);
    }
}
