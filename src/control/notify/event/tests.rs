use serde_json::json;

use super::*;

fn decision(kind: &str, actor: &str) -> Decision {
    Decision {
        at_ms: 1_795_000_000_123,
        decision: kind.into(),
        weight: "5%".parse().unwrap(),
        reason: "err".into(),
        words: "12 of 500 requests".into(),
        actor: actor.into(),
        why: None,
        evidence: None,
    }
}

fn release() -> Release {
    let strategy = Strategy::Canary;
    Release { id: "r-42".into(), version: "4.2".into(), pool: "green".into(), strategy }
}

#[test]
fn an_event_has_this_shape() {
    let event = Event::of("shop", Some(release()), &decision("step", "serin"), 0xabc);
    let want = json!({
        "schema": "serin.event/1",
        "id": "01a1ee565e7b-0000000000000abc",
        "at": "2026-11-18T11:06:40.123Z",
        "service": "shop",
        "kind": "step",
        "severity": "info",
        "release": { "id": "r-42", "version": "4.2", "pool": "green", "strategy": "canary" },
        "weight": "5%",
        "reason": "err",
        "words": "12 of 500 requests",
        "actor": "serin",
    });
    assert_eq!(serde_json::to_value(&event).unwrap(), want);
    assert_eq!(serde_json::from_value::<Event>(want).unwrap(), event);
}

#[test]
fn what_was_given_is_told_and_evidence_survives() {
    let decision = Decision {
        why: Some("x".repeat(5_000)),
        words: "é".repeat(5_000),
        evidence: Some(Evidence { log_e: 5.1, canary_n: 500, ..Evidence::default() }),
        ..decision("rolled_back", "serin")
    };
    let event = Event::of("shop", None, &decision, 1);
    assert!(event.words.len() <= WORDS_BYTES_MAX && event.words.ends_with('…'));
    assert!(event.why.as_ref().is_some_and(|why| why.len() == WORDS_BYTES_MAX));
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.contains(r#""canary_n":500"#) && !text.contains("release"), "{text}");
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
}

#[test]
fn later_events_have_later_ids() {
    let id = |at_ms, draw| {
        let decision = Decision { at_ms, ..decision("step", "serin") };
        Event::of("shop", None, &decision, draw).id
    };
    assert!(id(1, u64::MAX) < id(2, 0));
    assert!(id(999_999_999_999, u64::MAX) < id(1_795_000_000_123, 0));
    assert_ne!(id(1, 0), id(1, 1));
}

#[test]
fn what_happened_by_itself_is_more_severe_than_what_a_person_did() {
    use Severity::{Critical, Info, Warning};
    let table = [
        ("deploy", Info, Info),
        ("step", Info, Info),
        ("approval", Info, Info),
        ("promoted", Info, Info),
        ("something_new", Info, Info),
        ("alarm_over", Info, Info),
        ("held", Warning, Warning),
        ("frozen", Critical, Critical),
        ("hook_failed", Warning, Warning),
        ("gate_failed", Warning, Info),
        ("rolled_back", Critical, Info),
        ("undone", Critical, Info),
        ("alarm", Critical, Critical),
    ];
    for (kind, alone, by_hand) in table {
        let of = |actor| Event::of("shop", Some(release()), &decision(kind, actor), 0).severity;
        assert_eq!((of("serin"), of(""), of("ann")), (alone, alone, by_hand), "{kind}");
    }
    assert!(Info < Warning && Warning < Critical);
}

#[test]
fn a_title_says_it_in_a_line() {
    let title = |release, kind| Event::of("shop", release, &decision(kind, "serin"), 0).title();
    for (kind, want) in [
        ("deploy", "shop: release r-42 is being released"),
        ("step", "shop: release r-42 is at 5%"),
        ("held", "shop: release r-42 is held at 5%"),
        ("alarm_over", "shop: release r-42 has no alarm any more, at 5%"),
        ("rolled_back", "shop: release r-42 was rolled back"),
        ("something_new", "shop: release r-42 something new (5%)"),
    ] {
        assert_eq!(title(Some(release()), kind), want);
    }
    for (kind, want) in [
        ("weight", "shop: the canary's share is 5% by hand"),
        ("alarm_over", "shop: the alarm is over"),
        ("rolled_back", "shop: the share set by hand was rolled back"),
        ("something_new", "shop: something new"),
    ] {
        assert_eq!(title(None, kind), want);
    }
}
