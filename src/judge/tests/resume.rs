//! A judge that was stopped and read back rules as if it had never stopped.

use super::*;

/// A rollout with everything in it, deterministic but not regular.
fn eventful(i: u32) -> Tick {
    let step = usize::try_from(i / 400).expect("small");
    let wave = |period: u32, size: u64| u64::from(i * 7_919 % period) * size / u64::from(period);
    let mut stable = pool(150 + wave(13, 60), wave(17, 4), 10.0);
    let spread = [8.0, 9.3, 11.7, 15.2, 40.0].map(|ms| (bucket(ms), 1 + wave(11, 9)));
    stable.successes.extend(spread);
    let mut canary = pool(4 + wave(7, 20), wave(5, 2), 11.0);
    canary.inflight_slow = wave(97, 2);
    canary.aborts = vec![(bucket(50.0), wave(31, 2))];
    canary.error_keys = vec![(u64::from(i % 29), 1)];
    canary.distinct_keys = u64::from(i % 23);
    stable.inflight_slow = wave(89, 3);
    stable.aborts = vec![(bucket(60.0), wave(37, 3))];
    stable.error_keys = vec![(7, wave(17, 4))];
    let mut tick = tick(i, step, stable, canary);
    // Three ticks to a slice, so that one is open most of the time.
    (tick.t_s, tick.dt_s) = (0.1 * f64::from(i + 1), 0.1);
    tick.routes = ["/", "/a", "/b"]
        .map(|name| RouteInterval { name: name.into(), stable: (20, 1), canary: (2, 0) })
        .to_vec();
    if i % 40 == 39 {
        tick.resources = vec![(1.0 + 0.01 * f64::from(i % 7), 1.0 + 0.05 * f64::from(i % 5))];
    }
    tick
}

#[test]
fn a_resumed_judge_gives_the_same_verdicts_to_the_last_bit() {
    let objectives = Objectives { error_rate: Some(0.05), p99_ms: Some(50.0) };
    let textbook = Settings { mode: Mode::Threshold, ..Settings::default() };
    let careful = Settings { max_harm: Some(1e6), ..Settings::default() };
    let all = [Settings::default(), textbook, careful];
    let stops = [0, 3, 250, 401, 1_000, 1_210].map(|stop| all.iter().map(move |s| (stop, s)));
    for (stop, settings) in stops.into_iter().flatten() {
        let mut judge = judge(settings.clone()).with_objectives(objectives);
        for i in 0..stop {
            judge.tick(&eventful(i));
        }
        let text = serde_json::to_string(&judge).expect("plain data");
        let mut resumed: Judge = serde_json::from_str(&text).expect("own text");
        for i in stop..stop + 300 {
            let (one, other) = (judge.tick(&eventful(i)), resumed.tick(&eventful(i)));
            assert_eq!(one, other, "stopped at {stop}, tick {i}");
            assert_eq!(one.evidence.log_e.to_bits(), other.evidence.log_e.to_bits());
        }
        let one = serde_json::to_string(&judge).expect("plain data");
        let other = serde_json::to_string(&resumed).expect("plain data");
        assert_eq!(one, other, "the whole state, stopped at {stop}");
    }
}

/// What is compared above would prove little if a part of the state had never moved.
#[test]
fn the_eventful_rollout_moves_every_part_of_the_state() {
    let mut judge = judge(Settings::default())
        .with_objectives(Objectives { error_rate: Some(0.05), p99_ms: Some(50.0) });
    let json = |judge: &Judge| serde_json::to_value(judge).expect("plain data");
    let fresh = json(&judge);
    for i in 0..1_199 {
        judge.tick(&eventful(i));
    }
    let before = json(&judge);
    let by_name = &judge.verdict().evidence.by_name;
    let idle: Vec<_> = by_name.iter().filter(|(_, log_e)| (-0.7..=0.0).contains(log_e)).collect();
    assert!(idle.is_empty(), "no bet was made on {idle:?}");
    (1_199..1_210).for_each(|i| drop(judge.tick(&eventful(i))));
    let after = json(&judge);
    let given = ["settings", "steps", "purpose", "objectives", "edges"];
    for (name, value) in fresh.as_object().expect("a judge has fields") {
        let moved = before[name] != *value || after[name] != *value;
        assert_eq!(moved, !given.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_state_is_a_few_kilobytes() {
    let mut judge = judge(Settings::default());
    for i in 0..1_100 {
        judge.tick(&eventful(i));
    }
    let text = serde_json::to_string(&judge).expect("plain data");
    assert!(text.len() < 12_000, "{} bytes", text.len());
}

#[test]
fn a_damaged_state_is_refused() {
    let text = serde_json::to_string(&judge(Settings::default())).expect("plain data");
    let damaged = text.replacen("\"-inf\"", "\"minus\"", 1);
    let damaged = if damaged == text { text.replacen("\"0.0\"", "\"zero\"", 1) } else { damaged };
    let error = serde_json::from_str::<Judge>(&damaged).expect_err("not a number");
    assert!(error.to_string().contains("is not a number"), "{error}");
}
