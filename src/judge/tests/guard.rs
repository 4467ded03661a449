use super::super::tests::binomial;
use super::*;

fn edges() -> Edges {
    Edges::new((0..200).map(f64::from).collect())
}

/// 1 000 requests before the switch; three in a hundred above 12 ms.
fn guard(objectives: Objectives) -> Guard {
    let mut successes = Histogram::default();
    successes.extend(&[(5, 900), (9, 95), (30, 5)]);
    Guard::new(&(Trials::new(1_010, 10), successes), objectives, &edges(), &Settings::default())
}

fn slice(n: u64, errors: u64, slow: u64) -> PoolSlice {
    let mut slice = PoolSlice { kept: Trials::new(n, errors), ..PoolSlice::default() };
    slice.successes.extend(&[(5, n - errors - slow), (50, slow)]);
    slice
}

#[test]
fn twice_the_baseline_is_tolerated_and_never_less_than_a_floor() {
    let guard = guard(Objectives::default());
    let tolerated: Vec<f64> = guard.watched().map(|watched| watched.tolerated).collect();
    assert_eq!(tolerated, [2.0 * 11.0 / 1_011.0, 0.02]);
    assert_eq!(guard.families[0][1].slow_from, Some(12), "1.2 times the p99 of 10 ms");
    let clean = (Trials::new(100_000, 0), Histogram::default());
    let clean = Guard::new(&clean, Objectives::default(), &edges(), &Settings::default());
    assert_eq!(clean.families[0][0].tolerated, 0.01);
    let empty = (Trials::default(), Histogram::default());
    let blind = Guard::new(&empty, Objectives::default(), &edges(), &Settings::default());
    assert_eq!(blind.families[0][0].tolerated, 2.0, "no baseline, no limit");
    assert_eq!(blind.families[0][1].slow_from, Some(u32::MAX));
}

#[test]
fn a_rate_within_the_limit_pays_no_more_than_it_costs() {
    let grid = Settings::default().error_grid;
    for n in [1, 5, 40] {
        for tolerated in [0.001, 0.01, 0.1, 0.5] {
            let mut mean = vec![0.0; grid.len()];
            for events in 0..=n {
                let chance = binomial(n, events, tolerated);
                let l = log_evidence(Trials::new(n, events), tolerated, &grid);
                mean.iter_mut().zip(l).for_each(|(mean, l)| *mean += chance * l.exp());
            }
            assert!(mean.iter().all(|mean| *mean <= 1.0 + 1e-9), "{n} {tolerated}: {mean:?}");
        }
    }
}

#[test]
fn failures_and_slowness_are_told_apart() {
    let settings = Settings::default();
    let threshold = -settings.alpha.ln();
    let worst = |slice: PoolSlice| {
        let mut guard = guard(Objectives::default());
        for _ in 0..20 {
            guard.test(&slice, None, &settings);
        }
        let worst = guard.watched().max_by(|a, b| a.log_wealth().total_cmp(&b.log_wealth()));
        (worst.map(|worst| worst.name.clone()), guard.log_e() >= threshold)
    };
    assert_eq!(worst(slice(20, 3, 0)), (Some("guard:err".into()), true));
    assert_eq!(worst(slice(20, 0, 4)), (Some("guard:slow".into()), true));
    assert!(!worst(slice(50, 1, 1)).1);
}

#[test]
fn promises_are_kept_beside_the_baseline() {
    let settings = Settings::default();
    let promised = Objectives { error_rate: Some(0.001), p99_ms: Some(8.0) };
    let mut guard = guard(promised);
    let names: Vec<&str> = guard.watched().map(|watched| watched.name.as_str()).collect();
    assert_eq!(names, ["guard:err", "guard:slow", "slo:err", "slo:slow"]);
    for _ in 0..40 {
        guard.test(&slice(100, 1, 0), None, &settings);
    }
    let wealth: Vec<f64> = guard.watched().map(Watched::log_wealth).collect();
    assert!(wealth[0] < 0.0, "1 % is within the baseline's limit: {wealth:?}");
    assert!(wealth[2] > 4.7, "and breaks the promise of 0.1 %: {wealth:?}");
    assert!(guard.log_e() > -settings.alpha.ln());
}

/// A promise of 40 ms says nothing about a request that has taken 13 ms so far.
#[test]
fn what_is_in_flight_below_a_promise_does_not_break_it() {
    let settings = Settings::default();
    let seen = |inflight_from| {
        let mut guard = guard(Objectives { error_rate: None, p99_ms: Some(40.0) });
        let mut counted = PoolSlice { inflight_slow: 7, ..slice(20, 0, 2) };
        counted.successes.extend(&[(20, 5)]);
        counted.counted.extend(&[(20, 5)]);
        guard.test(&counted, inflight_from, &settings);
        let seen: Vec<Trials> = guard.watched().map(|watched| watched.seen).collect();
        (seen[1], seen[2])
    };
    let late = Trials::new(27, 9);
    assert_eq!(seen(Some(13)), (late, Trials::new(25, 2)), "the limit lies between the two");
    assert_eq!(seen(Some(60)), (late, late));
    assert_eq!(seen(None), (late, late));
}
