use super::super::slice::PoolSlice;
use super::super::tests::{assert_close, binomial, pair};
use super::super::wealth::log_mean_exp;
use super::*;

fn grid() -> Vec<f64> {
    Settings::default().latency_grid
}

#[test]
fn evidence_equals_the_reference_vectors() {
    let l = log_evidence(pair(990, 495, 10, 9), &grid());
    assert_close(&l, &[0.529071, 1.076352, 1.753889, 2.616232, 3.369908, 3.610544, 2.919857]);
    assert_close(&[log_mean_exp(&l)], &[2.742617]);
    let tail = log_evidence(pair(9_900, 99, 100, 6), &grid());
    assert_close(&[log_mean_exp(&tail)], &[4.078913]);
    let same = log_evidence(pair(7_500, 75, 2_500, 15), &grid());
    assert_close(&[log_mean_exp(&same)], &[-3.009957]);
}

#[test]
fn a_canary_as_fast_as_stable_pays_no_more_than_it_costs() {
    for (n_s, n_c) in [(1, 1), (30, 2), (12, 12), (3, 20)] {
        for p in [0.001, 0.01, 0.1, 0.5, 0.9] {
            let mut mean = vec![0.0; grid().len()];
            for x_s in 0..=n_s {
                for x_c in 0..=n_c {
                    let chance = binomial(n_s, x_s, p) * binomial(n_c, x_c, p);
                    let l = log_evidence(pair(n_s, x_s, n_c, x_c), &grid());
                    mean.iter_mut().zip(l).for_each(|(mean, l)| *mean += chance * l.exp());
                }
            }
            for (mean, r) in mean.iter().zip(grid()) {
                assert!(*mean <= 1.0 + 1e-9, "{n_s} {n_c} {p} r {r}: {mean}");
            }
        }
    }
}

/// Buckets of 1 ms; the stable pool answers in bucket 9, which ends at 10 ms.
fn latency(samples: u64) -> (Latency, Edges, Settings) {
    let edges = Edges::new((0..200).map(f64::from).collect());
    let settings = Settings::default();
    (Latency::new(&settings, &[(9, samples)]), edges, settings)
}

fn successes(buckets: &[(u32, u64)]) -> PoolSlice {
    let mut pool = PoolSlice::default();
    pool.successes.extend(buckets);
    pool
}

fn slice(stable: PoolSlice, canary: PoolSlice) -> Slice {
    let mut slice = Slice::new(0.0);
    slice.stable = stable;
    slice.canary = canary;
    slice
}

#[test]
fn limits_wait_for_fifty_samples() {
    let (few, edges, settings) = latency(49);
    assert_eq!(few.limit(0.5, 0.0, &edges, &settings), None);
    assert!(!few.has_reference());
    let (enough, edges, settings) = latency(50);
    assert!(enough.limit(0.5, 0.0, &edges, &settings).is_some());
}

#[test]
fn a_cold_canary_is_excused_for_thirty_seconds_after_its_first_answer() {
    let (mut latency, edges, settings) = latency(100);
    let slow_ms = |latency: &Latency, now_s| {
        latency.limit(0.99, now_s, &edges, &settings).map(|limit| limit.slow_ms)
    };
    assert_eq!(slow_ms(&latency, 500.0), Some(40.0), "nothing answered yet");
    latency.canary_seen(10.0);
    latency.canary_seen(20.0);
    assert_eq!(slow_ms(&latency, 39.75), Some(40.0));
    assert_eq!(slow_ms(&latency, 40.0), Some(12.0));
}

#[test]
fn the_limits_are_the_edges_above_the_quantile() {
    let (mut latency, edges, settings) = latency(100);
    latency.canary_seen(0.0);
    let want = Limit { b_ms: 10.0, slow_ms: 12.0, stable_from: 10, canary_from: 12 };
    assert_eq!(latency.limit(0.99, 60.0, &edges, &settings), Some(want));
    let beyond = Limit::new(198, 1.2, &edges);
    assert_eq!(beyond.canary_from, u32::MAX, "no edge is large enough");
}

#[test]
fn slow_requests_count_by_their_own_pools_limit() {
    let (mut latency, edges, settings) = latency(100);
    latency.canary_seen(0.0);
    let stable = successes(&[(9, 50), (10, 3)]);
    let canary = successes(&[(9, 5), (11, 2), (12, 1)]);
    let advance = latency.test(&slice(stable, canary), 60.0, &edges, &settings);
    assert_eq!(advance, Some(pair(53, 3, 8, 1)));
    assert!(latency.levels.iter().all(|level| level.step == pair(53, 3, 8, 1)));
}

#[test]
fn aborts_count_where_they_waited_long_enough() {
    let (mut latency, edges, settings) = latency(100);
    latency.canary_seen(0.0);
    let mut stable = successes(&[(9, 50)]);
    stable.aborts.extend(&[(3, 7), (10, 2)]);
    let mut canary = successes(&[(9, 5)]);
    canary.aborts.extend(&[(3, 7), (10, 1), (20, 1)]);
    let advance = latency.test(&slice(stable, canary), 60.0, &edges, &settings);
    assert_eq!(latency.levels[0].step, pair(52, 2, 6, 1));
    assert_eq!(advance, Some(pair(52, 2, 7, 2)), "an abort above b is slow when advancing");
}

#[test]
fn requests_in_flight_count_at_every_level() {
    let (mut latency, edges, settings) = latency(100);
    latency.canary_seen(0.0);
    let stable = PoolSlice { inflight_slow: 1, ..successes(&[(9, 50)]) };
    let canary = PoolSlice { inflight_slow: 4, ..PoolSlice::default() };
    latency.test(&slice(stable, canary), 60.0, &edges, &settings);
    assert!(latency.levels.iter().all(|level| level.step == pair(51, 1, 4, 4)));
}

#[test]
fn warming_up_proves_nothing() {
    let (mut latency, edges, settings) = latency(100);
    latency.canary_seen(0.0);
    let tick = slice(successes(&[(9, 50)]), successes(&[(9, 5)]));
    assert_eq!(latency.test(&tick, 29.0, &edges, &settings), None);
    assert!(latency.test(&tick, 30.0, &edges, &settings).is_some());
}

#[test]
fn a_pool_without_answers_is_not_tested() {
    let (mut latency, edges, settings) = latency(100);
    let before = latency.levels[0].process.log_wealth();
    let canary = PoolSlice::default();
    assert_eq!(latency.test(&slice(successes(&[(9, 9)]), canary), 60.0, &edges, &settings), None);
    assert_eq!(latency.levels[0].process.log_wealth(), before);
}

#[test]
fn the_reference_halves_every_two_minutes_but_not_at_the_first_close() {
    let (mut latency, ..) = latency(100);
    let mut fresh = Histogram::default();
    fresh.add(20, 10);
    latency.learn(&fresh, 500.0, 120.0);
    assert_eq!(latency.reference.total(), 110.0);
    latency.learn(&fresh, 620.0, 120.0);
    assert_eq!(latency.reference.total(), 65.0);
}

#[test]
fn levels_are_named_as_people_write_them() {
    let names: Vec<String> = Settings::default().levels.into_iter().map(level_name).collect();
    assert_eq!(names, ["p50", "p90", "p99", "p99.9"]);
    assert_eq!(nearest(&[0.5, 0.9, 0.999], 0.99), Some(2));
    assert_eq!(nearest(&[], 0.99), None);
}
