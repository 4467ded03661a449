//! `[services.NAME]`: the roles of its pools, and whether its parts fit together.

use std::collections::BTreeMap;

use super::hosts::{Claims, matching};
use super::pool::{Written, pools};
use super::{gates, judge, rollout, users};
use crate::config::error::{Found, Source, quote};
use crate::config::file::{Table, Value};
use crate::config::{Service, keys};
use crate::split::Weight;

/// All services; there must be one.
pub(super) fn services(root: &Table<'_>, source: &Source<'_>) -> Option<BTreeMap<String, Service>> {
    let tables = root.named("services", &keys::SERVICE)?;
    if tables.is_empty() {
        let found = Found::at(&root.at, "no service: nothing would be served");
        let hint = "add [services.shop.pools.blue] with endpoints = [\"app:3000\"]";
        root.context.refuse(found.hint(hint));
        return None;
    }
    let mut claims = Claims::default();
    let mut all = BTreeMap::new();
    for (name, table) in tables {
        if let Some(service) = service(&table, &name, source, &mut claims) {
            all.insert(name, service);
        }
    }
    Some(all)
}

fn service(
    table: &Table<'_>,
    name: &str,
    source: &Source<'_>,
    claims: &mut Claims,
) -> Option<Service> {
    let matching = matching(table);
    claims.take(table, source, name, &matching);
    let pools = pools(table);
    let stable = stable(table, &pools);
    let canary = canary(table, &pools, stable.as_deref());
    let weight = table.get("weight").and_then(|value| {
        let weight = value.weight()?;
        weight_needs_canary(table, &value, weight, canary.as_deref().and_then(|c| pools.get(c)));
        Some(weight)
    });
    let sticky = users::sticky(table);
    let issue = users::issue(table, &sticky);
    let force = users::force(table);
    let rollout = rollout::rollout(table, &sticky, pools.len());
    let gates = gates::gates(table, &pools);
    let judge = judge::judge(table, weight.unwrap_or_default());
    if let Some(value) = table.get("weight")
        && weight.is_some_and(|weight| !weight.is_zero())
        && !judge.watch
    {
        let message = "nobody watches this share: `watch` is false";
        table
            .context
            .warn(Found::at(&value.at, message).hint("a bad canary keeps it until you act"));
    }
    if let Some(rollout) = table.get("rollout")
        && canary.is_some()
        && !table.has("gates")
    {
        let message = "no gate: users are the first to ask a new version for anything";
        let hint = format!(
            "add [[services.{name}.gates]] with a request that they make, or gates = [] to do without"
        );
        table.context.warn(Found::at(&rollout.at, message).hint(hint));
    }
    Some(Service {
        name: name.to_owned(),
        hosts: matching.hosts,
        paths: matching.paths,
        matches: matching.matches,
        stable: stable?,
        canary,
        weight: weight.unwrap_or_default(),
        sticky,
        issue,
        force,
        pools: pools.into_iter().map(|(name, written)| (name, written.pool)).collect(),
        rollout,
        gates,
        judge,
    })
}

/// The name of a pool, which must exist.
fn pool_name(value: &Value<'_>, pools: &BTreeMap<String, Written>) -> Option<String> {
    let name = value.text()?;
    if pools.contains_key(&name) {
        return Some(name);
    }
    value.refuse_with(format!("there is no pool {}", quote(&name)), pool_names(pools))
}

fn pool_names(pools: &BTreeMap<String, Written>) -> String {
    let names: Vec<_> = pools.keys().map(|name| quote(name)).collect();
    format!("the pools of this service are {}", names.join(", "))
}

fn stable(table: &Table<'_>, pools: &BTreeMap<String, Written>) -> Option<String> {
    if pools.is_empty() {
        return None;
    }
    let name = match (table.get("stable"), pools.first_key_value()) {
        (Some(value), _) => pool_name(&value, pools)?,
        (None, Some((only, _))) if pools.len() == 1 => only.clone(),
        _ => {
            table.require("stable", &pool_names(pools));
            return None;
        }
    };
    if let Some(written) = pools.get(&name).filter(|written| written.waiting) {
        let message = "the stable pool needs at least one endpoint";
        table.context.refuse(Found::at(&written.at, message));
    }
    Some(name)
}

fn canary(
    table: &Table<'_>,
    pools: &BTreeMap<String, Written>,
    stable: Option<&str>,
) -> Option<String> {
    let value = table.get("canary").filter(|_| !pools.is_empty())?;
    let name = pool_name(&value, pools)?;
    if stable == Some(name.as_str()) {
        return value.refuse_with(
            format!("{} is the stable pool already", quote(&name)),
            "the canary is another pool; a service with one pool has none",
        );
    }
    let written = pools.get(&name)?;
    // A name may stand for many servers, and one machine is enough to try serin out.
    if let [only] = written.pool.endpoints.as_slice()
        && only.ip().is_some_and(|ip| !ip.is_loopback())
    {
        let message =
            "the canary has a single endpoint: when it restarts, the release is rolled back";
        table.context.warn(Found::at(&written.at, message).hint("add a second one"));
    }
    Some(name)
}

fn weight_needs_canary(
    table: &Table<'_>,
    value: &Value<'_>,
    weight: Weight,
    canary: Option<&Written>,
) {
    if weight.is_zero() {
        return;
    }
    match canary {
        Some(canary) if canary.waiting => {
            value.refuse::<()>("a `weight` above 0% needs a canary with endpoints");
        }
        Some(_) => {}
        // A canary that is written but wrong has been refused already.
        None if table.has("canary") => {}
        None => {
            value.refuse_with::<()>(
                "a `weight` above 0% needs a canary",
                "add canary = \"POOL\", or leave `weight` out",
            );
        }
    }
}
