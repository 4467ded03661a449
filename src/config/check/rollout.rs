//! `[services.NAME.rollout]`: the plan of a release.

use std::ops::Range;

use toml::de::DeValue;

use super::hooks::{hooks, notify};
use crate::config::error::Found;
use crate::config::file::{Table, Value};
use crate::config::units::duration_text;
use crate::config::{Hooks, Rollout, keys};
use crate::rollout::plan::{
    HOLD, OnInconclusive, Plan, REQUESTS, Step, Strategy, check_steps, default_steps,
};
use crate::split::Weight;
use crate::split::sticky::Source;

/// The rollout of `service`, which has `sticky` and this many pools.
pub(super) fn rollout(service: &Table<'_>, sticky: &[Source], pools: usize) -> Rollout {
    let default = || Rollout {
        plan: Plan::default_of(Strategy::Canary),
        stateful: false,
        hooks: Hooks::default(),
        notify: Vec::new(),
    };
    let Some(table) = service.table("rollout", &keys::ROLLOUT) else { return default() };
    warn(&table, sticky, pools);
    Rollout {
        plan: plan(&table),
        stateful: stateful(&table, sticky),
        hooks: hooks(&table),
        notify: notify(&table),
    }
}

/// Warns of what a release does without.
fn warn(table: &Table<'_>, sticky: &[Source], pools: usize) {
    if pools == 1 {
        let message = "a rollout needs a second pool, this service has one";
        table
            .context
            .warn(Found::at(&table.at, message).hint("add a pool and name it as `canary`"));
    }
    if sticky.is_empty() {
        let message = "users change sides between requests: the service is not `sticky`";
        let hint = "add sticky = [\"issue\"], or a cookie or header that names the user";
        table.context.warn(Found::at(&table.at, message).hint(hint));
    }
    if !table.has("notify") {
        let message = "nobody is told when a release is rolled back, or waits for somebody";
        let hint = "add notify = [{ webhook = \"https://...\", format = \"slack\" }], or notify = [] to do without";
        table.context.warn(Found::at(&table.at, message).hint(hint));
    }
}

fn plan(table: &Table<'_>) -> Plan {
    let strategies =
        [("canary", Strategy::Canary), ("blue-green", Strategy::BlueGreen), ("ab", Strategy::Ab)];
    let strategy = table.read("strategy", |value| value.choice(&strategies, &[]));
    let mut plan = Plan::default_of(strategy.unwrap_or(Strategy::Canary));
    if let Some(guard) = table.get("guard")
        && let Some(duration) = guard.duration(true)
    {
        if duration.is_zero() && plan.strategy != Strategy::Ab {
            let message = "without a guard nobody watches the release once it has all requests";
            table.context.warn(Found::at(&guard.at, message).hint("write at least \"1m\""));
        }
        plan.guard = duration;
    }
    if let Some(duration) = table.read("retire_after", |value| value.duration(true)) {
        plan.retire_after = duration;
    }
    if let Some(duration) = table.read("deadline", |value| value.duration(false)) {
        plan.deadline = duration;
    }
    on_inconclusive(table, &mut plan);
    match table.get("steps") {
        None => plan.steps = default_steps(plan.strategy),
        Some(value) => match steps(&value, &plan) {
            Some(steps) => plan.steps = steps,
            // Where the point of no return lies cannot be told.
            None => return plan,
        },
    }
    plan.irreversible_from = table.read("irreversible_after", |value| irreversible(value, &plan));
    plan
}

fn on_inconclusive(table: &Table<'_>, plan: &mut Plan) {
    let ways = [
        ("hold", OnInconclusive::Hold),
        ("advance", OnInconclusive::Advance),
        ("rollback", OnInconclusive::Rollback),
    ];
    let Some(value) = table.get("on_inconclusive") else { return };
    let Some(way) = value.choice(&ways, &[]) else { return };
    if way == OnInconclusive::Advance {
        let message = "a step that is still undecided at its deadline counts as passed";
        let hint = "`hold` waits for somebody, `rollback` goes back";
        table.context.warn(Found::at(&value.at, message).hint(hint));
    }
    plan.on_inconclusive = way;
}

/// The step, from 0, from which on nothing is rolled back; the file counts from 1.
fn irreversible(value: &Value<'_>, plan: &Plan) -> Option<usize> {
    if matches!(value.raw(), DeValue::String(text) if text == "none") {
        return None;
    }
    let count = plan.steps.len();
    if !matches!(value.raw(), DeValue::Integer(_)) {
        value.mismatch("\"none\" or the number of a step", Some("the first step is 1"));
        return None;
    }
    let step = value.integer(1..=u64::try_from(count).unwrap_or(u64::MAX))?;
    usize::try_from(step).ok().map(|step| step - 1)
}

fn stateful(table: &Table<'_>, sticky: &[Source]) -> bool {
    let Some(value) = table.get("stateful") else { return false };
    let stateful = value.boolean().unwrap_or(false);
    let lasting = sticky.iter().any(|source| !matches!(source, Source::Query(_)));
    if stateful && !lasting {
        let message = match sticky {
            [] => "`stateful` needs `sticky`: users would change sides between requests",
            _ => "`stateful` needs a key that every request carries, a query does not",
        };
        value.refuse_with::<()>(message, "add \"issue\", or a cookie or header, to `sticky`");
    }
    stateful
}

/// The steps, each with the places of its weight and its hold.
fn steps(value: &Value<'_>, plan: &Plan) -> Option<Vec<Step>> {
    let list = value.list()?;
    if list.is_empty()
        && let Err(bad) = check_steps(&[])
    {
        return value.refuse_with(bad.message, "leave `steps` out to use the defaults");
    }
    if plan.strategy == Strategy::Ab
        && let Some(second) = list.get(1)
    {
        let message = "an \"ab\" split holds one share, so it has one step";
        return second.refuse_with(message, "keep one step, or write strategy = \"canary\"");
    }
    let all: Vec<_> = list.iter().map(|value| step(value, plan)).collect();
    let mut before: Option<&Step> = None;
    for (step, at) in all.iter().flatten() {
        // Each step is checked alone, then beside the one before it, so that none hides another.
        let pair: Vec<Step> = before.into_iter().chain([step]).copied().collect();
        let alone = check_steps(std::slice::from_ref(step));
        let beside = check_steps(&pair);
        if let Err(bad) = alone {
            let at = if step.weight.is_zero() { &at.weight } else { &at.requests };
            value.context.refuse(Found::at(at, bad.message));
        } else if let Err(bad) = beside
            && bad.step == Some(pair.len() - 1)
        {
            value.context.refuse(Found::at(&at.weight, bad.message));
        }
        before = Some(step);
    }
    all.into_iter().map(|step| step.map(|(step, _)| step)).collect()
}

/// Where the parts of a step stand.
struct Places {
    weight: Range<usize>,
    requests: Range<usize>,
}

fn step(value: &Value<'_>, plan: &Plan) -> Option<(Step, Places)> {
    let table = value.table(&keys::STEP)?;
    let place = |key| table.get(key).map_or_else(|| table.at.clone(), |value| value.at);
    let weight = table.require("weight", "add weight = \"5%\"");
    let weight = weight.and_then(|value| value.weight());
    if weight == Some(Weight::FULL) {
        let message = "at 100% nothing runs beside the canary to compare it with";
        let hint = "end with a smaller step: the switch to 100% follows the last step by itself";
        table.context.warn(Found::at(&place("weight"), message).hint(hint));
    }
    let hold = table.read("hold", |value| value.duration(true)).unwrap_or(HOLD);
    if hold > plan.deadline && plan.strategy != Strategy::Ab {
        let deadline = duration_text(plan.deadline);
        let message = format!("`hold` is longer than the deadline of a step, {deadline}");
        let hint = "raise `deadline`, or every release reaches it";
        table.context.warn(Found::at(&place("hold"), message).hint(hint));
    }
    let step = Step {
        weight: weight?,
        requests: table.read("requests", |value| value.integer(0..=u64::MAX)).unwrap_or(REQUESTS),
        hold,
        approval: table.read("approval", Value::boolean).unwrap_or(false),
    };
    Some((step, Places { weight: place("weight"), requests: place("requests") }))
}
