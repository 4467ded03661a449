//! A service in the middle of a release, for the tests of what is shown.

use serde_json::{Value, json};

use crate::admin::api::{GateReport, Rehearsed, RolloutView, ServiceView};

fn endpoint(target: &str, health: &str) -> Value {
    json!({ "target": target, "address": target, "health": health, "drained": false, "in_flight": 0 })
}

fn decision(at_s: u64, decision: &str, weight: &str, words: &str, actor: &str) -> Value {
    json!({
        "at_ms": 1_767_225_600_000_u64 + at_s * 1000, "decision": decision, "weight": weight,
        "reason": "r", "words": words, "actor": actor,
    })
}

/// A rollout in `state`.
pub(super) fn rollout(state: &str, step: Option<u64>) -> RolloutView {
    let step_of = |weight: &str, secs: u64| {
        json!({
            "weight": weight, "requests": 100, "hold": { "secs": secs, "nanos": 0 }, "approval": false,
        })
    };
    let secs = |secs: u64| json!({ "secs": secs, "nanos": 0 });
    let mut first = decision(0, "deploy", "0%", "version 42", "anna");
    first["why"] = "ticket 12".into();
    let mut last = decision(75, "step", "5%", "1% passed", "serin");
    last["evidence"] = json!({
        "log_e": 0.4, "threshold": 4.6, "by_name": [["err", -0.2], ["p99", 0.4]],
        "advance_errors": null, "advance_latency": null, "advance_threshold": 3.0,
        "step_s": 10.0, "canary_n": 100, "canary_errors": 1, "stable_n": 9900,
        "stable_errors": 3, "excess": 0.9, "inflight_limit_ms": null,
    });
    serde_json::from_value(json!({
        "id": "42", "version": "42", "pool": "green", "strategy": "canary", "state": state,
        "step": step, "steps": 2,
        "plan": {
            "strategy": "canary", "steps": [step_of("1%", 10), step_of("5%", 50)],
            "guard": secs(300), "retire_after": secs(900), "deadline": secs(3600),
            "on_inconclusive": "hold",
        },
        "started": "2026-01-01T00:00:00Z", "ended": null,
        "canary_requests": 412, "canary_errors": 1,
        "decisions": [first, decision(5, "step", "1%", "the canary is healthy", "serin"), last],
    }))
    .unwrap()
}

/// What two gates found.
pub(super) fn gates() -> Vec<GateReport> {
    let value = json!([
        {
            "name": "checkout", "against": "canary", "passed": true,
            "words": "200 from 2 endpoints", "took_ms": 35,
        },
        {
            "name": "schema", "against": "stable", "passed": false, "words": "exit status 1",
            "took_ms": 1200, "output": "checking 14 tables\nusers.email: column is missing\n",
        },
    ]);
    serde_json::from_value(value).unwrap()
}

/// A rehearsal that ended well, or did not.
pub(super) fn rehearsal(armed: bool) -> Option<Rehearsed> {
    Some(Rehearsed {
        at_ms: 1_767_225_604_000,
        armed,
        words: if armed { "rollback armed, 3 ms" } else { "stable gave no answer" }.into(),
        back_ms: armed.then_some(3.0),
    })
}

/// A service at step 2 of 2.
pub(super) fn service() -> ServiceView {
    serde_json::from_value(json!({
        "name": "shop", "generation": 12, "state": "step", "reason": "412 of 500 requests",
        "weight": { "wanted": "5%", "observed": 0.0491 },
        "stable": {
            "name": "blue", "version": "41",
            "endpoints": [endpoint("10.0.0.1:3000", "up"), endpoint("10.0.0.2:3000", "up")],
            "total": { "success": 9010 }, "requests": 9010, "errors": 3, "error_rate": 0.000_333,
            "latency_ms": { "p50": 3.12, "p90": 9.0, "p99": 20.4, "p999": 31.0 },
        },
        "canary": {
            "name": "green", "version": "42",
            "endpoints": [endpoint("10.0.0.7:3000", "up"), endpoint("10.0.0.8:3000", "down")],
            "total": {}, "requests": 0, "errors": 0, "error_rate": null, "latency_ms": null,
        },
        "previous": null,
        "rollout": rollout("step", Some(2)),
        "verdict": {
            "ruling": "hold", "reason": "requests", "words": "412 of 500 requests", "alarm": false,
            "evidence": {
                "log_e": 0.42, "threshold": 4.605, "by_name": [["err", -0.2], ["p99", 0.42]],
                "advance_errors": null, "advance_latency": null, "advance_threshold": 3.0,
                "step_s": 10.0, "canary_n": 412, "canary_errors": 1, "stable_n": 9010,
                "stable_errors": 3, "excess": 0.9, "inflight_limit_ms": null,
            },
        },
        "rejected": ["40"], "by_hand": [],
    }))
    .unwrap()
}
