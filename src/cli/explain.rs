//! `serin explain`: the whole story of one release on a page. What it was, what its gates and its
//! rehearsal showed, every decision with the numbers it stood on, and what can be done now.

use std::time::Duration;

use serde_json::Value;

use super::client::{Client, typed};
use super::exit::Failure;
use super::out::Out;
use super::words::{self, NONE};
use crate::admin::api::{Decision, Evidence, GateReport, RolloutView, ServiceView, segment};

mod next;

/// How many kinds of evidence are shown of a decision, the strongest first.
const EVIDENCE_SHOWN: usize = 3;
/// How many lines are shown of what a gate's program wrote, the last ones.
const OUTPUT_LINES: usize = 5;

/// Tells the story of release `id`.
pub(super) async fn explain(client: &Client, out: &Out, id: &str) -> Result<(), Failure> {
    let mut value = client.get(&format!("/v1/rollouts/{}", segment(id))).await?;
    let rollout: RolloutView = typed(&value)?;
    let service = value.get("service").and_then(Value::as_str).unwrap_or(NONE).to_owned();
    let view = match client.get(&format!("/v1/services/{}", segment(&service))).await {
        Ok(view) => Some(typed::<ServiceView>(&view)?),
        // A story outlives its service.
        Err(Failure::Refused { status: 404, .. }) => None,
        Err(failure) => return Err(failure),
    };
    let next = view.map(|view| next::steps(&view, &rollout)).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("next".into(), next.clone().into());
    }
    out.either(&value, || story(&service, &rollout, &next));
    Ok(())
}

/// The story as people read it.
fn story(service: &str, rollout: &RolloutView, next: &[String]) -> String {
    let mut text = header(service, rollout);
    if !rollout.gates.is_empty() {
        text.push_str("\nGates\n");
        rollout.gates.iter().for_each(|gate| text.push_str(&gate_told(gate)));
    }
    if let Some(rehearsal) = &rollout.rehearsal {
        text.push_str(&format!("\nRehearsal\n  {}\n", words::rehearsal(rehearsal)));
    }
    text.push_str("\nDecisions\n");
    let began_ms = words::began_ms(rollout).unwrap_or_default();
    for decision in &rollout.decisions {
        text.push_str(&told(decision, began_ms));
    }
    if !next.is_empty() {
        text.push_str("\nNext\n");
        next.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn header(service: &str, rollout: &RolloutView) -> String {
    let RolloutView { id, version, pool, .. } = rollout;
    let state = words::state(&rollout.state, Some(rollout));
    let mut text = format!("{service}: release {id}, version {version}: {state}\n");
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    let shares: Vec<String> = rollout.plan.weights().map(|weight| weight.to_string()).collect();
    let strategy = words::word(&rollout.strategy);
    line("to", &format!("pool {pool}, {strategy}: {}, then all", shares.join(", ")));
    if let Some(first) = rollout.decisions.first() {
        line("began", &format!("{} by {}", words::moment(first.at_ms), words::by(first)));
    }
    let last = rollout.decisions.last();
    if let (Some(ended), Some(last)) = (&rollout.ended, last) {
        let after = words::lasted(rollout).map(words::whole).unwrap_or_default();
        line("ended", &format!("{}, after {after}, by {}", words::rfc3339(ended), words::by(last)));
        line("because", &words::one_line(&last.words));
    }
    let (requests, failed) = (rollout.canary_requests, rollout.canary_errors);
    line("canary", &format!("{requests} requests, {failed} failed"));
    text
}

/// A gate with the end of what it wrote.
fn gate_told(gate: &GateReport) -> String {
    let mut text = format!("  {}\n", words::gate(gate));
    let lines: Vec<&str> = gate.output.as_deref().unwrap_or_default().trim_end().lines().collect();
    let from = lines.len().saturating_sub(OUTPUT_LINES);
    for line in &lines[from..] {
        text.push_str(&format!("    | {line}\n"));
    }
    text
}

/// A decision, how long after the first one, and what it stood on.
fn told(decision: &Decision, began_ms: u64) -> String {
    let Decision { at_ms, weight, .. } = decision;
    let after = Duration::from_millis(at_ms.saturating_sub(began_ms));
    let what = decision.decision.replace('_', " ");
    let mut text = format!(
        "  {}  {:<8} {what:<11} {:>5}  {}\n",
        words::moment(*at_ms),
        format!("+{}", words::whole(after)),
        weight.to_string(),
        words::one_line(&because(decision)),
    );
    let mut more = |name: &str, line: &str| text.push_str(&format!("      {name:<9} {line}\n"));
    more("by", &words::by(decision));
    if let Some(evidence) = &decision.evidence {
        more("evidence", &against(evidence));
        more("step", &seen(evidence));
        if let Some(line) = for_going_on(evidence) {
            more("to go on", &line);
        }
    }
    text
}

/// The reason and its words, unless those say it, or the decision does: `p99: canary 30 of 30`.
fn because(decision: &Decision) -> String {
    let Decision { reason, words, .. } = decision;
    let said = words.strip_prefix(reason.as_str()).is_some_and(|rest| rest.starts_with(':'));
    match said || *reason == decision.decision {
        true => words.clone(),
        false => format!("{reason}: {words}"),
    }
}

/// The evidence against the canary, and what it was made of.
fn against(evidence: &Evidence) -> String {
    let mut by_name: Vec<_> = evidence.by_name.iter().collect();
    by_name.sort_by(|a, b| b.1.total_cmp(&a.1));
    let parts: Vec<String> = by_name
        .iter()
        .take(EVIDENCE_SHOWN)
        .map(|(name, value)| format!("{name} {value:.1}"))
        .collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{:.1} of {:.1}{parts}", evidence.log_e, evidence.threshold)
}

/// What both pools did in the step.
fn seen(evidence: &Evidence) -> String {
    let Evidence { canary_n, canary_errors, stable_n, stable_errors, .. } = evidence;
    let lasted = words::duration(Duration::from_secs_f64(evidence.step_s.clamp(0.0, 1e9)));
    let mut text = format!(
        "after {lasted}: canary failed {canary_errors} of {canary_n}, stable {stable_errors} of {stable_n}"
    );
    if evidence.excess >= 1.0 {
        text.push_str(&format!("; {:.0} more than stable's rate explains", evidence.excess));
    }
    text
}

/// The evidence that the canary does no harm, where it is asked for.
fn for_going_on(evidence: &Evidence) -> Option<String> {
    let parts = [("errors", evidence.advance_errors), ("latency", evidence.advance_latency)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, value)| {
            Some(format!("{name} {:.1} of {:.1}", value?, evidence.advance_threshold))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests;
