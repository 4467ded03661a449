//! `[services.NAME.rollout]`: the plan of a release.

use std::ops::Range;

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
    let strategies = [("canary", Strategy::Canary), ("blue-green", Strategy::BlueGreen)];
    let strategy = table.read("strategy", |value| value.choice(&strategies, &["ab"]));
    let mut plan = Plan::default_of(strategy.unwrap_or(Strategy::Canary));
    if let Some(guard) = table.get("guard")
        && let Some(duration) = guard.duration(true)
    {
        if duration.is_zero() {
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
    let ways = [
        ("hold", OnInconclusive::Hold),
        ("advance", OnInconclusive::Advance),
        ("rollback", OnInconclusive::Rollback),
    ];
    if let Some(way) = table.read("on_inconclusive", |value| value.choice(&ways, &[])) {
        plan.on_inconclusive = way;
    }
    plan.steps = table
        .get("steps")
        .and_then(|value| steps(&value, &plan))
        .unwrap_or_else(|| default_steps(plan.strategy));
    if let Some(value) = table.get("irreversible_after")
        && let Some(text) = value.text()
        && text != "none"
    {
        value.refuse_with::<()>(
            "`irreversible_after` is not available yet",
            "write \"none\", or leave it out: every step can be rolled back",
        );
    }
    Rollout {
        plan,
        stateful: stateful(&table, sticky),
        hooks: Hooks::default(),
        notify: Vec::new(),
    }
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
    if hold > plan.deadline {
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
