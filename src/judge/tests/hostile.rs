//! No input makes the judge panic, and none poisons its state.

use proptest::prelude::*;

use super::*;

fn number() -> impl Strategy<Value = f64> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 0.0, -0.0, -1.0];
    prop_oneof![prop::sample::select(odd.to_vec()), any::<f64>(), 0.0..100.0]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..50_u64, any::<u64>()]
}

fn interval() -> impl Strategy<Value = Interval> {
    let buckets = || prop::collection::vec((any::<u32>(), count()), 0..4);
    let keys = prop::collection::vec((0..30_u64, count()), 0..4);
    let counts = (count(), count(), count(), count(), any::<bool>());
    (counts, buckets(), buckets(), keys).prop_map(|(counts, successes, aborts, error_keys)| {
        let (n, errors, inflight_slow, distinct_keys, healthy) = counts;
        Interval { n, errors, successes, aborts, inflight_slow, error_keys, distinct_keys, healthy }
    })
}

fn hostile_tick() -> impl Strategy<Value = Tick> {
    let counts = || (count(), count());
    let routes = prop::collection::vec(("[a-c]", counts(), counts()), 0..3);
    let resources = prop::collection::vec((number(), number()), 0..3);
    let time = (number(), number(), 0..5_usize, any::<bool>());
    (time, interval(), interval(), routes, resources).prop_map(
        |((t_s, dt_s, step, over_limit), stable, canary, routes, resources)| {
            let routes = routes.into_iter();
            let routes =
                routes.map(|(name, stable, canary)| RouteInterval { name, stable, canary });
            let routes = routes.collect();
            Tick { t_s, dt_s, step, stable, canary, routes, resources, over_limit }
        },
    )
}

fn numbers(evidence: &Evidence) -> Vec<f64> {
    let mut numbers = vec![evidence.log_e, evidence.threshold, evidence.excess, evidence.step_s];
    numbers.extend(evidence.by_name.iter().map(|(_, log_e)| log_e));
    numbers.extend(evidence.advance_errors);
    numbers.extend(evidence.advance_latency);
    numbers.extend(evidence.inflight_limit_ms);
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_ticks_are_survived(ticks in prop::collection::vec(hostile_tick(), 1..20)) {
        for mode in [Mode::Sequential, Mode::Threshold] {
            let settings = Settings { mode, max_harm: Some(20.0), ..Settings::default() };
            let mut judge = judge(settings);
            for tick in &ticks {
                let verdict = judge.tick(tick);
                prop_assert!(numbers(&verdict.evidence).iter().all(|x| x.is_finite()));
                let text = serde_json::to_string(&judge).expect("plain data");
                judge = serde_json::from_str(&text).expect("own text");
            }
        }
    }

    /// What is no number changes nothing that is one.
    #[test]
    fn a_failing_canary_is_seen_after_any_clock(times in prop::collection::vec((number(), number()), 1..20)) {
        let mut judge = judge(Settings::default());
        for (t_s, dt_s) in times {
            let quiet = Tick { t_s, dt_s, resources: vec![(dt_s, t_s)], ..Tick::default() };
            let healthy = Interval { healthy: true, ..Interval::default() };
            judge.tick(&Tick { stable: healthy.clone(), canary: healthy, ..quiet });
        }
        let (verdict, ticks) = run(&mut judge, 0, 12, |tick| tick.canary = pool(10, 10, 10.0));
        prop_assert_eq!(verdict.ruling, Ruling::Rollback);
        prop_assert!(ticks <= 8, "{}", ticks);
    }
}

#[test]
fn absurd_settings_are_survived() {
    let empty = Settings {
        levels: vec![],
        error_grid: vec![],
        latency_grid: vec![],
        advance_grid: vec![],
        resource_grid: vec![],
        max_routes: 0,
        horizon_slices: 0,
        ..Settings::default()
    };
    let nan = f64::NAN;
    let wild = Settings {
        alpha: nan,
        error_ratio: 0.0,
        error_margin: nan,
        latency_ratio: f64::INFINITY,
        levels: vec![nan, 2.0, -1.0],
        slice_s: nan,
        cap: nan,
        reference_half_life_s: 0.0,
        ..Settings::default()
    };
    for settings in [empty, wild] {
        let mut judge = Judge::new(settings, vec![], Purpose::Canary, vec![], &baseline());
        let (verdict, _) = run(&mut judge, 0, 20, |tick| tick.step = 0);
        assert_eq!(verdict.reason, "guard", "a plan without steps is all guard");
        let rule = StepRule { weight: nan, requests: 1, hold_s: nan };
        let settings = judge.settings.clone();
        let edges = vec![3.0, 2.0, nan, 1.0];
        let mut judge = Judge::new(settings, vec![rule], Purpose::Canary, edges, &baseline());
        run(&mut judge, 0, 200, |tick| tick.resources = vec![(nan, 1.0), (1.0, -1.0), (0.0, 1.0)]);
        assert!(numbers(&judge.verdict().evidence).iter().all(|x| x.is_finite()));
    }
}
