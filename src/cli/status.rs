//! `serin status`: a service on one screen.

use super::table::{Align, table};
use super::words::{self, NONE};
use crate::admin::api::{
    EndpointView, GateReport, PlaceboView, PoolView, RolloutView, ServiceView,
};

const COLUMNS: [(&str, Align); 9] = [
    ("POOL", Align::Left),
    ("ROLE", Align::Left),
    ("VERSION", Align::Left),
    ("UP", Align::Left),
    ("REQUESTS", Align::Right),
    ("ERRORS", Align::Right),
    ("RATE", Align::Right),
    ("P50", Align::Right),
    ("P99", Align::Right),
];

/// Every service.
pub(super) fn all(services: &[ServiceView]) -> String {
    services.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// One service.
pub(super) fn one(view: &ServiceView) -> String {
    let rollout = view.rollout.as_ref();
    let mut text = format!("{}: {}", view.name, words::state(&view.state, rollout));
    if let Some(rollout) = rollout {
        let strategy = words::word(&rollout.strategy);
        text.push_str(&format!(" (release {}, {strategy})", rollout.id));
    }
    text.push('\n');
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    if !view.reason.is_empty() {
        line("reason", &words::one_line(&view.reason));
    }
    if let Some(PlaceboView { runs, fired, .. }) = &view.placebo
        && *runs > 0
    {
        let word = if *runs == 1 { "trial" } else { "trials" };
        line(
            "placebo",
            &format!("{fired} of {runs} {word} on equal halves of stable found a difference"),
        );
    }
    if let Some(error) = &view.unsaved {
        line(
            "unsaved",
            &format!("the state cannot be written: {error}; a kill would undo what is done now"),
        );
    }
    if let Some(frozen) = &view.frozen {
        line("frozen", &words::frozen_by(frozen));
    }
    if let Some(held) = held(view) {
        line("held", &held);
    }
    line("weight", &weight(view));
    if let Some(verdict) = &view.verdict {
        let evidence = &verdict.evidence;
        let parts: Vec<String> =
            evidence.by_name.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        line("evidence", &format!("{:.1} of {:.1}{parts}", evidence.log_e, evidence.threshold));
        if verdict.alarm {
            line("ALARM", &alarm(view));
        }
    }
    for gate in gates(view) {
        line("gate", &words::gate(gate));
    }
    // The one of this release, or the last that anybody asked for.
    let of_release = running(view).and_then(|rollout| rollout.rehearsal.as_ref());
    if let Some(rehearsal) = of_release.or(view.rehearsal.as_ref()) {
        line("rehearsal", &words::rehearsal(rehearsal));
    }
    if let Some(previous) = &view.previous {
        line("previous", &format!("{previous}; `serin undo {}` goes back to it", view.name));
    }
    if !view.rejected.is_empty() {
        line("rejected", &view.rejected.join(", "));
    }
    let pools: Vec<(&PoolView, &str)> = std::iter::once((&view.stable, "stable"))
        .chain(view.canary.iter().map(|pool| (pool, "canary")))
        .collect();
    let rows: Vec<_> = pools.iter().map(|(pool, role)| row(pool, role)).collect();
    text.push_str(&table("  ", &COLUMNS, &rows));
    for (pool, _) in pools {
        text.push_str(&trouble(pool));
    }
    text
}

/// The rollout that has not ended.
fn running(view: &ServiceView) -> Option<&RolloutView> {
    view.rollout.as_ref().filter(|rollout| rollout.ended.is_none())
}

/// What a person can do where serin does nothing.
fn alarm(view: &ServiceView) -> String {
    let all = match running(view) {
        Some(_) => format!("serin promote {} --full", view.name),
        None => format!("serin weight {} 100%", view.name),
    };
    let stable = &view.stable.name;
    format!("nothing is decided now: mend pool {stable}, or give the canary all users with `{all}`")
}

/// Who holds the rollout, since when and why.
fn held(view: &ServiceView) -> Option<String> {
    let rollout = running(view).filter(|rollout| rollout.state == "paused")?;
    let paused = rollout.decisions.iter().rev().find(|decision| decision.decision == "paused")?;
    let since = words::moment(paused.at_ms);
    Some(format!(
        "by {}, since {since}; `serin resume {}` lets it go on",
        words::by(paused),
        view.name
    ))
}

/// What the gates of the release found: while it runs, and after they kept it from running.
fn gates(view: &ServiceView) -> &[GateReport] {
    let shown = view
        .rollout
        .as_ref()
        .filter(|rollout| rollout.ended.is_none() || rollout.state == "gate_failed");
    shown.map_or(&[], |rollout| &rollout.gates)
}

fn weight(view: &ServiceView) -> String {
    let observed = view.weight.observed.map_or_else(
        || "no requests in the last minute".to_owned(),
        |observed| format!("{} observed", words::percent(observed)),
    );
    format!("{} wanted, {observed}", view.weight.wanted)
}

fn row(pool: &PoolView, role: &str) -> Vec<String> {
    let up = pool.endpoints.iter().filter(|endpoint| is_up(endpoint)).count();
    let none = || NONE.to_owned();
    vec![
        pool.name.clone(),
        role.to_owned(),
        pool.version.clone().unwrap_or_else(none),
        format!("{up} of {}", pool.endpoints.len()),
        pool.requests.to_string(),
        pool.errors.to_string(),
        pool.error_rate.map_or_else(none, words::percent),
        pool.latency_ms.map_or_else(none, |latency| words::ms(latency.p50)),
        pool.latency_ms.map_or_else(none, |latency| words::ms(latency.p99)),
    ]
}

fn is_up(endpoint: &EndpointView) -> bool {
    endpoint.health == "up" && !endpoint.drained
}

/// What is wrong with the endpoints of `pool`.
fn trouble(pool: &PoolView) -> String {
    let mut text = String::new();
    let name = &pool.name;
    if let Some(why) = &pool.resources {
        text.push_str(&format!("  ! {name}: resources: {}\n", words::one_line(why)));
    }
    if pool.endpoints.is_empty() {
        return format!("{text}  ! {name}: it has no endpoint\n");
    }
    if pool.endpoints.iter().all(|endpoint| endpoint.health == "down") {
        text.push_str(&format!("  ! {name}: every endpoint is down\n"));
    } else if !pool.endpoints.iter().any(is_up) {
        text.push_str(&format!("  ! {name}: no endpoint can be given requests\n"));
    }
    for endpoint in pool.endpoints.iter().filter(|endpoint| !is_up(endpoint)) {
        let mut state = endpoint.health.clone();
        if endpoint.address.is_none() {
            state.push_str(", its name has no address");
        }
        if endpoint.drained {
            state.push_str(&format!(", drained, {} requests to finish", endpoint.in_flight));
        }
        text.push_str(&format!("  ! {name}: {} is {state}\n", place(endpoint)));
    }
    text
}

/// What an endpoint is called, and where it is when that says more.
fn place(endpoint: &EndpointView) -> String {
    match &endpoint.address {
        Some(address) if *address != endpoint.target => format!("{} ({address})", endpoint.target),
        _ => endpoint.target.clone(),
    }
}

#[cfg(test)]
mod tests;
