//! The sequential rule: what is said, in which order, and why.

use super::*;

/// A good canary, tick by tick: each reason to hold gives way to the next one.
#[test]
fn a_good_canary_advances_once_nothing_is_missing() {
    let mut judge = judge(Settings::default());
    let mut reasons: Vec<(u32, String, String)> = Vec::new();
    let mut count = 0;
    loop {
        let (verdict, _) = run(&mut judge, count, 1, |_| ());
        count += 1;
        if reasons.last().is_none_or(|(_, reason, _)| *reason != verdict.reason) {
            reasons.push((count, verdict.reason, verdict.words));
        }
        if verdict.ruling == Ruling::Advance {
            break;
        }
        assert!(count < 1_000, "{reasons:?}");
    }
    let want = [
        (1, "requests", "10 of 100 requests"),
        (10, "hold", "2 of 10 s"),
        (40, "evidence:err", "error evidence 2.9 of 3.0"),
        (42, "evidence:latency", "latency evidence begins in 20 s, after the warm-up"),
        (141, "advance", "the step has shown what it had to show"),
    ];
    let want = want.map(|(tick, reason, words)| (tick, reason.to_string(), words.to_string()));
    assert_eq!(reasons, want);
}

/// One kind of fault for each row: what is said about it.
#[test]
fn each_fault_is_named() {
    type Change = fn(&mut Tick);
    let table: [(&str, &str, Change); 8] = [
        ("err", "errors: canary ", |tick| tick.canary = pool(10, 4, 10.0)),
        ("p50", "p50: canary ", |tick| {
            tick.stable.successes = vec![(bucket(10.0), 120), (bucket(90.0), 70)];
            tick.canary = pool(10, 0, 100.0);
        }),
        ("p99", "p99: canary ", |tick| {
            tick.stable.successes = vec![(bucket(10.0), 170), (bucket(30.0), 20)];
            tick.canary.successes = vec![(bucket(10.0), 9), (bucket(300.0), 1)];
        }),
        ("route:/pay", "route /pay: canary ", |tick| {
            (tick.stable, tick.canary) = (pool(200, 20, 10.0), pool(20, 3, 10.0));
            tick.routes = vec![
                RouteInterval { name: "/".into(), stable: (190, 20), canary: (19, 2) },
                RouteInterval { name: "/pay".into(), stable: (10, 0), canary: (1, 1) },
            ];
        }),
        ("res", "resources: the canary used over 25.0 % more per request in ", |tick| {
            tick.resources = vec![(1.0, 1.5)];
        }),
        ("limit", "a hard resource limit was broken", |tick| tick.over_limit = true),
        ("empty", "the canary has no healthy endpoint", |tick| tick.canary.healthy = false),
        ("p99.9", "p99.9: canary ", |tick| {
            tick.stable.successes = vec![(bucket(10.0), 185), (bucket(100.0), 5)];
            tick.canary = Interval { inflight_slow: 1, ..pool(10, 0, 10.0) };
        }),
    ];
    for (reason, words, change) in table {
        let levels = if reason == "p99.9" { vec![0.999] } else { vec![0.5, 0.9, 0.99, 0.999] };
        let settings = Settings { levels, ..Settings::default() };
        let mut judge = judge(settings);
        let (verdict, ticks) = run(&mut judge, 0, 200, change);
        assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Rollback, reason));
        assert!(verdict.words.starts_with(words), "{reason}: {}", verdict.words);
        let by_name = &verdict.evidence.by_name;
        if let Some((_, log_e)) = by_name.iter().find(|(name, _)| name == reason) {
            assert!(*log_e > verdict.evidence.threshold, "{reason} after {ticks}: {by_name:?}");
        }
    }
}

#[test]
fn the_words_of_a_rollback_give_the_counts() {
    let mut judge = judge(Settings::default());
    let (verdict, ticks) = run(&mut judge, 0, 50, |tick| tick.canary = pool(10, 4, 10.0));
    assert_eq!(ticks, 3, "the cap of 3 nats forgives two slices");
    let want = "errors: canary 12 of 30, stable 0 of 570; evidence ";
    assert!(verdict.words.starts_with(want), "{}", verdict.words);
    assert!(verdict.words.ends_with(" of 4.6"), "{}", verdict.words);
}

#[test]
fn a_canary_that_answers_nothing_is_said_to() {
    let mut judge = judge(Settings::default());
    let (verdict, ticks) = run(&mut judge, 0, 50, |tick| {
        tick.canary = Interval { inflight_slow: 10, healthy: true, ..Interval::default() };
    });
    assert_eq!(verdict.ruling, Ruling::Rollback, "{verdict:?}");
    let count = 10 * ticks;
    let want = format!("canary {count} of {count} above ");
    assert!(verdict.words.contains(&want), "{}", verdict.words);
    let want = format!(" ms ({count} without an answer yet), stable 0 of ");
    assert!(verdict.words.contains(&want), "{}", verdict.words);
}

#[test]
fn a_rollback_stands() {
    let mut judge = judge(Settings::default());
    let (first, ticks) = run(&mut judge, 0, 50, |tick| tick.canary = pool(10, 4, 10.0));
    assert_eq!(first.ruling, Ruling::Rollback);
    for i in ticks..400 {
        let mut good = tick(i, 0, pool(190, 0, 10.0), pool(10, 0, 10.0));
        good.stable.healthy = i % 2 == 0;
        let verdict = judge.tick(&good);
        assert_eq!((verdict.ruling, &verdict.words), (Ruling::Rollback, &first.words));
    }
    assert!(judge.verdict().evidence.log_e < 4.6, "although the evidence has faded");
}

#[test]
fn a_short_stall_of_one_pool_is_forgiven() {
    let mut judge = judge(Settings::default());
    assert_eq!(run(&mut judge, 0, 20, |_| ()).0.ruling, Ruling::Hold);
    let (verdict, _) = run(&mut judge, 20, 2, |tick| tick.canary = pool(10, 10, 10.0));
    assert_eq!(verdict.reason, "suspicion", "{}", verdict.words);
    assert!(verdict.words.contains("a step ends below 1.1"), "{}", verdict.words);
    assert_eq!(run(&mut judge, 22, 40, |_| ()).0.ruling, Ruling::Hold);
}

#[test]
fn nothing_is_rolled_back_onto_a_dead_pool() {
    let mut judge = judge(Settings::default());
    let (verdict, _) = run(&mut judge, 0, 20, |tick| {
        tick.stable.healthy = false;
        tick.canary = pool(10, 10, 10.0);
    });
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Hold, "both-bad"));
    assert!(verdict.alarm);
    assert!(verdict.evidence.log_e > verdict.evidence.threshold, "the evidence goes on");
    let (verdict, ticks) = run(&mut judge, 20, 1, |tick| tick.canary = pool(10, 10, 10.0));
    assert_eq!((verdict.ruling, verdict.reason.as_str(), ticks), (Ruling::Rollback, "err", 1));
}

#[test]
fn a_stable_pool_that_fails_most_requests_is_dead() {
    let mut judge = judge(Settings::default());
    let dead = |errors| {
        move |tick: &mut Tick| {
            (tick.stable, tick.canary) = (pool(30, errors, 10.0), pool(10, 10, 10.0));
            tick.over_limit = true;
        }
    };
    let (verdict, _) = run(&mut judge, 0, 1, dead(16));
    assert_eq!(verdict.reason, "both-bad");
    let want = "the stable pool failed 53.3 % of its requests in the last 10 s; nothing is decided";
    assert_eq!(verdict.words, want);
    let (verdict, _) = run(&mut judge, 1, 1, dead(14));
    assert_eq!(verdict.reason, "limit", "30 of 60 is not above a half");
}

/// Each error of stable counts for the canary, so its outage would prove whatever is asked for.
#[test]
fn beside_a_dead_stable_pool_a_canary_proves_nothing() {
    let proof = |verdict: &Verdict| verdict.evidence.advance_errors.unwrap();
    let dies = |tick: &mut Tick| tick.stable = Interval { healthy: false, ..pool(190, 190, 10.0) };
    let mut judge = judge(Settings::default());
    let before = proof(&run(&mut judge, 0, 8, |_| ()).0);
    assert!(before > 0.3, "{before}");
    let (verdict, _) = run(&mut judge, 8, 4, dies);
    assert_eq!(verdict.reason, "both-bad");
    // A slice that began in the outage, and ends after it.
    let short = |change: &mut Tick| {
        dies(change);
        (change.t_s, change.dt_s) = (change.t_s - 0.15, 0.1);
    };
    run(&mut judge, 12, 1, short);
    let (verdict, _) = run(&mut judge, 12, 1, |tick| tick.dt_s = 0.15);
    assert_eq!((verdict.reason.as_str(), proof(&verdict)), ("hold", 0.0));
    let after = proof(&run(&mut judge, 13, 8, |_| ()).0);
    assert!((after - before).abs() < 1e-9, "{after} is not {before}");
}

#[test]
fn the_harm_budget_does_not_wait_for_proof() {
    let failing = |tick: &mut Tick| {
        (tick.stable, tick.canary) = (pool(190, 19, 10.0), pool(10, 3, 10.0));
    };
    let settings = Settings { alpha: 1e-12, max_harm: Some(20.0), ..Settings::default() };
    let (verdict, ticks) = run(&mut judge(settings.clone()), 0, 50, failing);
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Rollback, "harm"));
    assert_eq!(ticks, 10, "two errors too many each tick");
    let want = "20 errors more than stable's rate explains, of 20 allowed; canary 30 of 100";
    assert!(verdict.words.starts_with(want), "{}", verdict.words);
    let tolerated = |tick: &mut Tick| {
        (tick.stable, tick.canary) = (pool(190, 19, 10.0), pool(100, 12, 10.0));
    };
    let (verdict, _) = run(&mut judge(settings.clone()), 0, 30, tolerated);
    assert!(verdict.evidence.excess > 50.0 && verdict.ruling == Ruling::Hold, "no evidence at all");
    let off = Settings { max_harm: None, ..settings };
    assert_eq!(run(&mut judge(off), 0, 10, failing).0.ruling, Ruling::Hold);
}

#[test]
fn missing_data_never_advances() {
    let alone = |tick: &mut Tick| tick.stable = pool(0, 0, 10.0);
    let (verdict, _) = run(&mut judge(Settings::default()), 0, 400, alone);
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Hold, "evidence:err"));
    assert_eq!(verdict.words, "no stable requests in this step to compare with");
    let untimed = |tick: &mut Tick| {
        tick.stable.successes.clear();
        tick.canary.successes.clear();
    };
    let (verdict, _) = run(&mut judge(Settings::default()), 0, 400, untimed);
    assert_eq!((verdict.ruling, verdict.reason.as_str()), (Ruling::Hold, "evidence:latency"));
}

#[test]
fn a_hung_canary_is_seen_before_its_timeouts() {
    let mut judge = judge(Settings::default());
    assert_eq!(run(&mut judge, 0, 130, |_| ()).0.ruling, Ruling::Hold);
    let limit_ms = judge.verdict().evidence.inflight_limit_ms.expect("there is a reference");
    assert!((12.0..12.5).contains(&limit_ms), "{limit_ms}");
    let (verdict, ticks) = run(&mut judge, 130, 40, |tick| {
        tick.canary = Interval { inflight_slow: 10, healthy: true, ..Interval::default() };
    });
    assert_eq!(verdict.ruling, Ruling::Rollback, "{}", verdict.words);
    assert!(verdict.reason.starts_with('p') && ticks <= 3, "{} {ticks}", verdict.reason);
}

#[test]
fn a_slow_start_is_excused_and_failures_are_not() {
    let mut judge_slow = judge(Settings::default());
    let slow = |tick: &mut Tick| tick.canary = pool(10, 0, 35.0);
    assert_eq!(run(&mut judge_slow, 0, 119, slow).0.ruling, Ruling::Hold);
    let (verdict, ticks) = run(&mut judge_slow, 119, 20, slow);
    assert_eq!(verdict.ruling, Ruling::Rollback);
    assert!(ticks > 1, "at 30 s the first slice is tested at the usual ratio");
    let mut judge_late = judge(Settings::default());
    run(&mut judge_late, 0, 100, |tick| tick.canary = pool(0, 0, 10.0));
    let (verdict, _) = run(&mut judge_late, 100, 119, slow);
    assert_eq!(verdict.ruling, Ruling::Hold, "the excuse begins with the first answer");
    let mut judge_failing = judge(Settings::default());
    let failing = |tick: &mut Tick| tick.canary = pool(10, 5, 35.0);
    assert_eq!(run(&mut judge_failing, 0, 10, failing).0.reason, "err");
}

#[test]
fn a_step_begins_with_nothing_but_the_evidence_against_the_canary() {
    let mut judge = judge(Settings::default());
    run(&mut judge, 0, 60, |_| ());
    let before = judge.verdict().evidence.clone();
    let next = tick(60, 1, pool(150, 0, 10.0), pool(0, 0, 10.0));
    let after = judge.tick(&next).evidence;
    assert_eq!((after.canary_n, after.stable_n, after.step_s), (0, 150, 0.25));
    assert!(after.advance_errors.is_some_and(|log_e| log_e.abs() < 1e-12));
    let injected = before.by_name.iter().zip(&after.by_name).all(|(b, a)| a.1 > b.1);
    assert!(injected, "each process begins once more: {before:?} {after:?}");
    // The open slice with 150 stable requests is dropped: its split is not the next step's.
    let again = judge.tick(&tick(61, 2, pool(0, 0, 10.0), pool(50, 50, 10.0)));
    assert_eq!(again.evidence.by_name.len(), after.by_name.len());
    assert!(again.evidence.excess.abs() < 1e-12, "no slice closed");
}

#[test]
fn a_restart_observes_the_step_anew_and_keeps_the_evidence() {
    let mut judge = judge(Settings::default());
    run(&mut judge, 0, 60, |tick| tick.canary = pool(10, u64::from(tick.t_s < 0.3), 10.0));
    let before = judge.verdict().evidence.clone();
    judge.restart_step();
    let mut empty = tick(60, 0, pool(0, 0, 10.0), pool(0, 0, 10.0));
    let after = judge.tick(&empty).evidence;
    assert_eq!(after.log_e.to_bits(), before.log_e.to_bits(), "no injection, no loss");
    assert_eq!((after.canary_n, after.stable_n, after.step_s), (0, 0, 0.25));
    assert!(after.advance_errors.is_some_and(|log_e| log_e.abs() < 1e-12));
    empty.t_s += 0.25;
    assert_eq!(judge.tick(&empty).evidence.step_s, 0.5);
}

/// How many ticks of a tenth of a second make a slice, and what one waits for.
#[test]
fn slices_close_by_time_and_counts() {
    let mut judge = judge(Settings::default());
    let mut closed = Vec::new();
    for i in 0..12_u32 {
        let canary = if (3..7).contains(&i) { pool(0, 0, 10.0) } else { pool(5, 1, 10.0) };
        let t_s = 0.1 * f64::from(i + 1);
        let tick = Tick { t_s, dt_s: 0.1, ..tick(0, 0, pool(100, 0, 10.0), canary) };
        let before = judge.verdict().evidence.log_e.to_bits();
        if judge.tick(&tick).evidence.log_e.to_bits() != before {
            closed.push(i);
        }
    }
    assert_eq!(closed, [2, 7, 10], "the second slice waits for the canary's first answer");
}

/// All start times together have the wealth of one, whatever the steps do.
#[test]
fn the_stakes_are_spread_over_start_times_and_never_exceed_one() {
    let settings = Settings { horizon_slices: 3, ..Settings::default() };
    let mut judge = judge(settings);
    let wealth = |judge: &Judge| judge.verdict().evidence.by_name[0].1.exp();
    // Slices without a request of the canary pay nothing and cost nothing.
    let mut seen = Vec::new();
    for (i, step) in (0..).zip([0, 0, 0, 0, 0, 1, 0, 1, 2, 2]) {
        let hung = Interval { inflight_slow: 1, healthy: true, ..Interval::default() };
        judge.tick(&tick(i, step, pool(0, 0, 10.0), hung.clone()));
        let mut quiet = tick(i, step, hung.clone(), hung);
        quiet.dt_s = 0.0;
        judge.tick(&quiet);
        seen.push((wealth(&judge) * 1e9).round() / 1e9);
    }
    let third = |slices: u32| ((0.5 + 0.25 * f64::from(slices) / 3.0) * 1e9).round() / 1e9;
    let want = [third(1), third(2), 0.75, 0.75, 0.75, 0.875, 0.875, 0.875, 1.0, 1.0];
    assert_eq!(seen, want);
}
