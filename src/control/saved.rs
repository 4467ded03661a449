//! What control puts into a store, and what it makes of what it finds there.
//!
//! A state is a [`Live`]. An *intent* is a way back that was decided; a state that does not know
//! of it is brought back when it is read. An archived rollout stands in an envelope of its own.

use serde::{Deserialize, Serialize};

use super::live::{Decision, FORMAT, Live, Rollout, record};
use super::store::{Entry, Kept, Key, Revision, Unusable};
use crate::rollout::{End, State};
use crate::split::Weight;

/// A way back that was decided.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Intent {
    pub(super) back: Back,
    pub(super) decision: Decision,
}

/// What goes back.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Back {
    /// The share set by hand, to what the decision says.
    Share,
    /// A rollout.
    Rollout {
        id: String,
        /// When it began, in milliseconds since the epoch.
        started_ms: u64,
        /// How it ends.
        end: End,
        /// Whether the release is refused from now on.
        rejected: bool,
        /// All of it, for the state on disk may know less of it, or nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<Box<Rollout>>,
    },
}

/// What was found of a service, brought back where that was interrupted.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// None where only ways back were found: the service never got as far as a state.
    pub(super) live: Option<Live>,
    /// Ways back that the state did not know of.
    pub(super) orphans: Vec<Intent>,
    /// The highest number of a way back.
    pub(super) last_intent: u64,
    /// Whether the state says something else now than in the store.
    pub(super) changed: bool,
    /// The revision that it was read from.
    pub(super) revision: Revision,
}

/// Reads `entry`, and completes what was going back.
///
/// # Errors
/// When the state is torn or of a newer version: it is never begun anew in silence.
pub(super) fn read(entry: &Entry) -> Result<Found, Unusable> {
    let mut live = match &entry.state {
        Some(state) => Some(read_state(state, &entry.place)?),
        None => None,
    };
    let known = live.as_ref().map_or(0, |live| live.knows_intent);
    let (mut last_intent, mut orphans, mut changed) = (known, Vec::new(), false);
    for (number, bytes) in entry.intents.iter().filter(|intent| intent.0 > known) {
        last_intent = last_intent.max(*number);
        // It is complete once it has its name, so half of one is left by a power loss only. Then
        // the canary begins at 0 % anyway.
        let Ok(intent) = serde_json::from_slice(bytes) else {
            tracing::warn!(place = entry.place, number, "a torn intent is left out");
            continue;
        };
        match &mut live {
            Some(live) => {
                honour(live, intent);
                changed = true;
            }
            None => orphans.push(intent),
        }
    }
    Ok(Found { live, orphans, last_intent, changed, revision: entry.revision })
}

fn read_state(state: &[u8], place: &str) -> Result<Live, Unusable> {
    let refuse = |what: String| {
        Unusable::new(format!(
            "{place}: {what}. Nothing was changed. Restore it from a backup, or move it away to let this service begin with what the configuration says"
        ))
    };
    let value: serde_json::Value = serde_json::from_slice(state)
        .map_err(|error| refuse(format!("is torn or not JSON ({error})")))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => Err(refuse(format!(
            "has format {format}, and this serin knows up to {FORMAT}: it was written by a newer version, run that one"
        ))),
        Some(_) => {
            serde_json::from_value(value).map_err(|error| refuse(format!("is damaged ({error})")))
        }
        None => Err(refuse("has no `format`".into())),
    }
}

/// Completes a way back that was decided before the process ended.
pub(super) fn honour(live: &mut Live, intent: Intent) {
    let Intent { back, decision } = intent;
    let (id, started_ms, end, rejected, whole) = match back {
        Back::Share => {
            live.weight = live.weight.min(decision.weight);
            live.watch = None;
            record(&mut live.by_hand, decision);
            return;
        }
        Back::Rollout { id, started_ms, end, rejected, record } => {
            (id, started_ms, end, rejected, record)
        }
    };
    let known = live.rollout.as_mut().filter(|r| r.id == id && r.started_ms == started_ms);
    let Some(known) = known else {
        return ended_unknown(live, started_ms, whole, rejected, &decision);
    };
    let undone = end == End::Undone && known.state == State::Ended(End::Promoted);
    if !(undone || known.state.is_running()) {
        return;
    }
    match whole {
        Some(whole) => *known = *whole,
        None => {
            known.state = State::Ended(end);
            known.ended_ms = Some(decision.at_ms);
            record(&mut known.decisions, decision.clone());
        }
    }
    let ended = known.clone();
    live.call_after(&ended, &decision);
    live.weight = Weight::ZERO;
    if undone {
        live.swap();
        live.previous = None;
        live.retire_at_ms = None;
    }
    if rejected {
        live.reject(&id);
    }
}

/// Takes in a rollout that began and went back before the state knew of it.
fn ended_unknown(
    live: &mut Live,
    started_ms: u64,
    whole: Option<Box<Rollout>>,
    rejected: bool,
    decision: &Decision,
) {
    let Some(whole) = whole else { return };
    if live.rollout.as_ref().is_some_and(|known| known.started_ms > started_ms) {
        return;
    }
    if rejected {
        live.reject(&whole.id);
    }
    live.call_after(&whole, decision);
    if live.state().is_running() {
        // The one before was promoted, and that is not on disk: its guard is begun anew.
        live.ended.push(*whole);
    } else {
        live.archive();
        live.weight = Weight::ZERO;
        live.watch = None;
        live.rollout = Some(*whole);
    }
}

/// An ended rollout as it is archived.
#[derive(Debug, Deserialize)]
struct Archived {
    rollout: Rollout,
}

#[derive(Debug, Serialize)]
struct ToArchive<'a> {
    format: u32,
    service: &'a str,
    rollout: &'a Rollout,
}

/// What is archived of an ended rollout.
pub(super) fn to_archive(service: &str, rollout: &Rollout) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&ToArchive { format: FORMAT, service, rollout })
}

/// Reads an archived rollout. One that is torn, or of another version, is missed and nothing else:
/// nothing is decided by it.
pub(super) fn archived(kept: &Kept) -> Option<Rollout> {
    match serde_json::from_slice(&kept.rollout) {
        Ok(Archived { rollout }) => Some(rollout),
        Err(error) => {
            tracing::warn!(file = kept.place, %error, "an ended rollout is left out: it is torn or of another version");
            None
        }
    }
}

impl Rollout {
    /// Its name in a store.
    pub(super) fn key(&self) -> Key {
        Key { started_ms: self.started_ms, id: self.id.clone() }
    }
}
