//! What each format makes of an event, to the letter.

use serde_json::json;

use super::event::Release;
use super::*;
use crate::control::live::Decision;
use crate::control::view::time;
use crate::rollout::plan::Strategy;

/// An event of release 42 at 2026-11-18T11:06:40Z.
fn event(kind: &str, actor: &str) -> Event {
    let decision = Decision {
        at_ms: 1_795_000_000_000,
        decision: kind.into(),
        weight: "5%".parse().unwrap(),
        reason: "err".into(),
        words: "errors: <12> of 500 & more".into(),
        actor: actor.into(),
        why: (actor != "serin").then(|| "too slow".into()),
        evidence: None,
    };
    let release = Release {
        id: "42".into(),
        version: "4.2".into(),
        pool: "green".into(),
        strategy: Strategy::Canary,
    };
    Event::of("shop", Some(release), &decision, 7)
}

fn target(format: NotifyFormat, path: &str) -> Notify {
    Notify {
        webhook: Url { tls: true, host: "hooks".into(), port: 443, target: path.into() },
        format,
        routing_key: Some("key".into()),
    }
}

fn body(format: NotifyFormat, event: &Event) -> Option<Value> {
    notice(&target(format, "/"), event, &Told::default()).map(|(_, body)| body)
}

#[test]
fn json_is_the_event_itself() {
    let event = event("step", "serin");
    let body = body(NotifyFormat::Json, &event).unwrap();
    assert_eq!(serde_json::from_value::<Event>(body).unwrap(), event);
}

#[test]
fn slack_gets_a_text_and_blocks() {
    let want = json!({
        "text": ":rotating_light: shop: release 42 was rolled back",
        "blocks": [
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": ":rotating_light: *shop: release 42 was rolled back*\n\
                             errors: &lt;12&gt; of 500 &amp; more",
                },
            },
            {
                "type": "context",
                "elements": [{
                    "type": "mrkdwn",
                    "text": "version: 4.2  |  pool: green  |  weight: 5%  |  reason: err  |  \
                             at: 2026-11-18T11:06:40Z",
                }],
            },
        ],
    });
    assert_eq!(body(NotifyFormat::Slack, &event("rolled_back", "serin")), Some(want));
    let by_hand = body(NotifyFormat::Slack, &event("rolled_back", "<ann>")).unwrap();
    let facts = by_hand["blocks"][1]["elements"][0]["text"].as_str().unwrap();
    assert!(facts.contains("by: &lt;ann&gt;  |  why: too slow"), "{facts}");
}

#[test]
fn teams_gets_a_card() {
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let fact = |name: &str, value: &str| {
        json!({
            "type": "RichTextBlock", "spacing": "none",
            "inlines": [{ "type": "TextRun", "text": name, "isSubtle": true }, run(value)],
        })
    };
    let want = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": [
                    {
                        "type": "RichTextBlock",
                        "inlines": [{
                            "type": "TextRun", "text": "shop: release 42 is promoted",
                            "size": "medium", "weight": "bolder", "color": "good",
                        }],
                    },
                    {
                        "type": "RichTextBlock",
                        "inlines": [run("errors: <12> of 500 & more")],
                    },
                    fact("version: ", "4.2"),
                    fact("pool: ", "green"),
                    fact("weight: ", "5%"),
                    fact("reason: ", "err"),
                    fact("at: ", "2026-11-18T11:06:40Z"),
                ],
            },
        }],
    });
    assert_eq!(body(NotifyFormat::Teams, &event("promoted", "serin")), Some(want));
}

/// The alert that ends whatever `kind` of hold this release may have.
fn ended(name: &str, kind: &str, severity: &str) -> Value {
    json!({
        "labels": {
            "alertname": name, "service": "shop", "release": "42", "kind": kind,
            "severity": severity,
        },
        "startsAt": "2026-11-18T11:05:40Z",
        "endsAt": "2026-11-18T11:05:40Z",
    })
}

fn all_ended() -> Vec<Value> {
    vec![
        ended("SerinReleaseHeld", "held", "warning"),
        ended("SerinReleaseAlarm", "alarm", "critical"),
        ended("SerinReleaseFrozen", "frozen", "critical"),
        ended("SerinReleaseHookFailed", "hook_failed", "warning"),
    ]
}

/// The alert that fires for `kind` until `ends`.
fn firing(name: &str, kind: &str, severity: &str, title: &str, ends: &str) -> Value {
    json!({
        "labels": {
            "alertname": name, "service": "shop", "release": "42", "kind": kind,
            "severity": severity,
        },
        "annotations": {
            "summary": title, "description": "errors: <12> of 500 & more",
            "version": "4.2", "pool": "green", "weight": "5%", "reason": "err",
            "at": "2026-11-18T11:06:40Z",
        },
        "startsAt": "2026-11-18T11:06:40Z",
        "endsAt": ends,
    })
}

#[test]
fn alertmanager_is_told_of_a_hold_and_after_a_restart_of_every_end_that_may_be() {
    let title = "shop: release 42 is held at 5%";
    let ends = "2026-11-19T11:06:40Z";
    let held = firing("SerinReleaseHeld", "held", "warning", title, ends);
    assert_eq!(body(NotifyFormat::Alertmanager, &event("held", "serin")), Some(json!([held])));
    for kind in ["deploy", "step", "approval", "guard", "promoted"] {
        let body = body(NotifyFormat::Alertmanager, &event(kind, "serin"));
        assert_eq!(body, Some(all_ended().into()), "{kind}");
    }
    for kind in ["paused", "resumed", "retired", "something_new"] {
        assert_eq!(body(NotifyFormat::Alertmanager, &event(kind, "serin")), None, "{kind}");
    }
}

/// What Alertmanager is sent of these events in turn, all of which arrive.
fn sent(events: &[Event]) -> Vec<Option<Value>> {
    let mut told = Told::default();
    let mut send = |event: &Event| {
        told.begin(event);
        let sent = alertmanager::notice(event, &told);
        told.done(event);
        sent
    };
    events.iter().map(&mut send).collect()
}

#[test]
fn only_what_fired_is_ended_for_people_are_told_of_ends() {
    let at = |kind, seconds: u64| {
        let mut event = event(kind, "serin");
        event.at = time(1_795_000_000_000 + seconds * 1_000);
        event
    };
    let title = "shop: release 42 is held at 5%";
    let ended = |ends| Some(json!([firing("SerinReleaseHeld", "held", "warning", title, ends)]));
    let story = [at("deploy", 0), at("step", 0), at("held", 0), at("step", 300), at("guard", 400)];
    let told = sent(&story);
    assert_eq!((&told[0], &told[1], &told[4]), (&None, &None, &None), "nothing was firing");
    assert_eq!(told[3], ended("2026-11-18T11:10:40Z"));
    // An end before the beginning would be refused.
    let told = sent(&[at("deploy", 0), at("held", 0), at("step", 10)]);
    assert_eq!(told[2], ended("2026-11-18T11:06:40Z"));
}

#[test]
fn what_fires_after_an_end_ends_when_the_next_release_begins() {
    let mut next = event("deploy", "serin");
    next.release.as_mut().unwrap().id = "43".into();
    let told = sent(&[event("deploy", "ann"), event("hook_failed", "serin"), next]);
    let ended = told[2].as_ref().unwrap().as_array().unwrap();
    let labels: Vec<_> =
        ended.iter().map(|alert| (&alert["labels"]["kind"], &alert["labels"]["release"])).collect();
    assert_eq!(labels, [(&json!("hook_failed"), &json!("42"))]);
}

#[test]
fn an_end_that_did_not_arrive_is_told_again() {
    let mut told = Told::default();
    for kind in ["deploy", "held", "alarm"] {
        told.begin(&event(kind, "serin"));
    }
    for kind in ["step", "guard"] {
        told.begin(&event(kind, "serin"));
        let ended = alertmanager::notice(&event(kind, "serin"), &told).unwrap();
        assert_eq!(ended.as_array().map(Vec::len), Some(2), "{kind}");
    }
    told.done(&event("guard", "serin"));
    assert_eq!(alertmanager::notice(&event("promoted", "serin"), &told), None);
}

#[test]
fn the_end_of_an_alert_names_all_that_its_beginning_named() {
    let alerts = |event: &Event| {
        let body = body(NotifyFormat::Alertmanager, event).unwrap();
        body.as_array().unwrap().iter().map(|alert| alert["labels"].clone()).collect::<Vec<_>>()
    };
    for release in [true, false] {
        let of = |kind| {
            let mut event = event(kind, "serin");
            event.release = event.release.filter(|_| release);
            event
        };
        let ended = alerts(&of("promoted"));
        for kind in ["held", "alarm", "frozen", "hook_failed"] {
            let mut event = of(kind);
            // Whatever control thinks of this one.
            event.severity = event::Severity::Critical;
            let [began] = &alerts(&event)[..] else { panic!("{kind}") };
            assert!(ended.contains(began), "{kind}: {began} is not among {ended:?}");
            assert_eq!(began.get("release").is_some(), release);
        }
    }
}

#[test]
fn alertmanager_is_told_of_a_bad_end_for_an_hour_unless_a_person_chose_it() {
    let title = "shop: release 42 was rolled back";
    let ends = "2026-11-18T12:06:40Z";
    let mut want = vec![firing("SerinReleaseRolledBack", "rolled_back", "critical", title, ends)];
    want.extend(all_ended());
    let rolled_back = body(NotifyFormat::Alertmanager, &event("rolled_back", "serin"));
    assert_eq!(rolled_back, Some(want.into()));
    let aborted = body(NotifyFormat::Alertmanager, &event("rolled_back", "ann"));
    assert_eq!(aborted, Some(all_ended().into()));
}

#[test]
fn alertmanager_is_told_that_an_alarm_is_over_and_of_nothing_else() {
    let over = body(NotifyFormat::Alertmanager, &event("alarm_over", "serin"));
    assert_eq!(over, Some(vec![ended("SerinReleaseAlarm", "alarm", "critical")].into()));
    assert_eq!(body(NotifyFormat::PagerDuty, &event("alarm_over", "serin")), None);
}

#[test]
fn alertmanager_is_asked_below_its_path() {
    let event = event("held", "serin");
    for (path, want) in [("/", "/api/v2/alerts"), ("/am/", "/am/api/v2/alerts")] {
        let (url, _) =
            notice(&target(NotifyFormat::Alertmanager, path), &event, &Told::default()).unwrap();
        assert_eq!(url.target, want);
    }
    let (url, _) =
        notice(&target(NotifyFormat::Slack, "/services/T/B/x"), &event, &Told::default()).unwrap();
    assert_eq!(url.target, "/services/T/B/x");
}

#[test]
fn pagerduty_is_triggered_once_for_a_release_and_resolved_when_it_moves_on() {
    let held = event("held", "serin");
    let want = json!({
        "routing_key": "key",
        "event_action": "trigger",
        "dedup_key": "serin/shop/42",
        "client": "serin",
        "payload": {
            "summary": "shop: release 42 is held at 5%: errors: <12> of 500 & more",
            "source": "shop",
            "severity": "warning",
            "timestamp": "2026-11-18T11:06:40Z",
            "component": "green",
            "group": "shop",
            "class": "held",
            "custom_details": held,
        },
    });
    assert_eq!(body(NotifyFormat::PagerDuty, &held), Some(want));
    let resolve = json!({
        "routing_key": "key", "event_action": "resolve", "dedup_key": "serin/shop/42",
    });
    for (kind, actor) in [("step", "serin"), ("promoted", "serin"), ("rolled_back", "ann")] {
        let body = body(NotifyFormat::PagerDuty, &event(kind, actor));
        assert_eq!(body, Some(resolve.clone()), "{kind} by {actor}");
    }
    let rolled_back = body(NotifyFormat::PagerDuty, &event("rolled_back", "serin")).unwrap();
    assert_eq!(rolled_back["event_action"], "trigger", "a person has to find out why");
    assert_eq!(rolled_back["payload"]["severity"], "critical");
    for kind in ["paused", "resumed", "retired"] {
        assert_eq!(body(NotifyFormat::PagerDuty, &event(kind, "serin")), None, "{kind}");
    }
}

#[test]
fn pagerdutys_limits_are_kept() {
    let mut event = event("alarm", "serin");
    event.words = "w".repeat(2_000);
    event.release.as_mut().unwrap().id = "r".repeat(300);
    let body = body(NotifyFormat::PagerDuty, &event).unwrap();
    assert_eq!(body["payload"]["summary"].as_str().map(str::len), Some(1_024));
    assert_eq!(body["dedup_key"].as_str().map(str::len), Some(255));
}
