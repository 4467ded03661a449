//! Alerts for Alertmanager's API v2. Pure.
//!
//! The format: <https://prometheus.io/docs/alerting/latest/alerts_api/>. An alert is a state with an
//! identity, its labels, where an event is a moment; so events become states like this:
//!
//! - What holds a running release up (`held`, `alarm`, `frozen`, `hook_failed`) fires until an event
//!   shows that it is over: the release moves on or ends, or the next one begins; an alarm also
//!   when it is over by itself.
//! - A bad end (`rolled_back`, `gate_failed`, `undone`) fires for an hour: nothing of this release
//!   will come after it that could end it. One that an operator asked for does not fire at all.
//! - Everything else is no alert.
//!
//! An alert that ends is told to people, so only what fired is ended; [`Told`] remembers it. It is
//! gone after a restart: then everything that the release may have firing is ended once. What is
//! never ended ends by itself after a day: `startsAt` and `endsAt` are both said, since without an
//! end Alertmanager would end it after its `resolve_timeout` of five minutes.

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
/// How much earlier than now an alert is ended, but not before it began: an end that is in
/// Alertmanager's future is one that is still to come, and of two of these it keeps the later. Its
/// clock may be behind by this much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// The most alerts that are remembered.
const FIRING_MAX: usize = 16;

/// What Alertmanager was told by this process, as far as it may still fire there.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The release that is told of from its beginning; none of a share set by hand.
    known: Option<Option<String>>,
    /// What fires, with when it began.
    firing: Vec<(Duration, Value)>,
}

impl Told {
    /// `event` is about to be told: it may arrive even where no answer comes.
    pub(super) fn begin(&mut self, event: &Event) {
        if event.kind == "deploy" {
            self.known = Some(release(event));
        }
        if is_hold(event) {
            let alert = firing(event, HOLD_FIRES);
            self.firing.retain(|(_, known)| known["labels"] != alert["labels"]);
            if self.firing.len() == FIRING_MAX {
                self.firing.remove(0);
            }
            self.firing.push((event.at(), alert));
        }
    }

    /// `event` was told.
    pub(super) fn done(&mut self, event: &Event) {
        if event.moves_on() {
            self.known = Some(release(event));
            self.firing.clear();
        } else if event.kind == "alarm_over" {
            self.firing.retain(|(_, alert)| alert["labels"]["kind"] != "alarm");
        }
    }

    /// What ends with `event`, of these kinds.
    fn ended(&self, event: &Event, kinds: &[&str]) -> Vec<Value> {
        let ended = event.at().saturating_sub(CLOCKS_DIFFER);
        let mut alerts: Vec<Value> = Vec::new();
        for (began, alert) in &self.firing {
            if !kinds.iter().any(|kind| alert["labels"]["kind"] == *kind) {
                continue;
            }
            let mut alert = alert.clone();
            alert["endsAt"] = time(millis(ended.max(*began))).into();
            alerts.push(alert);
        }
        if self.known != Some(release(event)) {
            let ended = time(millis(ended));
            for kind in kinds {
                let labels = labels(event, kind);
                if alerts.iter().all(|alert| alert["labels"] != labels) {
                    alerts.push(json!({ "labels": labels, "startsAt": ended, "endsAt": ended }));
                }
            }
        }
        alerts
    }
}

/// The alerts of `event`, after what was `told`; `None` where there are none.
pub(super) fn notice(event: &Event, told: &Told) -> Option<Value> {
    let mut alerts = Vec::new();
    if is_hold(event) {
        alerts.push(firing(event, HOLD_FIRES));
    } else if event.ends_badly() && !event.is_by_hand() {
        alerts.push(firing(event, END_FIRES));
    }
    let over: &[&str] = match event.kind.as_str() {
        "alarm_over" => &["alarm"],
        _ if event.moves_on() => &HOLDS,
        _ => &[],
    };
    alerts.extend(told.ended(event, over));
    (!alerts.is_empty()).then(|| alerts.into())
}

fn is_hold(event: &Event) -> bool {
    HOLDS.contains(&event.kind.as_str())
}

fn release(event: &Event) -> Option<String> {
    event.release.as_ref().map(|release| release.id.clone())
}

/// The alert that `event` lets fire for so long.
fn firing(event: &Event, lasts: Duration) -> Value {
    let mut annotations = json!({ "summary": event.title(), "description": event.words });
    for (name, value) in super::facts(event) {
        annotations[name] = value.into();
    }
    json!({
        "labels": labels(event, &event.kind),
        "annotations": annotations,
        "startsAt": event.at,
        "endsAt": time(millis(event.at().saturating_add(lasts))),
    })
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
    if let Some(release) = release(event) {
        labels["release"] = release.into();
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
