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
pub(super) const ABOUT_SERVICES: [(&str, OfService); 12] = [
    ("health-checks", health_checks),
    ("timeouts", timeouts),
    ("sticky", sticky),
    ("resources", resources),
    ("canary-endpoints", canary_endpoints),
    ("gates", gates),
    ("plan-fits-traffic", plan_fits_traffic),
    ("judge-watches", judge_watches),
    ("guard", guard),
    ("previous-kept", previous_kept),
    ("rollback-rehearsed", rollback_rehearsed),
    ("notify", notify),
];

/// What serin itself is asked.
pub(super) const ABOUT_SERIN: [(&str, OfSerin); 5] = [
    ("file-valid", file_valid),
    ("metrics-scraped", metrics_scraped),
    ("admin-token", admin_token),
    ("state-durable", state_durable),
    ("restarts", restarts),
];

/// The shortest guard that sees more than a moment.
const GUARD_MIN: Duration = Duration::from_secs(5 * 60);
/// The shortest time in which people notice what no number shows.
const KEPT_MIN: Duration = Duration::from_secs(15 * 60);
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
        let unchecked: Vec<&str> = file.pools(name).into_iter().filter(off).collect();
        if unchecked.is_empty() {
            return all_up(seen);
        }
        Finding::fails(
            format!("nobody checks pool {}: a dead server gets requests", unchecked.join(", ")),
            "take `off` out of `health`; `tcp = true` asks the least",
        )
    })
}

/// What the checks say of the pool that users rely on.
fn all_up(seen: &Seen<'_>) -> Finding {
    let pool = &seen.view.stable;
    let is_up = |endpoint: &&EndpointView| endpoint.health == "up" && !endpoint.drained;
    let (up, all) = (pool.endpoints.iter().filter(is_up).count(), pool.endpoints.len());
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

/// The defaults suit few services, and a canary that hangs is as bad as one that fails.
fn timeouts(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let by_default = |pool: &&str| {
            let timeouts = file.of_pool(name, pool, "timeouts");
            timeouts.and_then(|timeouts| timeouts.get("first_byte")).is_none()
        };
        let pools: Vec<&str> = file.pools(name).into_iter().filter(by_default).collect();
        if pools.is_empty() {
            return Finding::holds("every pool has a time limit of its own");
        }
        Finding::fails(
            format!("pool {} may take 15 s until the first byte", pools.join(", ")),
            "write timeouts = { first_byte = \"...\" }: two to three times the slowest good answer",
        )
    })
}

fn resources(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let unread = |pool: &&str| file.of_pool(name, pool, "resources").is_none();
        let pools: Vec<&str> = file.pools(name).into_iter().filter(unread).collect();
        if pools.is_empty() {
            return Finding::holds("the CPU and memory of every pool are watched");
        }
        Finding::fails(
            format!("nobody watches the CPU and memory of pool {}", pools.join(", ")),
            "add `resources` with `metrics`, `cgroup` or `pid`",
        )
    })
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

/// Either pool has to carry everything: stable after a rollback, the canary at 100 %.
fn canary_endpoints(seen: &Seen<'_>) -> Finding {
    let Some(canary) = &seen.view.canary else {
        return Finding::fails(
            "there is no second pool to release to",
            "add a pool and name it as `canary`",
        );
    };
    match (two(canary), two(&seen.view.stable)) {
        (Finding::Holds(canary), Finding::Holds(stable)) => {
            Finding::holds(format!("{canary}, {stable}"))
        }
        (Finding::Holds(_), trouble) | (trouble, _) => trouble,
    }
}

fn gates(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let count = file.count(name, &["gates"]);
        if count == 0 {
            return Finding::fails(
                "no gate: users are the first to ask a new version for anything",
                format!("add [[services.{name}.gates]] with a request that they make"),
            );
        }
        let gates = file.of_service(name, &["gates"]).and_then(Value::as_array);
        let asks_stable = |gate: &Value| {
            let against = gate.get("against").and_then(Value::as_array);
            against.is_some_and(|sides| sides.iter().any(|side| side.as_str() == Some("stable")))
        };
        let asks_stable = gates.is_some_and(|gates| gates.iter().any(asks_stable));
        // After a migration the old version must still work, or there is no way back.
        if file.is_true(name, &["rollout", "stateful"]) && !asks_stable {
            return Finding::fails(
                "no gate asks the version before: a migration that breaks it is found by the rollback",
                "write against = [\"canary\", \"stable\"] on a gate that reads and writes data",
            );
        }
        Finding::holds(if count == 1 { "1 gate".into() } else { format!("{count} gates") })
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

/// Without requests nothing is known, and nothing advances.
fn plan_fits_traffic(seen: &Seen<'_>) -> Finding {
    let name = &seen.view.name;
    let foresee = format!("`serin plan {name} --rps N` shows what its steps can see");
    in_file(seen, |file, name| {
        let Some((steps, deadline)) = file::plan(file, name) else {
            return in_variable("something of the plan");
        };
        let requests = seen.view.stable.requests;
        if requests == 0 {
            let todo = format!("ask again when there is traffic; {foresee}");
            return Finding::unknown("no request in the last minute", todo);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of one minute")]
        let rps = requests as f64 / 60.0;
        let late = steps.iter().enumerate().find_map(|(index, step)| {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
            let takes = Duration::try_from_secs_f64(step.requests as f64 / (rps * step.share));
            let takes = takes.unwrap_or(Duration::MAX).max(step.hold);
            (takes > deadline).then_some((index + 1, takes))
        });
        match late {
            None => Finding::holds(format!(
                "{requests} requests in the last minute are enough for every step"
            )),
            Some((step, takes)) => Finding::fails(
                format!(
                    "step {step} takes {} at {requests} requests a minute, longer than its deadline of {}",
                    words::whole(takes),
                    words::whole(deadline)
                ),
                format!("use larger first steps, or \"blue-green\"; {foresee}"),
            ),
        }
    })
}

fn in_variable(what: &str) -> Finding {
    Finding::unknown(format!("{what} stands in a variable"), "look at it where serin runs")
}

fn guard(seen: &Seen<'_>) -> Finding {
    at_least(seen, "guard", GUARD_MIN, "a release is watched at 100%")
}

fn previous_kept(seen: &Seen<'_>) -> Finding {
    at_least(seen, "retire_after", KEPT_MIN, "the pool before is kept for `undo`")
}

/// Whether the duration `key` of the rollout, whose default is `least`, is no shorter than that.
fn at_least(seen: &Seen<'_>, key: &str, least: Duration, what: &str) -> Finding {
    in_file(seen, |file, name| {
        let written = file.of_service(name, &["rollout", key]);
        let known = written.map_or(Some(Known::Is(least)), file::duration);
        match known {
            Some(Known::Is(time)) if time >= least => {
                Finding::holds(format!("{what} for {}", words::whole(time)))
            }
            Some(Known::Is(time)) => Finding::fails(
                format!("{what} for only {}", words::duration(time)),
                format!("write {key} = \"{}\" or more", words::whole(least)),
            ),
            _ => in_variable(&format!("`{key}`")),
        }
    })
}

fn judge_watches(seen: &Seen<'_>) -> Finding {
    in_file(seen, |file, name| {
        let text = |path: &[&str]| file.of_service(name, path).and_then(Value::as_str);
        if text(&["judge", "mode"]) == Some("threshold") {
            return Finding::fails(
                "mode = \"threshold\" rolls back a third of good releases, and more",
                "take `mode` out of the judge",
            );
        }
        if text(&["rollout", "on_inconclusive"]) == Some("advance") {
            return Finding::fails(
                "on_inconclusive = \"advance\" calls the unknown good",
                "take `on_inconclusive` out of the rollout",
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

fn rollback_rehearsed(seen: &Seen<'_>) -> Finding {
    let todo = format!("run `serin rehearse {}`", seen.view.name);
    match &seen.view.rehearsal {
        None => Finding::unknown("the way back was never tried", todo),
        Some(rehearsal) if rehearsal.armed => Finding::holds(words::rehearsal(rehearsal)),
        Some(rehearsal) => {
            Finding::fails(words::rehearsal(rehearsal), format!("mend it, then {todo}"))
        }
    }
}

/// A file that cannot be read now would keep serin from starting again.
fn file_valid(file: Result<&File, &str>) -> Finding {
    match file {
        Ok(_) => Finding::holds("it can be read"),
        Err(why) => Finding::fails(words::one_line(why), "run `serin check` where serin runs"),
    }
}

fn metrics_scraped(_: Result<&File, &str>) -> Finding {
    Finding::by_hand(
        "whether anybody reads /metrics, only they know",
        "scrape it; alert on serin_endpoint_up being 0, and on serin_rollout_state that stays in paused or approval",
    )
}

fn admin_token(file: Result<&File, &str>) -> Finding {
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

fn state_durable(file: Result<&File, &str>) -> Finding {
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

fn restarts(_: Result<&File, &str>) -> Finding {
    Finding::by_hand(
        "whether somebody starts serin again, serin cannot see",
        "let systemd or the container's engine restart it, with 30 s to stop and /readyz as its probe",
    )
}
