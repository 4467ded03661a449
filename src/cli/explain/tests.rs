use super::*;
use crate::cli::fixture;

#[test]
fn the_story_of_a_release_on_one_page() {
    let mut rollout = fixture::rollout("rolled_back", None);
    rollout.ended = Some("2026-01-01T00:01:15.2Z".into());
    rollout.gates = fixture::gates();
    rollout.rehearsal = fixture::rehearsal(true);
    let want = "\
shop: release 42, version 42: rolled back
  to        pool green, canary: 1%, 5%, then all
  began     2026-01-01 00:00:00Z by anna: ticket 12
  ended     2026-01-01 00:01:15Z, after 1m15s, by serin
  because   1% passed
  canary    412 requests, 1 failed

Gates
  passed checkout on canary in 35ms: 200 from 2 endpoints
  FAILED schema on stable in 1s200ms: exit status 1
    | checking 14 tables
    | users.email: column is missing

Rehearsal
  rollback armed, 3 ms (2026-01-01 00:00:04Z)

Decisions
  2026-01-01 00:00:00Z  +0s      deploy         0%  r: version 42
      by        anna: ticket 12
  2026-01-01 00:00:05Z  +5s      step           1%  r: the canary is healthy
      by        serin
  2026-01-01 00:01:15Z  +1m15s   step           5%  r: 1% passed
      by        serin
      evidence  0.4 of 4.6: p99 0.4, err -0.2
      step      after 10s: canary failed 1 of 100, stable 3 of 9900

Next
  try it again
";
    assert_eq!(story("shop", &rollout, &["try it again".into()]), want);
}

#[test]
fn a_release_that_goes_on_has_no_end() {
    let text = story("shop", &fixture::rollout("step", Some(2)), &[]);
    assert!(text.starts_with("shop: release 42, version 42: step 2 of 2\n"), "{text}");
    for absent in ["ended", "because", "Gates", "Rehearsal", "Next"] {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
}

#[test]
fn the_strongest_evidence_and_what_was_missing_are_shown() {
    let mut rollout = fixture::rollout("step", Some(2));
    let mut evidence = rollout.decisions.pop().unwrap().evidence.unwrap();
    evidence.by_name = [("err", 5.0), ("p50", -1.0), ("p99", 2.0), ("res", 3.0)]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    assert_eq!(against(&evidence), "0.4 of 4.6: err 5.0, res 3.0, p99 2.0");
    evidence.by_name.clear();
    assert_eq!(against(&evidence), "0.4 of 4.6");
    evidence.excess = 7.4;
    assert!(seen(&evidence).ends_with("; 7 more than stable's rate explains"));
    assert_eq!(for_going_on(&evidence), None);
    evidence.advance_errors = Some(3.2);
    assert_eq!(for_going_on(&evidence).unwrap(), "errors 3.2 of 3.0");
    evidence.advance_latency = Some(1.0);
    assert_eq!(for_going_on(&evidence).unwrap(), "errors 3.2 of 3.0, latency 1.0 of 3.0");
}

#[test]
fn a_reason_is_not_said_twice() {
    let of = |what: &str, reason: &str, words: &str| {
        let mut decision = fixture::rollout("step", None).decisions.remove(0);
        decision.decision = what.into();
        (decision.reason, decision.words) = (reason.into(), words.into());
        because(&decision)
    };
    assert_eq!(of("rolled_back", "p99", "p99: canary 3 of 4"), "p99: canary 3 of 4");
    assert_eq!(of("rolled_back", "p99", "p99.9: canary 3 of 4"), "p99: p99.9: canary 3 of 4");
    assert_eq!(of("rolled_back", "err", "errors: canary 3 of 4"), "err: errors: canary 3 of 4");
    assert_eq!(of("alarm", "alarm", "stable is down"), "stable is down");
}

#[test]
fn a_gates_program_that_wrote_much_is_shown_by_its_end() {
    let mut gate = fixture::gates().remove(1);
    gate.output = Some((1..=20).map(|n| format!("line {n}\n")).collect());
    let text = gate_told(&gate);
    assert_eq!(text.lines().count(), 1 + OUTPUT_LINES, "{text}");
    assert!(text.ends_with("    | line 20\n"), "{text}");
}

#[test]
fn what_can_be_done_depends_on_how_it_stands() {
    let table = [
        (
            "promoted",
            Some("blue"),
            &[][..],
            "`serin undo shop` goes back to pool blue until 2026-01-01 00:16:15Z",
        ),
        ("promoted", None, &[], "the previous pool is no longer kept"),
        ("rolled_back", None, &["42"], "allow it again with `serin retry shop`"),
        (
            "rolled_back",
            None,
            &["42", "43"],
            "42 is rejected; mend it and deploy it under another id",
        ),
        ("gate_failed", None, &[], "`serin deploy shop --version 42` tries it again"),
        ("undone", None, &["42"], "`serin retry shop`"),
        ("approval", None, &[], "it waits for `serin promote shop`"),
        ("paused", None, &[], "`serin resume shop` lets it go on"),
        ("guard", None, &[], "`serin undo shop` goes back in one swap; the guard watches for 5m"),
        ("gate", None, &[], "it goes on by itself"),
        ("step", None, &[], "it goes on by itself"),
    ];
    for (state, previous, rejected, want) in table {
        let mut view = fixture::service();
        let rollout = fixture::rollout(state, None);
        view.rollout = Some(rollout.clone());
        view.previous = previous.map(str::to_owned);
        view.rejected = rejected.iter().map(ToString::to_string).collect();
        let lines = next::steps(&view, &rollout);
        assert_eq!(lines.len(), 1, "{state}: {lines:?}");
        assert!(lines[0].contains(want), "{state}: {lines:?}");
    }
}

#[test]
fn what_came_after_and_a_freeze_are_told() {
    let mut view = fixture::service();
    let old = fixture::rollout("promoted", None);
    let mut newer = fixture::rollout("step", Some(1));
    newer.id = "43".into();
    view.rollout = Some(newer);
    view.previous = Some("blue".into());
    let lines = next::steps(&view, &old);
    assert_eq!(lines, ["release 43 came after it: `serin explain 43`"]);
    view.frozen = serde_json::from_value(serde_json::json!({
        "since": "2026-01-01T00:00:00Z", "until": null, "actor": "bo", "why": null,
    }))
    .unwrap();
    let lines = next::steps(&view, &old);
    assert!(lines[1].starts_with("nothing goes forward, until `serin thaw` by bo"), "{lines:?}");
}
