//! Canaries that fail requests.

use super::{Found, PLAN, RPS, SEED, STICKY, Stage};
use crate::support::{Behaviour, eventually};

/// How often stable fails, too.
const STABLE: f64 = 0.001;

/// A canary that fails `share` of its requests, beside a stable pool that hardly ever does.
pub(super) async fn fails(seed: u64, share: f64) -> Found {
    let stage = Stage::open(seed, STICKY, PLAN).await;
    stage.blue.does(Behaviour::FailShare(STABLE));
    stage.green.does(Behaviour::FailShare(share));
    let found = stage.release().await;
    assert_eq!(found.decision.reason, "err", "{}", found.decision.words);
    assert!(found.evidence().log_e >= found.evidence().threshold);
    stage.close().await;
    found
}

/// A canary of which one route of eight is dead.
pub(super) async fn dead_route(seed: u64) -> Found {
    const PATHS: [&str; 8] =
        ["/cart", "/search", "/login", "/items", "/images", "/help", "/account", "/dead"];
    let stage = Stage::open_to(&PATHS, seed, STICKY, PLAN).await;
    // Routes are learnt from one path in 64.
    stage.crowd.rate(4 * RPS);
    eventually("all routes were asked for", || async { stage.blue.hits() > 4_000 }).await;
    stage.crowd.rate(RPS);
    stage.green.does(Behaviour::FailUnder("/dead", 0));
    let found = stage.release().await;
    let reason = found.decision.reason.as_str();
    assert!(["err", "route:/dead"].contains(&reason), "{reason}: {}", found.decision.words);
    let dead = found.of_name("route:/dead");
    assert!(dead > 2.0, "the route counts: {dead}");
    println!("faulting: route:/dead {dead:.1} nats, err {:.1}", found.of_name("err"));
    for sound in PATHS.iter().filter(|path| **path != "/dead") {
        let by_name = &found.evidence().by_name;
        let known = by_name.iter().find(|known| known.0 == format!("route:{sound}"));
        // One that was never sampled has no process of its own.
        assert!(known.is_none_or(|known| known.1 < 0.0), "{sound} is sound: {known:?}");
    }
    stage.close().await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_half_of_its_requests() {
    let found = fails(SEED, 0.5).await;
    found.tell("fails half of its requests");
    assert!((3..60).contains(&found.harmed), "{}", found.harmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_one_request_of_twenty() {
    let found = fails(SEED, 0.05).await;
    found.tell("fails 5 %, stable 0.1 %");
    assert!((3..60).contains(&found.harmed), "{}", found.harmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_with_one_dead_route_of_eight() {
    let found = dead_route(SEED).await;
    found.tell("one route of eight is dead");
    assert!((3..60).contains(&found.harmed), "{}", found.harmed);
}
