use super::*;

fn plan() -> Vec<StepRule> {
    let rule = |(weight, hold_s)| StepRule { weight, requests: 100, hold_s };
    [(0.01, 10.0), (0.05, 50.0), (0.1, 100.0), (0.25, 250.0), (0.5, 300.0)].map(rule).to_vec()
}

fn canary(rps: f64, error_rate: f64) -> Vec<StepForesight> {
    of(&Settings::default(), &plan(), Purpose::Canary, Traffic { rps, error_rate })
}

fn ends(steps: &[StepForesight]) -> Vec<Ends> {
    steps.iter().map(|step| step.ends).collect()
}

#[test]
fn a_step_waits_for_what_comes_last() {
    use Ends::{Errors, Hold, Latency, Requests};
    assert_eq!(ends(&canary(10.0, 0.001)), [Requests, Errors, Errors, Errors, Hold]);
    assert_eq!(ends(&canary(200.0, 0.001)), [Requests, Hold, Hold, Hold, Hold]);
    assert_eq!(ends(&canary(2_000.0, 0.001)), [Latency, Hold, Hold, Hold, Hold]);
    let first = &canary(200.0, 0.001)[0];
    assert_eq!((first.lasts_s, first.canary_requests), (Some(50.0), Some(100.0)));
    let warm = canary(2_000.0, 0.001)[0].lasts_s.expect("it ends");
    assert!((30.0..40.0).contains(&warm), "the warm-up, and a little: {warm}");
}

/// The margin of the advance test: V5 has 80 requests without a failure just short of the proof
/// at a margin of 5 %, and a failure makes it longer.
#[test]
fn the_proof_is_the_advance_tests() {
    let rules = [0.01, 0.05].map(|weight| StepRule { weight, requests: 0, hold_s: 0.0 });
    let settings = Settings { levels: vec![], ..Settings::default() };
    let first = |error_rate| {
        let traffic = Traffic { rps: 100.0, error_rate };
        of(&settings, &rules, Purpose::Canary, traffic)[0].canary_requests.expect("it ends")
    };
    assert!((83.0..85.0).contains(&first(0.0)), "{}", first(0.0));
    assert!(first(0.02) > 100.0, "{}", first(0.02));
    let held = canary(100.0, 0.01)[1].held_error_rate.expect("a canary's step proves");
    assert!((held - (0.0125 + 0.025)).abs() < 1e-12, "{held}");
}

#[test]
fn more_traffic_sees_smaller_faults_in_less_time() {
    for error_rate in [0.0, 0.001, 0.01, 0.05] {
        let rows = [1.0, 10.0, 100.0, 1_000.0, 10_000.0].map(|rps| canary(rps, error_rate));
        for (less, more) in rows.iter().zip(&rows[1..]) {
            for (less, more) in less.iter().zip(more) {
                assert!(more.lasts_s <= less.lasts_s, "{less:?} {more:?}");
                assert!(more.canary_requests >= less.canary_requests, "{less:?} {more:?}");
                let seen = (less.visible_error_rate, more.visible_error_rate);
                let (Some(less_seen), Some(more_seen)) = seen else { panic!("{less:?} {more:?}") };
                // A step that has to wait for its requests may see more than a faster one.
                assert!(more_seen <= 1.3 * less_seen, "{less:?} {more:?}");
                assert!(more_seen > error_rate, "{more:?}");
                assert!(more.failed_if_dead >= less.failed_if_dead, "{less:?} {more:?}");
            }
        }
    }
}

#[test]
fn a_step_that_lasts_or_sees_too_little_says_so() {
    let words = |rps, purpose, settings: &Settings| {
        let traffic = Traffic { rps, error_rate: 0.001 };
        of(settings, &plan(), purpose, traffic)[0].words.clone()
    };
    let default = Settings::default();
    let slow = words(2.0, Purpose::Canary, &default);
    let want = "at 2 requests/s this step lasts 83 min before it can advance; it sees a canary that fails ";
    assert!(slow.starts_with(want), "{slow}");
    assert_eq!(words(0.0, Purpose::Canary, &default), "the canary gets no requests");
    let watched = words(100.0, Purpose::Watch, &default);
    assert!(watched.starts_with("does not end by itself; in an hour it sees "), "{watched}");
    let rare = words(0.01, Purpose::Watch, &default);
    let want = "at 0.01 requests/s an hour is too short to see even a canary that always fails";
    assert_eq!(rare, want);
    let hasty = [StepRule { weight: 0.01, requests: 1, hold_s: 1.0 }];
    let traffic = Traffic { rps: 100.0, error_rate: 0.001 };
    let hasty = of(&default, &hasty, Purpose::BlueGreen, traffic);
    let want = "at 100 requests/s it cannot see even a canary that always fails in its 1 s";
    assert_eq!(hasty[0].words, want);
    assert_eq!((hasty[0].held_error_rate, hasty[0].visible_error_rate), (None, None));
    assert_eq!(hasty[0].failed_if_dead, Some(3.0), "it is found after the step");
}

#[test]
fn blue_green_and_the_textbook_rule_ask_for_no_proof() {
    let rule = [StepRule { weight: 0.01, requests: 20, hold_s: 60.0 }];
    let traffic = Traffic { rps: 100.0, error_rate: 0.01 };
    let step = &of(&Settings::default(), &rule, Purpose::BlueGreen, traffic)[0];
    assert_eq!((step.lasts_s, step.ends), (Some(60.0), Ends::Hold));
    let textbook = Settings { mode: Mode::Threshold, ..Settings::default() };
    let step = &of(&textbook, &rule, Purpose::Canary, traffic)[0];
    assert_eq!((step.lasts_s, step.held_error_rate), (Some(60.0), None));
    let seen = step.visible_error_rate.expect("it sees something");
    assert!((0.015..0.02).contains(&seen), "60 requests, one of which fails: {seen}");
    assert_eq!(step.failed_if_dead, Some(60.0), "it looks once, at the end");
}

#[test]
fn nothing_makes_it_panic_or_say_what_is_no_number() {
    let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 1e300, 0.5, 1.0];
    let absurd = Settings { error_grid: vec![], advance_grid: vec![], ..Settings::default() };
    for settings in [Settings::default(), absurd] {
        for rps in odd {
            for other in odd {
                let rule = StepRule { weight: other, requests: 7, hold_s: other };
                let rules = [rule, StepRule { weight: 0.5, ..rule }];
                let traffic = Traffic { rps, error_rate: other };
                for purpose in [Purpose::Canary, Purpose::BlueGreen, Purpose::Watch] {
                    let steps = of(&settings, &rules, purpose, traffic);
                    assert_eq!(steps.len(), 2);
                    let text = serde_json::to_string(&steps).expect("plain data");
                    let again: Vec<StepForesight> =
                        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                    assert_eq!(again, steps);
                }
            }
        }
    }
}
