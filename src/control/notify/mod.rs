//! Who is told of what happens to a service, in whose shape.
//!
//! One event ([`event::Event`]) is made of every decision; a file for each shape turns it into a
//! notice, purely; [`send::Sender`] brings it there. Nothing that is decided waits for a notice.

mod alertmanager;
mod backoff;
pub(super) mod event;
mod json;
mod pagerduty;
mod queue;
pub(super) mod send;
mod slack;
mod teams;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::gates::bounded;
use crate::config::{Notify, NotifyFormat, Url};
use alertmanager::Told;
use event::Event;

/// What is posted of `event` to `target`, and where, after what it was `told`; `None` where its format
/// has nothing to say.
fn notice(target: &Notify, event: &Event, told: &Told) -> Option<(Url, Value)> {
    let to = &target.webhook;
    match target.format {
        NotifyFormat::Json => Some((to.clone(), json::notice(event))),
        NotifyFormat::Slack => Some((to.clone(), slack::notice(event))),
        NotifyFormat::Teams => Some((to.clone(), teams::notice(event))),
        NotifyFormat::Alertmanager => {
            let target = format!("{}/api/v2/alerts", to.target.trim_end_matches('/'));
            Some((Url { target, ..to.clone() }, alertmanager::notice(event, told)?))
        }
        NotifyFormat::PagerDuty => {
            let routing_key = target.routing_key.as_deref().unwrap_or_default();
            Some((to.clone(), pagerduty::notice(event, routing_key)?))
        }
    }
}

/// What people read below the words of an event.
fn facts(event: &Event) -> Vec<(&'static str, String)> {
    let release = event.release.as_ref();
    let by_hand = event.is_by_hand().then(|| event.actor.clone());
    let facts = [
        ("version", release.map(|release| release.version.clone())),
        ("pool", release.map(|release| release.pool.clone())),
        ("weight", Some(event.weight.to_string())),
        ("reason", Some(event.reason.clone())),
        ("by", by_hand),
        ("why", event.why.clone()),
        ("at", Some(event.at.clone())),
    ];
    let said = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.filter(|(_, value)| !value.is_empty()).collect()
}
