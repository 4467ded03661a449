//! Purposes other than a canary, the guard, and the textbook rule.

use super::*;

fn threshold() -> Settings {
    Settings { mode: Mode::Threshold, ..Settings::default() }
}

#[test]
fn blue_green_needs_requests_time_and_no_suspicion() {
    let mut judge = judge_for(Settings::default(), Purpose::BlueGreen);
    let (verdict, ticks) = run(&mut judge, 0, 100, |_| ());
    assert_eq!((verdict.ruling, ticks), (Ruling::Advance, 40), "{}", verdict.words);
    assert_eq!(verdict.evidence.advance_errors, None);
    let mut judge = judge_for(Settings::default(), Purpose::BlueGreen);
    run(&mut judge, 0, 38, |_| ());
    let (verdict, _) = run(&mut judge, 38, 2, |tick| tick.canary = pool(10, 10, 10.0));
    assert_eq!(verdict.reason, "suspicion");
}

#[test]
fn a_share_set_by_hand_never_advances() {
    let mut judge = judge_for(Settings::default(), Purpose::Watch);
    let (verdict, ticks) = run(&mut judge, 0, 400, |_| ());
    assert_eq!((verdict.ruling, verdict.reason.as_str(), ticks), (Ruling::Hold, "watch", 400));
    assert!(verdict.words.starts_with("watching: evidence -"), "{}", verdict.words);
    let (verdict, ticks) = run(&mut judge, 400, 9, |tick| tick.canary = pool(10, 4, 10.0));
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Rollback, "err"));
    assert!(ticks <= 5, "{ticks}");
}

/// A rollout at 100 % after 15 s of steps with 1 % of errors.
fn guarded(objectives: Objectives) -> Judge {
    let mut judge = judge(Settings::default()).with_objectives(objectives);
    let half_percent = |tick: &mut Tick| {
        tick.stable = pool(190, 2, 10.0);
        tick.canary = pool(10, 0, 10.0);
    };
    assert_eq!(run(&mut judge, 0, 60, half_percent).0.ruling, Ruling::Hold);
    judge
}

fn alone(canary: Interval) -> impl Fn(&mut Tick) {
    move |tick| (tick.step, tick.stable, tick.canary) = (3, pool(0, 0, 10.0), canary.clone())
}

#[test]
fn the_guard_watches_a_canary_alone() {
    let mut judge = guarded(Objectives::default());
    let (verdict, _) = run(&mut judge, 60, 200, alone(pool(200, 2, 10.0)));
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Hold, "guard"));
    assert!(verdict.words.starts_with("watching at 100 %: evidence -"), "{}", verdict.words);
    let names: Vec<&str> = verdict.evidence.by_name.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["guard:err", "guard:slow"]);
    let (verdict, _) = run(&mut judge, 260, 40, alone(pool(200, 40, 10.0)));
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Rollback, "guard:err"));
    let want = "errors at 100 %: ";
    assert!(verdict.words.starts_with(want), "{}", verdict.words);
}

#[test]
fn the_guard_acts_on_each_kind_of_fault() {
    type Row = (&'static str, Objectives, Interval);
    let none = Objectives::default();
    let hung = Interval { inflight_slow: 20, ..pool(180, 0, 10.0) };
    let table: [Row; 6] = [
        ("guard:err", none, pool(200, 40, 10.0)),
        ("guard:slow", none, pool(200, 0, 30.0)),
        ("guard:slow", none, hung),
        ("empty", none, Interval { healthy: false, ..pool(200, 0, 10.0) }),
        ("slo:err", Objectives { error_rate: Some(0.001), p99_ms: None }, pool(200, 2, 10.0)),
        ("slo:slow", Objectives { error_rate: None, p99_ms: Some(5.0) }, pool(200, 0, 10.0)),
    ];
    for (reason, objectives, canary) in table {
        let (verdict, _) = run(&mut guarded(objectives), 60, 40, alone(canary));
        let said = (verdict.ruling, verdict.reason.as_str());
        assert_eq!(said, (Ruling::Rollback, reason), "{}", verdict.words);
    }
    let (verdict, _) = run(&mut guarded(none), 60, 1, |tick| {
        alone(pool(200, 0, 10.0))(tick);
        tick.over_limit = true;
    });
    assert_eq!(verdict.reason, "limit");
    let (verdict, _) = run(&mut guarded(none), 60, 40, |tick| {
        alone(pool(200, 100, 10.0))(tick);
        tick.stable.healthy = false;
    });
    assert_eq!(verdict.reason, "both-bad", "the previous pool must be able to take it back");
}

#[test]
fn a_restart_keeps_the_guards_evidence() {
    let mut judge = guarded(Objectives::default());
    let failing = alone(pool(200, 8, 10.0));
    run(&mut judge, 60, 3, &failing);
    let before = judge.verdict().evidence.by_name.clone();
    judge.restart_step();
    run(&mut judge, 63, 1, alone(pool(0, 0, 10.0)));
    assert_eq!(judge.verdict().evidence.by_name, before);
}

/// The textbook rule looks once, at the end of the step.
#[test]
fn the_textbook_rule_rolls_back_advances_or_holds() {
    type Change = fn(&mut Tick);
    let table: [(Change, Ruling, &str, &str); 7] = [
        (|_| (), Ruling::Advance, "advance", "the step has shown what it had to show"),
        (
            |tick| (tick.stable, tick.canary) = (pool(200, 10, 10.0), pool(10, 1, 10.0)),
            Ruling::Rollback,
            "threshold:err",
            "errors: canary 10.0 %, stable 5.0 %; more than 1.5 times",
        ),
        (
            |tick| tick.canary = pool(10, 0, 20.0),
            Ruling::Rollback,
            "threshold:p99",
            "p99: canary 20 ms, stable 10 ms; more than 1.2 times",
        ),
        (|tick| tick.canary = pool(2, 0, 10.0), Ruling::Hold, "requests", "80 of 100 requests"),
        (
            |tick| tick.stable = pool(0, 0, 10.0),
            Ruling::Hold,
            "missing",
            "no stable requests in this step to compare with",
        ),
        (
            |tick| tick.canary.successes.clear(),
            Ruling::Hold,
            "missing",
            "no successful canary requests to time",
        ),
        (
            |tick| tick.stable.successes.clear(),
            Ruling::Hold,
            "missing",
            "no successful stable requests to time",
        ),
    ];
    for (change, ruling, reason, words) in table {
        let mut judge = judge(threshold());
        let (verdict, ticks) = run(&mut judge, 0, 40, change);
        let said = (verdict.ruling, verdict.reason.as_str(), verdict.words.as_str());
        assert_eq!(said, (ruling, reason, words));
        assert_eq!(ticks, 40, "never before the end of the step");
    }
}

#[test]
fn the_textbook_rule_compares_within_the_step() {
    let mut judge = judge(threshold());
    run(&mut judge, 0, 39, |tick| tick.canary = pool(10, 5, 10.0));
    let (verdict, ticks) = run(&mut judge, 39, 45, |tick| tick.step = 1);
    assert_eq!((verdict.ruling, ticks), (Ruling::Advance, 40), "errors of step 0 are gone");
    let (verdict, _) = run(&mut judge, 84, 1, |tick| (tick.step, tick.over_limit) = (2, true));
    assert_eq!(verdict.reason, "limit", "a hard limit waits for no step to end");
}

#[test]
fn the_textbook_rule_looks_at_a_share_set_by_hand_again_and_again() {
    let mut judge = judge_for(threshold(), Purpose::Watch);
    let (verdict, ticks) = run(&mut judge, 0, 100, |_| ());
    assert_eq!((verdict.ruling, ticks), (Ruling::Hold, 100));
    let (verdict, _) = run(&mut judge, 100, 100, |tick| tick.canary = pool(10, 1, 10.0));
    assert_eq!(verdict.reason, "threshold:err");
}

#[test]
fn only_so_many_routes_are_tested_and_unused_slots_weigh_nothing() {
    let settings = Settings { max_routes: 2, ..Settings::default() };
    let mut judge = judge(settings);
    let without = judge.verdict().evidence.log_e;
    let want = (0.9 * 0.5_f64).ln();
    assert!((without - want).abs() < 1e-12, "the routes' tenth is not there yet: {without}");
    let route = |name: &str| RouteInterval { name: name.into(), stable: (9, 0), canary: (1, 0) };
    run(&mut judge, 0, 1, |tick| {
        tick.canary = pool(0, 0, 10.0);
        tick.routes = ["/a", "/b", "/c"].map(route).to_vec();
    });
    let with = judge.verdict().evidence.log_e;
    assert!((with - 0.5_f64.ln()).abs() < 1e-12, "two routes share the tenth: {with}");
    let names: Vec<&str> =
        judge.verdict().evidence.by_name.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["err", "p50", "p90", "p99", "p99.9", "route:/a", "route:/b", "res"]);
}

#[test]
fn a_route_waits_until_both_pools_were_asked_for_it() {
    let mut judge = judge(Settings::default());
    let evidence = |judge: &Judge| judge.verdict().evidence.by_name[5].1;
    let ask = |stable, canary| {
        move |tick: &mut Tick| {
            tick.routes = vec![RouteInterval { name: "/a".into(), stable, canary }];
        }
    };
    run(&mut judge, 0, 1, ask((5, 0), (0, 0)));
    let first = evidence(&judge);
    run(&mut judge, 1, 1, ask((5, 0), (0, 0)));
    let injected = (first.exp() + 0.25 / 20_000.0).ln();
    assert!((evidence(&judge) - injected).abs() < 1e-12, "not tested yet");
    run(&mut judge, 2, 1, ask((0, 0), (1, 1)));
    assert!(evidence(&judge) > first + 1.0, "tested with all it waited for");
    let tested = evidence(&judge);
    run(&mut judge, 3, 1, ask((0, 0), (1, 1)));
    assert!((evidence(&judge) - tested).abs() < 1e-3, "its counts were cleared");
}
