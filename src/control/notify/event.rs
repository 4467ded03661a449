//! The one event that everybody is told, whatever shape their notice has. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::live::Decision;
use crate::control::view::time;
use crate::judge::Evidence;
use crate::rollout::plan::Strategy;
use crate::split::Weight;

/// The shape of an event. Fields may be added to it; one that is taken away or changes its meaning
/// makes a new shape.
pub(in crate::control) const SCHEMA: &str = "serin.event/1";
/// The most bytes of words, and of why.
const WORDS_BYTES_MAX: usize = 2 * 1024;

/// Something that happened to a service, as JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::control) struct Event {
    /// [`SCHEMA`].
    pub(in crate::control) schema: String,
    /// Unique, and the same whenever and to whomever the event is told. Later ones sort later.
    pub(in crate::control) id: String,
    /// When it happened, in RFC 3339.
    pub(in crate::control) at: String,
    pub(in crate::control) service: String,
    /// What happened: `deploy`, `step`, `held`, `promoted`, `rolled_back` and others. A reader has to
    /// expect ones that it does not know.
    pub(in crate::control) kind: String,
    /// Whether somebody has to look.
    pub(in crate::control) severity: Severity,
    /// The release that it happened to; none where the share was set by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::control) release: Option<Release>,
    /// The share of the pool that is released, afterwards, such as `5%`.
    pub(in crate::control) weight: Weight,
    /// A short name of the reason, for programs.
    pub(in crate::control) reason: String,
    /// The reason in words, 2 KiB at most.
    pub(in crate::control) words: String,
    /// Who did it: `serin`, or who called the API.
    pub(in crate::control) actor: String,
    /// What they gave as their reason, 2 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::control) why: Option<String>,
    /// The numbers it stood on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::control) evidence: Option<Evidence>,
}

/// Whether somebody has to look.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::control) enum Severity {
    /// Nobody.
    Info,
    /// Somebody, soon.
    Warning,
    /// Somebody, now.
    Critical,
}

/// What an event says of a release.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::control) struct Release {
    pub(in crate::control) id: String,
    pub(in crate::control) version: String,
    pub(in crate::control) pool: String,
    pub(in crate::control) strategy: Strategy,
}

impl Severity {
    /// Its name in notices.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Of something that happened by itself. Users are protected by then; what differs is how much
    /// of the release, or of the service, is left.
    pub(super) fn of(kind: &str) -> Self {
        match kind {
            // An alarm: both pools are bad. Frozen: the canary is, and there is no way back.
            "alarm" | "frozen" | "rolled_back" | "undone" => Self::Critical,
            "gate_failed" | "held" | "hook_failed" => Self::Warning,
            _ => Self::Info,
        }
    }
}

impl Event {
    /// The event of `decision` on `service`. `draw` is a random number that makes its id unique.
    pub(in crate::control) fn of(
        service: &str,
        release: Option<Release>,
        decision: &Decision,
        draw: u64,
    ) -> Self {
        let bounded = |text: &str| super::bounded(text, WORDS_BYTES_MAX);
        let mut event = Self {
            schema: SCHEMA.to_owned(),
            id: format!("{:012x}-{draw:016x}", decision.at_ms),
            at: time(decision.at_ms),
            service: service.to_owned(),
            kind: decision.decision.clone(),
            severity: Severity::of(&decision.decision),
            release,
            weight: decision.weight,
            reason: bounded(&decision.reason),
            words: bounded(&decision.words),
            actor: decision.actor.clone(),
            why: decision.why.as_deref().map(bounded),
            evidence: decision.evidence.clone(),
        };
        // Whoever ends a release by hand knows of it, and needs no page.
        if event.ends_badly() && event.is_by_hand() {
            event.severity = Severity::Info;
        }
        event
    }

    /// Whether a person did it.
    pub(super) fn is_by_hand(&self) -> bool {
        !matches!(self.actor.as_str(), "" | "serin")
    }

    /// Whether a release ended with it, and not with its promotion.
    pub(super) fn ends_badly(&self) -> bool {
        matches!(self.kind.as_str(), "rolled_back" | "gate_failed" | "undone")
    }

    /// Whether it shows that what held a release up is over: it moved on, or it ended.
    pub(super) fn moves_on(&self) -> bool {
        self.ends_badly()
            || matches!(
                self.kind.as_str(),
                "deploy" | "step" | "approval" | "guard" | "promoted" | "weight"
            )
    }

    /// When it happened, since the epoch.
    pub(super) fn at(&self) -> Duration {
        let at = self.at.parse::<jiff::Timestamp>().unwrap_or_default();
        Duration::from_millis(u64::try_from(at.as_millisecond()).unwrap_or_default())
    }

    /// One line that says it: `shop: release 42 was rolled back (canary at 0%)`.
    pub(super) fn title(&self) -> String {
        let Self { service, weight, .. } = self;
        let Some(release) = &self.release else {
            return match self.kind.as_str() {
                "weight" => format!("{service}: the canary's share is {weight} by hand"),
                "rolled_back" => format!("{service}: the share set by hand was rolled back"),
                "alarm" => format!("{service}: alarm"),
                "alarm_over" => format!("{service}: the alarm is over"),
                kind => format!("{service}: {}", kind.replace('_', " ")),
            };
        };
        let what = match self.kind.as_str() {
            "deploy" => "is being released".to_owned(),
            "gate_failed" => "failed its gates and got no traffic".to_owned(),
            "step" => format!("is at {weight}"),
            "held" => format!("is held at {weight}"),
            "paused" => format!("is paused at {weight}"),
            "resumed" => format!("goes on at {weight}"),
            "approval" => format!("waits for approval at {weight}"),
            "guard" => format!("has {weight} and is watched"),
            "promoted" => "is promoted".to_owned(),
            "rolled_back" => "was rolled back".to_owned(),
            "undone" => "was taken back after its promotion".to_owned(),
            "alarm" => format!("raised an alarm at {weight}"),
            "alarm_over" => format!("has no alarm any more, at {weight}"),
            "frozen" => format!("is frozen at {weight}"),
            "hook_failed" => "had a hook that failed".to_owned(),
            "retired" => "is alone: the previous pool is retired".to_owned(),
            kind => format!("{} ({weight})", kind.replace('_', " ")),
        };
        format!("{service}: release {} {what}", release.id)
    }
}

#[cfg(test)]
mod tests;
