//! What a live judge was given, written as lines and read back, gives its verdicts to the last bit.

use proptest::prelude::*;
use serde_json::Value;

use super::super::settings::{Attention, Mode, Settings};
use super::super::tests::{baseline, bucket, edges};
use super::*;

/// One verdict as a line gives it.
type Line = (String, u64, String, Option<u64>);

fn live(verdict: &Verdict) -> Line {
    let ruling = serde_json::to_value(verdict.ruling).expect("plain data");
    let limit = verdict.evidence.inflight_limit_ms.map(f64::to_bits);
    let ruling = ruling.as_str().expect("a ruling is a word").into();
    (ruling, verdict.evidence.log_e.to_bits(), verdict.reason.clone(), limit)
}

#[track_caller]
fn replayed(session: &mut Session, line: &str) -> Line {
    let answer = session.line(line).expect("an answer");
    let json: Value = serde_json::from_str(&answer).expect("a line of JSON");
    let text = |name: &str| {
        let text = json[name].as_str();
        text.unwrap_or_else(|| panic!("{answer} to {line}")).to_string()
    };
    let bits = |name: &str| json[name].as_f64().map(f64::to_bits);
    let log_e = bits("log_e").expect("evidence is a number");
    (text("verdict"), log_e, text("why"), bits("inflight_limit_ms"))
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..40_u64, 1 => Just(0), 1 => 0..100_000_u64]
}

fn interval() -> impl Strategy<Value = Interval> {
    let slow = bucket(400.0);
    let buckets = || prop::collection::btree_map(0..slow, count(), 0..5);
    let keys = prop::collection::vec((any::<u64>(), 0..9_u64), 0..4);
    let counts = (count(), 0..12_u64, 0..3_u64, 0..50_u64, prop::bool::weighted(0.97));
    (counts, buckets(), buckets(), keys).prop_map(|(counts, successes, aborts, error_keys)| {
        let (n, errors, inflight_slow, distinct_keys, healthy) = counts;
        let (successes, aborts) = (successes.into_iter().collect(), aborts.into_iter().collect());
        Interval { n, errors, successes, aborts, inflight_slow, error_keys, distinct_keys, healthy }
    })
}

/// A tick without its time, and whether the step is begun anew before it.
fn any_tick() -> impl Strategy<Value = (Tick, bool)> {
    let counts = || (count(), 0..5_u64);
    let routes = prop::collection::vec(("[a-d\"é]", counts(), counts()), 0..4);
    let resources = prop::collection::vec((0.0..2.0, 0.0..3.0), 0..2);
    let odd = (0.0..0.6, 0..8_usize, prop::bool::weighted(0.01), prop::bool::weighted(0.05));
    (odd, interval(), interval(), routes, resources).prop_map(
        |((dt_s, step, over_limit, restart), stable, canary, routes, mut resources)| {
            resources.extend((step == 7).then_some((f64::NAN, 1.0)));
            let step = if step == 6 { usize::MAX } else { step.min(3) };
            let routes = routes
                .into_iter()
                .map(|(name, stable, canary)| RouteInterval { name, stable, canary })
                .collect();
            let t_s = 0.0;
            let tick = Tick { t_s, dt_s, step, stable, canary, routes, resources, over_limit };
            (tick, restart)
        },
    )
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0 / 3.0), 0.0001..0.3]
}

/// Settings that a checked configuration could hold, none of them the default.
fn any_settings() -> impl Strategy<Value = Settings> {
    let mode = prop::sample::select(vec![Mode::Sequential, Mode::Sequential, Mode::Threshold]);
    let max_harm = prop::option::of(5.0..500.0);
    let whole = (1..9_u64, 1..5_usize, 1..50_u32);
    let shares = prop::array::uniform7(share());
    (mode, shares, prop::array::uniform9(1.01..6.0), max_harm, whole).prop_map(
        |(mode, shares, ratios, max_harm, (key_cap, max_routes, horizon_slices))| Settings {
            mode,
            alpha: shares[0],
            error_ratio: ratios[0],
            error_margin: shares[1],
            latency_ratio: ratios[1],
            levels: vec![0.25, shares[2].max(0.3), 0.95],
            attention: Attention {
                errors: shares[3],
                routes: 0.125,
                resources: 0.1,
                latency: vec![0.1, 0.05, 0.2],
            },
            error_grid: vec![ratios[2], 7.0],
            latency_grid: vec![ratios[3]],
            slice_s: shares[4],
            cap: ratios[4],
            warm_s: ratios[5],
            warm_margin: ratios[6],
            reference_half_life_s: 10.0 * ratios[7],
            alpha_advance: shares[5],
            harm: shares[6] / 7.0,
            advance_floor: shares[0] / 3.0,
            advance_ratio: ratios[8],
            advance_latency_factor: ratios[0] + 0.1,
            advance_grid: vec![0.0, shares[1]],
            suspicion: ratios[2] / 3.0,
            key_cap,
            max_routes,
            horizon_slices,
            inject_start: shares[2],
            inject_steps: shares[3],
            inject_slices: shares[4],
            resource_margin: shares[5],
            resource_block_s: ratios[1],
            resource_grid: vec![shares[6]],
            stable_dead: 3.0 * shares[2].min(0.3),
            max_harm,
        },
    )
}

fn any_rules() -> impl Strategy<Value = Vec<StepRule>> {
    let hold_s = prop_oneof![0.0..3.0, Just(f64::MAX)];
    let requests = prop_oneof![0..200_u64, Just(u64::MAX)];
    let rule = (0.0..=1.0, requests, hold_s);
    let rule = rule.prop_map(|(weight, requests, hold_s)| StepRule { weight, requests, hold_s });
    prop::collection::vec(rule, 1..4)
}

fn any_purpose() -> impl Strategy<Value = Purpose> {
    prop::sample::select(vec![Purpose::Canary, Purpose::BlueGreen, Purpose::Watch])
}

fn any_objectives() -> impl Strategy<Value = Objectives> {
    let limits = (prop::option::of(0.001..0.2), prop::option::of(1.0..90.0));
    limits.prop_map(|(error_rate, p99_ms)| Objectives { error_rate, p99_ms })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_recorded_rollout_is_replayed_to_the_last_bit(
        settings in any_settings(),
        rules in any_rules(),
        purpose in any_purpose(),
        objectives in any_objectives(),
        ticks in prop::collection::vec(any_tick(), 1..50),
        stop in 0..50_usize,
    ) {
        let line = init_line(&settings, &rules, purpose, &objectives, &edges(), &baseline());
        let mut judge = Judge::new(settings, rules, purpose, edges(), &baseline())
            .with_objectives(objectives);
        let mut session = Session::default();
        prop_assert_eq!(replayed(&mut session, &line), live(judge.verdict()));
        let mut t_s = 0.0;
        for (at, (tick, restart)) in ticks.iter().enumerate() {
            t_s += tick.dt_s;
            let tick = Tick { t_s, ..tick.clone() };
            if at == stop {
                session = Session::default();
                let line = resume_line(&judge);
                prop_assert_eq!(replayed(&mut session, &line), live(judge.verdict()));
            }
            if *restart {
                judge.restart_step();
                prop_assert_eq!(session.line(RESTART_STEP), None);
            }
            let verdict = judge.tick(&tick);
            let line = tick_line(&tick, 0.05);
            prop_assert_eq!(replayed(&mut session, &line), live(&verdict), "tick {}", at);
        }
        let replay = session.replay.expect("there was an init");
        let same = resume_line(&replay.judge) == resume_line(&judge);
        prop_assert!(same, "the whole state");
    }
}

#[test]
fn a_line_holds_what_there_is_and_nothing_else() {
    let quiet = Interval { n: 3, successes: vec![(4, 3)], healthy: true, ..Interval::default() };
    let tick = Tick { t_s: 0.1, dt_s: 0.1, stable: quiet, ..Tick::default() };
    let want = concat!(
        r#"{"type":"tick","t":0.1,"dt":0.1,"stage":0,"weight":0.05,"#,
        r#""stable":{"n":3,"err":0,"hist":[[4,3]]},"canary":{"n":0,"err":0,"healthy":false}}"#
    );
    assert_eq!(tick_line(&tick, 0.05), want);
}
