//! Numbers and moments as people read them.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::admin::api::{Decision, FreezeView, GateReport, Rehearsed, RolloutView, ServiceView};
use crate::config::units;

/// What stands where nothing is known.
pub(super) const NONE: &str = "-";

/// Milliseconds, with as many digits as they need.
pub(super) fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// A ratio in `0..=1` as a percentage.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent < 1.0 { format!("{percent:.2}%") } else { format!("{percent:.1}%") }
}

/// A time, to the second.
pub(super) fn whole(duration: Duration) -> String {
    units::duration_text(Duration::from_secs(duration.as_secs()))
}

/// A moment, to the second.
pub(super) fn moment(ms_since_epoch: u64) -> String {
    let ms = i64::try_from(ms_since_epoch).unwrap_or(i64::MAX);
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// When a rollout began, in milliseconds since the epoch: its first decision.
pub(super) fn began_ms(rollout: &RolloutView) -> Option<u64> {
    rollout.decisions.first().map(|first| first.at_ms)
}

/// From the first decision to the last; the whole life of a rollout that ended.
pub(super) fn lasted(rollout: &RolloutView) -> Option<Duration> {
    let last = rollout.decisions.last()?;
    Some(Duration::from_millis(last.at_ms.saturating_sub(began_ms(rollout)?)))
}

/// A word of the API, such as a strategy's.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| NONE.to_owned())
}

/// A state, and which step of how many.
pub(super) fn state(state: &str, rollout: Option<&RolloutView>) -> String {
    let name = state.replace('_', " ");
    match rollout.and_then(|rollout| Some((rollout.step?, rollout.steps))) {
        Some((step, steps)) if state == "step" => format!("step {step} of {steps}"),
        Some((step, steps)) => format!("{name}, step {step} of {steps}"),
        None => name,
    }
}

/// A service in one line.
pub(super) fn service(view: &ServiceView) -> String {
    let state = state(&view.state, view.rollout.as_ref());
    let reason = one_line(&view.reason);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{}: {state}, {} to the canary{because}", view.name, view.weight.wanted)
}

/// Whether a service may release, in one line.
pub(super) fn freeze(view: &ServiceView) -> String {
    match &view.frozen {
        Some(frozen) => format!("{}: frozen {}", view.name, frozen_by(frozen)),
        None => format!("{}: not frozen; releases may go forward", view.name),
    }
}

/// Until when, by whom and why nothing goes forward.
pub(super) fn frozen_by(frozen: &FreezeView) -> String {
    let until = match &frozen.until {
        Some(until) => format!("until {}", rfc3339(until)),
        None => "until `serin thaw`".to_owned(),
    };
    let why = frozen.why.as_deref().map(|why| format!(": {}", one_line(why))).unwrap_or_default();
    format!("{until} by {}{why}", frozen.actor)
}

/// What a gate found, in one line.
pub(super) fn gate(gate: &GateReport) -> String {
    let GateReport { name, took_ms, words, .. } = gate;
    let found = if gate.passed { "passed" } else { "FAILED" };
    let took = duration(Duration::from_millis(*took_ms));
    format!("{found} {name} on {} in {took}: {}", gate.against.name(), one_line(words))
}

/// How a rehearsal went, and when.
pub(super) fn rehearsal(rehearsal: &Rehearsed) -> String {
    let armed = if rehearsal.armed { "" } else { "NOT ARMED: " };
    format!("{armed}{} ({})", one_line(&rehearsal.words), moment(rehearsal.at_ms))
}

/// A time: to the millisecond below ten seconds, else to the second.
pub(super) fn duration(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        units::duration_text(duration)
    } else {
        whole(duration)
    }
}

/// A moment as the API writes it, to the second.
pub(super) fn rfc3339(text: &str) -> String {
    let known = text.parse::<Timestamp>().ok();
    let ms = known.and_then(|known| u64::try_from(known.as_millisecond()).ok());
    ms.map_or_else(|| one_line(text), moment)
}

/// Who took a decision, and the reason that they gave.
pub(super) fn by(decision: &Decision) -> String {
    match &decision.why {
        Some(why) => format!("{}: {}", decision.actor, one_line(why)),
        None => decision.actor.clone(),
    }
}

/// `text` without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_names_its_step() {
        use crate::cli::fixture::rollout;
        assert_eq!(state("step", Some(&rollout("step", Some(2)))), "step 2 of 2");
        assert_eq!(state("paused", Some(&rollout("paused", Some(1)))), "paused, step 1 of 2");
        assert_eq!(state("rolled_back", Some(&rollout("rolled_back", None))), "rolled back");
        assert_eq!(state("idle", None), "idle");
    }

    #[test]
    fn a_freeze_says_until_when_by_whom_and_why() {
        let mut view = crate::cli::fixture::service();
        assert_eq!(freeze(&view), "shop: not frozen; releases may go forward");
        let frozen = FreezeView {
            since: "2026-01-01T00:00:00Z".into(),
            until: None,
            actor: "anna".into(),
            why: None,
        };
        view.frozen = Some(frozen.clone());
        assert_eq!(freeze(&view), "shop: frozen until `serin thaw` by anna");
        let until = Some("2026-01-02T08:00:00.123Z".into());
        view.frozen = Some(FreezeView { until, why: Some("incident\n7".into()), ..frozen });
        assert_eq!(freeze(&view), "shop: frozen until 2026-01-02 08:00:00Z by anna: incident 7");
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        assert_eq!((ms(0.25), ms(12.4)), ("0.2 ms".to_owned(), "12 ms".to_owned()));
        assert_eq!((percent(0.0003), percent(0.5)), ("0.03%".to_owned(), "50.0%".to_owned()));
        assert_eq!(whole(Duration::from_millis(61_900)), "1m1s");
        assert_eq!(moment(1_767_225_600_999), "2026-01-01 00:00:00Z");
        assert_eq!(one_line(" a\n  b "), "a b");
    }
}
