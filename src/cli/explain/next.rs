//! What can be done about a release now.

use crate::admin::api::{RolloutView, ServiceView};
use crate::cli::words;

/// What can be done about `rollout`, where `view` is its service now; one line each.
pub(super) fn steps(view: &ServiceView, rollout: &RolloutView) -> Vec<String> {
    let name = &view.name;
    let is_last = view
        .rollout
        .as_ref()
        .is_some_and(|last| last.id == rollout.id && last.started == rollout.started);
    let mut lines = Vec::new();
    match rollout.state.as_str() {
        "promoted" if is_last => lines.push(undo(view, rollout)),
        "rolled_back" | "undone" | "gate_failed" => lines.push(again(view, rollout)),
        "approval" => lines
            .push(format!("it waits for `serin promote {name}`; `serin abort {name}` gives up")),
        "paused" => lines
            .push(format!("`serin resume {name}` lets it go on; `serin abort {name}` gives up")),
        "guard" => lines.push(format!(
            "`serin undo {name}` goes back in one swap; the guard watches for {}",
            words::whole(rollout.plan.guard)
        )),
        "gate" | "step" => lines.push(format!(
            "it goes on by itself; `serin pause {name}` holds it, `serin abort {name}` gives up"
        )),
        _ => {}
    }
    if let Some(last) = view.rollout.as_ref().filter(|_| !is_last) {
        lines.push(format!("release {} came after it: `serin explain {}`", last.id, last.id));
    }
    if let Some(frozen) = &view.frozen {
        let until = words::frozen_by(frozen);
        lines.push(format!("nothing goes forward, {until}; `serin thaw {name}`"));
    }
    lines
}

/// How a promoted release is taken back, and until when.
fn undo(view: &ServiceView, rollout: &RolloutView) -> String {
    let Some(previous) = &view.previous else {
        return "the previous pool is no longer kept; to go back, deploy the version before".into();
    };
    let until = rollout.decisions.last().map(|last| {
        let kept = u64::try_from(rollout.plan.retire_after.as_millis()).unwrap_or(u64::MAX);
        words::moment(last.at_ms.saturating_add(kept))
    });
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!("`serin undo {}` goes back to pool {previous}{until}", view.name)
}

/// How a release that ended badly is tried again.
fn again(view: &ServiceView, rollout: &RolloutView) -> String {
    let (name, id) = (&view.name, &rollout.id);
    match view.rejected.iter().rev().position(|rejected| rejected == id) {
        None => {
            let version = &rollout.version;
            let id = if id == version { String::new() } else { format!(" --id {id}") };
            format!("`serin deploy {name} --version {version}{id}` tries it again")
        }
        Some(0) => format!(
            "{id} is rejected; mend it and deploy it under another id, or allow it again with `serin retry {name}`"
        ),
        // `retry` allows the one that was rejected last.
        Some(_) => format!("{id} is rejected; mend it and deploy it under another id"),
    }
}
