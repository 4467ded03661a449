//! The items of the checklist, a rule each. Pure: what is seen goes in, what it means comes out.

use std::time::Duration;

use toml::Value;

use super::file::{self, File, Known};
use super::{Finding, Seen};
use crate::admin::api::{EndpointView, PoolView};
use crate::cli::words;

pub(super) type OfService = fn(&Seen<'_>) -> Finding;
pub(super) type OfSerin = fn(Result<&File, &str>) -> Finding;

/// What every service is asked, in the order of the page.
pub(super) const ABOUT_SERVICES: [(&str, OfService); 14] = [
    ("health-checks", health_checks),
    ("stable-up", stable_up),
    ("stable-endpoints", |seen| two(&seen.view.stable)),
    ("canary-endpoints", canary_endpoints),
    ("gates", gates),
    ("gates-stable", gates_stable),
    ("sticky", sticky),
    ("first-step", first_step),
    ("guard", guard),
    ("judge", judge),
    ("notify", notify),
    ("traffic", traffic),
    ("rehearsal", rehearsal),
    ("frozen", frozen),
];

/// What serin itself is asked.
pub(super) const ABOUT_SERIN: [(&str, OfSerin); 3] =
    [("file", readable), ("admin", admin), ("state", state)];

/// The shortest guard that sees more than a moment.
const GUARD_MIN: Duration = Duration::from_secs(60);
/// The largest share that a version may get that nobody has seen at work.
const FIRST_STEP_MAX: f64 = 0.05;
/// Requests of a minute below which 1 % is nobody.
const REQUESTS_MIN: u64 = 100;
/// Folders that are empty after a reboot.
const LOST_AT_REBOOT: [&str; 4] = ["/tmp/", "/run/", "/var/run/", "/dev/shm/"];

/// Asks the file, where there is one.
fn in_file(seen: &Seen<'_>, ask: impl FnOnce(&File, &str) -> Finding) -> Finding {
    match seen.file {
        Ok(file) => ask(file, &seen.view.name),
        Err(why) => unread(why),
    }
}

fn unread(why: &str) -> Finding {
    Finding::unknown(
        format!("the file cannot be read: {why}"),
        "run `serin check` where serin runs",
    )
}

fn health_checks(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let off = |pool: &&str| {
            let health = file.of_pool(name, pool, "health");
            health.and_then(|health| health.get("off")).and_then(Value::as_bool) == Some(true)
        };
        let pools = file.pools(name);
        let unchecked: Vec<&str> = pools.iter().copied().filter(|pool| off(pool)).collect();
        if unchecked.is_empty() {
            return Finding::holds("the servers of every pool are checked");
        }
        Finding::fails(
            format!("nobody checks pool {}: a dead server gets requests", unchecked.join(", ")),
            "take `off` out of `health`; `tcp = true` asks the least",
        )
    })
}

fn is_up(endpoint: &EndpointView) -> bool {
    endpoint.health == "up" && !endpoint.drained
}

fn stable_up(seen: &Seen<'_>) -> Finding {
    let pool = &seen.view.stable;
    let (up, all) = (pool.endpoints.iter().filter(|e| is_up(e)).count(), pool.endpoints.len());
    let counted = format!("{up} of {all} endpoints of pool {} are up", pool.name);
    if up == all && all > 0 {
        return Finding::holds(counted);
    }
    if pool.endpoints.iter().any(|endpoint| endpoint.health == "unknown") {
        return Finding::unknown(counted, "wait for the first checks, and ask again");
    }
    let todo = format!("see `serin status {}`; start what is down", seen.view.name);
    Finding::fails(counted, todo)
}

/// One server is no pool: its restart takes the whole pool away.
fn two(pool: &PoolView) -> Finding {
    let (name, count) = (&pool.name, pool.endpoints.len());
    if count >= 2 {
        return Finding::holds(format!("pool {name} has {count} endpoints"));
    }
    let count = if count == 0 { "no endpoint" } else { "one endpoint" };
    Finding::fails(
        format!("pool {name} has {count}: its restart takes everything away"),
        format!("add another one to pool {name}"),
    )
}

fn canary_endpoints(seen: &Seen<'_>) -> Finding {
    seen.view.canary.as_ref().map_or_else(
        || {
            Finding::fails(
                "there is no second pool to release to",
                "add a pool and name it as `canary`",
            )
        },
        two,
    )
}

fn gates(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| match file.count(name, &["gates"]) {
        0 => Finding::fails(
            "no gate: users are the first to ask a new version for anything",
            format!("add [[services.{name}.gates]] with a request that they make"),
        ),
        1 => Finding::holds("1 gate"),
        gates => Finding::holds(format!("{gates} gates")),
    })
}

/// After a migration the old version must still work, or there is no way back.
fn gates_stable(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        if !file.is_true(name, &["rollout", "stateful"]) {
            return Finding::holds("the service is not said to be `stateful`");
        }
        let gates = file.of_service(name, &["gates"]).and_then(Value::as_array);
        let asks_stable = |gate: &Value| {
            let against = gate.get("against").and_then(Value::as_array);
            against.is_some_and(|sides| sides.iter().any(|side| side.as_str() == Some("stable")))
        };
        if gates.is_some_and(|gates| gates.iter().any(asks_stable)) {
            return Finding::holds("a gate asks the version before, too");
        }
        Finding::fails(
            "no gate asks the version before: a migration that breaks it is found by the rollback",
            "write against = [\"canary\", \"stable\"] on a gate that reads and writes data",
        )
    })
}

fn sticky(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| match file.count(name, &["sticky"]) {
        0 => Finding::fails(
            "users change sides between two requests",
            "add sticky = [\"issue\"], or a cookie or header that names the user",
        ),
        _ => Finding::holds("users stay on their side"),
    })
}

fn first_step(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let steps = file.of_service(name, &["rollout", "steps"]).and_then(Value::as_array);
        let Some(weight) = steps.and_then(|steps| steps.first()?.get("weight")) else {
            return Finding::holds("the plan begins at 1%");
        };
        let limit = words::percent(FIRST_STEP_MAX);
        match file::share(weight) {
            Some(Known::Is(share)) if share <= FIRST_STEP_MAX => {
                Finding::holds(format!("the plan begins at {}", words::percent(share)))
            }
            Some(Known::Is(share)) => Finding::fails(
                format!(
                    "{} of the users meet a version first that nobody has seen",
                    words::percent(share)
                ),
                format!("begin `steps` with at most {limit}"),
            ),
            _ => in_variable("the share of the first step"),
        }
    })
}

fn in_variable(what: &str) -> Finding {
    Finding::unknown(format!("{what} stands in a variable"), "look at it where serin runs")
}

fn guard(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let Some(guard) = file.of_service(name, &["rollout", "guard"]) else {
            return Finding::holds("a release is watched for 5m at 100%");
        };
        match file::duration(guard) {
            Some(Known::Is(guard)) if guard >= GUARD_MIN => {
                Finding::holds(format!("a release is watched for {} at 100%", words::whole(guard)))
            }
            Some(Known::Is(guard)) => Finding::fails(
                format!("a release is watched for {} at 100%", words::duration(guard)),
                "write guard = \"1m\" or more",
            ),
            _ => in_variable("`guard`"),
        }
    })
}

fn judge(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let mode = file.of_service(name, &["judge", "mode"]).and_then(Value::as_str);
        if mode == Some("threshold") {
            return Finding::fails(
                "mode = \"threshold\" rolls back a third of good releases, and more",
                "take `mode` out of the judge",
            );
        }
        let watch = file.of_service(name, &["judge", "watch"]).and_then(Value::as_bool);
        if watch == Some(false) {
            return Finding::fails(
                "watch = false: a bad version keeps a share that was set by hand",
                "take `watch` out of the judge",
            );
        }
        Finding::holds("releases and shares set by hand are judged")
    })
}

fn notify(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| match file.count(name, &["rollout", "notify"]) {
        0 => Finding::fails(
            "nobody is told when a release is rolled back, or waits for somebody",
            "add notify = [{ webhook = \"https://...\", format = \"slack\" }] to the rollout",
        ),
        _ => Finding::holds("somebody is told"),
    })
}

/// Without requests nothing is known, and nothing advances.
fn traffic(seen: &Seen<'_>) -> Finding {
    let (requests, name) = (seen.view.stable.requests, &seen.view.name);
    let plan = format!("`serin plan {name} --rps N` shows what a step can see");
    match requests {
        0 => Finding::unknown(
            "no request in the last minute",
            format!("ask when there is traffic; {plan}"),
        ),
        1..REQUESTS_MIN => Finding::fails(
            format!("{requests} requests in the last minute: a share of 1% is nobody"),
            format!("begin with a larger step, or expect days; {plan}"),
        ),
        _ => Finding::holds(format!("{requests} requests in the last minute")),
    }
}

fn rehearsal(seen: &Seen<'_>) -> Finding {
    let todo = format!("run `serin rehearse {}`", seen.view.name);
    match &seen.view.rehearsal {
        None => Finding::unknown("the way back was never tried", todo),
        Some(rehearsal) if rehearsal.armed => Finding::holds(words::rehearsal(rehearsal)),
        Some(rehearsal) => {
            Finding::fails(words::rehearsal(rehearsal), format!("mend it, then {todo}"))
        }
    }
}

fn frozen(seen: &Seen<'_>) -> Finding {
    match &seen.view.frozen {
        None => Finding::holds("releases may go forward"),
        Some(frozen) => Finding::fails(
            format!("nothing goes forward, {}", words::frozen_by(frozen)),
            format!("`serin thaw {}` when it is over", seen.view.name),
        ),
    }
}

/// A file that cannot be read now would keep serin from starting again.
fn readable(file: Result<&File, &str>) -> Finding {
    match file {
        Ok(_) => Finding::holds("it can be read"),
        Err(why) => Finding::fails(words::one_line(why), "run `serin check` where serin runs"),
    }
}

fn admin(file: Result<&File, &str>) -> Finding {
    let file = match file {
        Ok(file) => file,
        Err(why) => return unread(why),
    };
    if file.text(&["admin", "token_file"]).is_some() {
        return Finding::holds("the API wants a token");
    }
    match file.text(&["admin", "bind"]) {
        Some(bind) if bind.contains("${") => in_variable("`admin.bind`"),
        Some(bind) if bind.starts_with("unix:") => {
            Finding::holds("the API is a socket: whoever may open it may release")
        }
        // serin refuses any other address without a token.
        _ => Finding::holds("the API answers this machine only: whoever has a login may release"),
    }
}

fn state(file: Result<&File, &str>) -> Finding {
    let file = match file {
        Ok(file) => file,
        Err(why) => return unread(why),
    };
    let path = file.text(&["state", "path"]).unwrap_or("serin-state");
    if path.contains("${") {
        return in_variable("`state.path`");
    }
    if LOST_AT_REBOOT.iter().any(|folder| path.starts_with(folder)) {
        return Finding::fails(
            format!("the state is in {path}, which is empty after a reboot"),
            "write a path that lasts in [state], such as \"/var/lib/serin\"",
        );
    }
    Finding::holds(format!("the state is in {path}"))
}
