//! PagerDuty's Events API v2. Pure.
//!
//! The format: <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>. A release has
//! one alert at most, known by `serin/SERVICE/RELEASE`. What somebody has to look at triggers it, and
//! what shows that the release moved on resolves it. A release that serin rolled back leaves it open:
//! a person has to find out why. One that a person ended needs nobody else, so its alert is resolved.

use serde_json::{Value, json};

use super::bounded;
use super::event::{Event, Severity};

/// The most characters of a summary; bytes are never fewer.
const SUMMARY_BYTES_MAX: usize = 1_024;
/// The most characters of a key; bytes are never fewer.
const KEY_BYTES_MAX: usize = 255;

/// The notice of `event` for the integration with `routing_key`; `None` where there is none.
pub(super) fn notice(event: &Event, routing_key: &str) -> Option<Value> {
    let key = match &event.release {
        Some(release) => format!("serin/{}/{}", event.service, release.id),
        None => format!("serin/{}", event.service),
    };
    let key = bounded(&key, KEY_BYTES_MAX);
    if event.severity == Severity::Info {
        return event.moves_on().then(
            || json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": key }),
        );
    }
    let title = event.title();
    let summary = match event.words.is_empty() {
        true => title,
        false => format!("{title}: {}", event.words),
    };
    Some(json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "serin",
        "payload": {
            "summary": bounded(&summary, SUMMARY_BYTES_MAX),
            "source": event.service,
            "severity": event.severity.name(),
            "timestamp": event.at,
            "component": event.release.as_ref().map_or("", |release| release.pool.as_str()),
            "group": event.service,
            "class": event.kind,
            "custom_details": event,
        },
    }))
}
