//! What a new file means for the state of a running service. Pure, and three-way: a value of the
//! file is applied when *the file's* value changed since it was last applied, so a live weight is
//! never reset because somebody touched another line.

use std::collections::BTreeMap;

use super::live::{Applied, Live};
use crate::config::{self, Config};
use crate::split::{Salt, Weight};

/// Merges `live` with what `service` says now. What would go forward in a freeze waits for the first
/// merge after the thaw. A share that the file changes while a rollout runs is not applied at all:
/// later it would be another version's. See [`held_back`].
///
/// # Errors
/// When the file lacks the pool that is stable now, or changes the pools of a running rollout.
pub(super) fn merge(live: &Live, service: &config::Service, now_ms: u64) -> Result<Live, String> {
    let name = &service.name;
    let known = || service.pools.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut merged = live.clone();
    let now = Applied::of(service);
    let before = &live.applied;
    let running = live.state().is_running();
    let frozen = live.frozen(now_ms).is_some();
    // A file that only catches up with a release changes nothing.
    let has_other_roles = now.stable != live.stable || now.canary != live.canary;
    if now.stable != before.stable || now.canary != before.canary {
        if running {
            return Err(format!(
                "services.{name}: the file changes `stable` or `canary` while a rollout runs; wait for its end or abort it"
            ));
        }
        if has_other_roles && !frozen {
            merged.stable.clone_from(&now.stable);
            merged.canary.clone_from(&now.canary);
            merged.previous = None;
            // Another canary has shown nothing yet.
            merged.weight = Weight::ZERO;
            merged.watch = None;
        }
    }
    if !service.pools.contains_key(&merged.stable) {
        return Err(format!(
            "services.{name}: pool `{}` is stable now and the file has no such pool (it has {}); add it, or release to one that it has first",
            merged.stable,
            known()
        ));
    }
    if let Some(canary) = &merged.canary
        && !service.pools.contains_key(canary)
    {
        if running {
            return Err(format!(
                "services.{name}: pool `{canary}` is the canary of a running rollout and the file has no such pool"
            ));
        }
        merged.canary = now.canary.clone().filter(|canary| *canary != merged.stable);
        merged.previous = None;
    }
    let holds_weight = frozen && now.weight > live.weight && !running;
    if merged.canary.is_none() && !running {
        merged.weight = Weight::ZERO;
    } else if now.weight != before.weight && !holds_weight && !running {
        merged.weight = now.weight;
        merged.watch = None;
    }
    for (pool, endpoints) in &now.endpoints {
        let known = before.endpoints.get(pool);
        if known == Some(endpoints) {
            continue;
        }
        let serving = merged.pools.get_mut(pool).and_then(|live| live.endpoints.take());
        let was = serving.as_ref().or(known).map_or(&[][..], Vec::as_slice);
        if merged.previous.as_ref() == Some(pool) && !was.iter().any(|one| endpoints.contains(one))
        {
            // These servers are not the version that it was.
            (merged.previous, merged.retire_at_ms) = (None, None);
        }
    }
    merged.pools.retain(|pool, _| service.pools.contains_key(pool));
    merged.applied = now;
    if holds_weight {
        merged.applied.weight = before.weight;
    }
    if has_other_roles && frozen {
        merged.applied.stable.clone_from(&before.stable);
        merged.applied.canary.clone_from(&before.canary);
    }
    Ok(merged)
}

/// What of the file `merged` has not taken over from `service`, or has lost by it, in words.
pub(super) fn held_back(live: &Live, merged: &Live, service: &config::Service) -> Option<String> {
    let (now, applied) = (Applied::of(service), &merged.applied);
    let mut all = Vec::new();
    if now.stable != applied.stable || now.canary != applied.canary {
        all.push(
            "`stable` and `canary` as the file has them wait for the first reload after the thaw",
        );
    }
    if now.weight != applied.weight {
        all.push("`weight` as the file has it waits for the first reload after the thaw");
    } else if now.weight != live.applied.weight && live.state().is_running() {
        all.push(
            "`weight` is not applied, for a rollout sets the share itself; change it after that",
        );
    }
    if live.previous.is_some() && merged.previous.is_none() && live.stable == merged.stable {
        all.push("the previous pool has other endpoints now, so `undo` works no longer");
    }
    (!all.is_empty()).then(|| format!("services.{}: {}", service.name, all.join("; ")))
}

/// Merges all services of `config`, and returns every problem at once.
pub(super) fn merge_all(
    known: &BTreeMap<String, Live>,
    config: &Config,
    boot: &str,
    now_ms: u64,
    mut salt: impl FnMut() -> Salt,
) -> Result<BTreeMap<String, Live>, Vec<String>> {
    let mut merged = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, service) in &config.services {
        match known.get(name).map(|live| merge(live, service, now_ms)) {
            None => {
                merged.insert(name.clone(), Live::of_file(service, boot, salt()));
            }
            Some(Ok(live)) => {
                merged.insert(name.clone(), live);
            }
            Some(Err(problem)) => problems.push(problem),
        }
    }
    for (name, live) in known {
        if live.state().is_running() && !config.services.contains_key(name) {
            problems
                .push(format!("services.{name}: a rollout runs and the file has no such service"));
        }
    }
    if problems.is_empty() { Ok(merged) } else { Err(problems) }
}

/// Says which changes take effect only after a restart.
pub(super) fn needs_restart(before: &Config, after: &Config) -> Vec<String> {
    let sections = [
        ("listeners", before.listeners != after.listeners),
        ("admin", before.admin != after.admin),
        ("state", before.state != after.state),
        ("workers", before.workers != after.workers),
    ];
    let changed = sections.into_iter().filter(|section| section.1);
    changed.map(|(name, _)| format!("[{name}] changed: it takes effect after a restart")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::control::live::Freeze;
    use crate::rollout::plan::{Plan, Strategy};
    use crate::rollout::{End, Stage, State};

    fn service(keys: &str, pools: &[(&str, u16)]) -> config::Service {
        let mut text =
            format!("version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n[services.s]\n{keys}\n");
        for (pool, port) in pools {
            text += &format!("[services.s.pools.{pool}]\nendpoints = [\"127.0.0.1:{port}\"]\n");
        }
        let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new());
        config.unwrap_or_else(|e| panic!("{e}")).services.remove("s").unwrap()
    }

    const BOTH: &str = "stable = \"blue\"\ncanary = \"green\"";
    const NOW: u64 = 1_000;
    const POOLS: [(&str, u16); 2] = [("blue", 1), ("green", 2)];

    fn live(keys: &str) -> Live {
        Live::of_file(&service(keys, &POOLS), "boot", Salt(1))
    }

    fn running(mut live: Live) -> Live {
        live.rollout = Some(super::super::live::Rollout {
            id: "v2".into(),
            version: "v2".into(),
            pool: "green".into(),
            plan: Plan::default_of(Strategy::Canary),
            state: State::Running { stage: Stage::Step(0), moving: None, paused: false },
            started_ms: 0,
            ended_ms: None,
            canary_errors: 0,
            canary_requests: 0,
            decisions: Vec::new(),
            judge: None,
            routes: Vec::new(),
            ab: None,
            deployed: false,
            gates: Vec::new(),
            rehearsal: None,
        });
        live
    }

    #[test]
    fn a_live_weight_survives_a_touch_of_another_line() {
        let mut live = live(BOTH);
        live.weight = "5%".parse().unwrap();
        let same =
            merge(&live, &service(&format!("{BOTH}\nsticky = [\"ip\"]"), &POOLS), NOW).unwrap();
        assert_eq!(same.weight.to_string(), "5%");
        let file_changed = service(&format!("{BOTH}\nweight = \"7%\""), &POOLS);
        assert_eq!(merge(&live, &file_changed, NOW).unwrap().weight.to_string(), "7%");
    }

    #[test]
    fn roles_that_a_release_moved_stay_moved() {
        let mut live = live(BOTH);
        live.swap();
        let merged = merge(&live, &service(BOTH, &POOLS), NOW).unwrap();
        assert_eq!((merged.stable.as_str(), merged.canary.as_deref()), ("green", Some("blue")));
    }

    #[test]
    fn a_file_without_the_live_stable_pool_is_refused() {
        let mut live = live(BOTH);
        live.swap();
        let problem = merge(&live, &service("stable = \"blue\"", &POOLS[..1]), NOW);
        // The canary went too, so the file's roles changed and blue is stable by its word.
        assert_eq!(problem.unwrap().stable, "blue");
        live.applied.canary = None;
        let problem = merge(&live, &service("stable = \"blue\"", &POOLS[..1]), NOW).unwrap_err();
        assert!(problem.contains("pool `green` is stable now"), "{problem}");
    }

    #[test]
    fn the_pools_of_a_running_rollout_are_not_changed() {
        let live = running(live(BOTH));
        let turned = service("stable = \"green\"\ncanary = \"blue\"", &POOLS);
        assert!(merge(&live, &turned, NOW).unwrap_err().contains("while a rollout runs"));
        let moved = service(BOTH, &[("blue", 1), ("green", 9)]);
        assert!(merge(&live, &moved, NOW).is_ok(), "new endpoints are taken");
    }

    #[test]
    fn endpoints_of_a_deploy_stay_until_the_file_says_otherwise() {
        let mut live = live(BOTH);
        let given = Some(vec!["127.0.0.1:7".parse().unwrap()]);
        live.pools.entry("green".into()).or_default().endpoints = given.clone();
        assert_eq!(
            merge(&live, &service(BOTH, &POOLS), NOW).unwrap().pools["green"].endpoints,
            given
        );
        let moved = service(BOTH, &[("blue", 1), ("green", 9)]);
        assert_eq!(merge(&live, &moved, NOW).unwrap().pools["green"].endpoints, None);
    }

    #[test]
    fn another_canary_begins_with_nothing_and_a_file_that_catches_up_changes_nothing() {
        let mut live = live(BOTH);
        live.weight = "50%".parse().unwrap();
        let three = [("blue", 1), ("green", 2), ("red", 3)];
        let red = service("stable = \"blue\"\ncanary = \"red\"", &three);
        let merged = merge(&live, &red, NOW).unwrap();
        assert_eq!((merged.canary.as_deref(), merged.weight), (Some("red"), Weight::ZERO));

        live.swap();
        live.previous = Some("blue".into());
        let merged = merge(&live, &service("stable = \"green\"\ncanary = \"blue\"", &POOLS), NOW);
        let merged = merged.unwrap();
        assert_eq!((merged.stable.as_str(), merged.previous.as_deref()), ("green", Some("blue")));
        assert_eq!(merged.weight.to_string(), "50%");
    }

    #[test]
    fn no_canary_means_no_share() {
        let mut live = live(&format!("{BOTH}\nweight = \"5%\""));
        live.weight = "5%".parse().unwrap();
        let merged = merge(&live, &service("stable = \"blue\"", &POOLS[..1]), NOW).unwrap();
        assert_eq!((merged.canary, merged.weight), (None, Weight::ZERO));
    }

    #[test]
    fn a_freeze_holds_what_would_go_forward_until_the_thaw() {
        let mut live = live(&format!("{BOTH}\nweight = \"5%\""));
        live.freeze =
            Some(Freeze { since_ms: 0, until_ms: Some(NOW + 1), actor: "ann".into(), why: None });
        let more = service(&format!("{BOTH}\nweight = \"7%\""), &POOLS);
        let held = merge(&live, &more, NOW).unwrap();
        assert_eq!(held.weight.to_string(), "5%");
        assert!(held_back(&live, &held, &more).unwrap().contains("`weight`"));
        let thawed = merge(&held, &more, NOW + 1).unwrap();
        let shown = (thawed.weight.to_string(), held_back(&held, &thawed, &more));
        assert_eq!(shown, ("7%".to_owned(), None));
        let less = service(&format!("{BOTH}\nweight = \"1%\""), &POOLS);
        let back = merge(&live, &less, NOW).unwrap();
        let shown = (back.weight.to_string(), held_back(&live, &back, &less));
        assert_eq!(shown, ("1%".to_owned(), None));

        let turned = service("stable = \"green\"\ncanary = \"blue\"", &POOLS);
        let held = merge(&live, &turned, NOW).unwrap();
        assert_eq!(held.stable, "blue");
        assert!(held_back(&live, &held, &turned).unwrap().contains("`stable`"));
        assert_eq!(merge(&held, &turned, NOW + 1).unwrap().stable, "green");
    }

    #[test]
    fn a_share_of_the_file_comes_to_no_later_version() {
        let mut live = running(live(BOTH));
        let file = service(&format!("{BOTH}\nweight = \"10%\""), &POOLS);
        let merged = merge(&live, &file, NOW).unwrap();
        assert!(held_back(&live, &merged, &file).unwrap().contains("`weight` is not applied"));
        live = merged;
        live.rollout.as_mut().unwrap().state = State::Ended(End::RolledBack);
        let merged = merge(&live, &file, NOW).unwrap();
        assert!(merged.weight.is_zero(), "a rejected version is back");
        let again = service(&format!("{BOTH}\nweight = \"11%\""), &POOLS);
        assert_eq!(merge(&merged, &again, NOW).unwrap().weight.to_string(), "11%");
    }

    #[test]
    fn undo_leads_to_no_servers_that_were_never_released() {
        let mut live = live(BOTH);
        live.swap();
        live.previous = Some("blue".into());
        let two = "stable = \"blue\"\ncanary = \"green\"\n[services.s.pools.blue]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:9\"]";
        let more = merge(&live, &service(two, &POOLS[1..]), NOW).unwrap();
        assert_eq!(more.previous.as_deref(), Some("blue"), "one more server of it");
        let others = service(BOTH, &[("blue", 9), ("green", 2)]);
        let merged = merge(&live, &others, NOW).unwrap();
        assert_eq!((merged.previous.as_ref(), merged.stable.as_str()), (None, "green"));
        assert!(held_back(&live, &merged, &others).unwrap().contains("`undo`"));
    }
}
