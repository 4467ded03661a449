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
    let mut tick = tick(i, step, stable, canary);
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
    for stop in [0, 3, 250, 401, 1_000, 1_210] {
        let mut judge = judge(Settings::default());
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
