//! Alerts for Alertmanager's API v2. Pure.
//!
//! The format: <https://prometheus.io/docs/alerting/latest/alerts_api/>. An alert is a state with an
//! identity, its labels, where an event is a moment; so events become states like this:
//!
//! - What holds a running release up (`held`, `alarm`, `frozen`, `hook_failed`) fires until the
//!   release moves on or ends, an alarm until it is over: every event that shows that ends the alerts of this release, whether
//!   they fired or not. Alertmanager says nothing of an alert that ended and never fired.
//! - A bad end (`rolled_back`, `gate_failed`, `undone`) fires for an hour: nothing of this release
//!   will come after it that could end it. One that an operator asked for does not fire at all.
//! - Everything else is no alert.
//!
//! Nothing is remembered, so a restart loses nothing. An alert that is never ended ends by itself
//! after a day: `startsAt` and `endsAt` are both said, since without an end Alertmanager would end it
//! after its `resolve_timeout` of five minutes.

use std::time::Duration;

use serde_json::{Value, json};

use super::event::{Event, Severity};
use crate::control::live::millis;
use crate::control::view::time;

/// What holds a running release up.
const HOLDS: [&str; 4] = ["held", "alarm", "frozen", "hook_failed"];
/// How long a hold fires that nothing ends.
const HOLD_FIRES: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a bad end fires.
const END_FIRES: Duration = Duration::from_secs(60 * 60);
/// How much earlier than now an alert is ended: Alertmanager takes an end that is in its future for
/// one that is still to come, and keeps the later of two of these, so its clock may be behind by this
/// much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// The alerts of `event`; `None` where there are none.
pub(super) fn notice(event: &Event) -> Option<Value> {
    let holds = HOLDS.contains(&event.kind.as_str());
    let mut alerts = Vec::new();
    if holds || (event.ends_badly() && !event.is_by_hand()) {
        let fires = if holds { HOLD_FIRES } else { END_FIRES };
        let ends = time(millis(event.at().saturating_add(fires)));
        let mut annotations = json!({ "summary": event.title(), "description": event.words });
        for (name, value) in super::facts(event) {
            annotations[name] = value.into();
        }
        alerts.push(json!({
            "labels": labels(event, &event.kind),
            "annotations": annotations,
            "startsAt": event.at,
            "endsAt": ends,
        }));
    }
    let over: &[&str] = match event.kind.as_str() {
        "alarm_over" => &["alarm"],
        _ if event.moves_on() => &HOLDS,
        _ => &[],
    };
    // An alert ends when one with the same labels says so.
    let ended = time(millis(event.at().saturating_sub(CLOCKS_DIFFER)));
    alerts.extend(
        over.iter().map(
            |kind| json!({ "labels": labels(event, kind), "startsAt": ended, "endsAt": ended }),
        ),
    );
    (!alerts.is_empty()).then(|| alerts.into())
}

/// What an alert is known by. The severity is that of the kind alone, for the event that ends an
/// alert must name the same.
fn labels(event: &Event, kind: &str) -> Value {
    let mut labels = json!({
        "alertname": alert_name(kind),
        "service": event.service,
        "kind": kind,
        "severity": Severity::of(kind).name(),
    });
    // An empty label is none to Alertmanager.
    if let Some(release) = &event.release {
        labels["release"] = release.id.as_str().into();
    }
    labels
}

/// `SerinReleaseRolledBack` for `rolled_back`.
fn alert_name(kind: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| {
            format!("{}{}", first.to_ascii_uppercase(), chars.as_str())
        })
    };
    format!("SerinRelease{}", kind.split('_').map(word).collect::<String>())
}
