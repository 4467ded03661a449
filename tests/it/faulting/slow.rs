//! Canaries that are slow, and one that never answers.

use std::time::Duration;

use super::{Found, PACE, PLAN, SEED, STICKY, Stage};
use crate::support::{Behaviour, Pace};

/// A canary that needs `slower` times as long for `share` of its answers. `reasons` are what it may
/// be taken for.
pub(super) async fn slow(seed: u64, share: f64, slower: f64, reasons: &[&str]) -> Found {
    let stage = Stage::open(seed, STICKY, PLAN).await;
    stage.green.takes(Pace { share, slower, ..PACE });
    let found = stage.release().await;
    let reason = found.decision.reason.as_str();
    assert!(reasons.contains(&reason), "{reason}: {}", found.decision.words);
    assert_eq!(found.evidence().canary_errors, 0, "none of them failed");
    stage.close().await;
    found
}

pub(super) async fn all_slow(seed: u64) -> Found {
    slow(seed, 1.0, 3.0, &["p50", "p90", "p99", "p99.9"]).await
}

pub(super) async fn tail_slow(seed: u64) -> Found {
    slow(seed, 0.03, 20.0, &["p99", "p99.9"]).await
}

/// A canary that accepts requests and never answers one; its health check does. Its time-outs are
/// the defaults, the shortest of which is 15 s.
pub(super) async fn hangs(seed: u64) -> Found {
    let stage = Stage::open(seed, STICKY, PLAN).await;
    stage.green.does(Behaviour::Hang);
    let found = stage.release().await;
    let reason = found.decision.reason.as_str();
    assert!(reason.starts_with('p'), "{reason}: {}", found.decision.words);
    assert_eq!(found.evidence().canary_n, 0, "not one request has ended");
    assert!(found.decision.words.contains("without an answer yet"), "{}", found.decision.words);
    assert_eq!(found.harmed, found.requests);
    let (seen, waiting) = stage.crowd.abandon().await;
    // Nobody ever got an answer of the canary, nor one of the proxy in its place.
    assert!(seen.iter().all(|answer| answer.pool == "blue" && answer.is_good()));
    assert!(waiting >= found.harmed, "{waiting} wait for an answer");
    stage.proxy.stop().await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_is_three_times_as_slow() {
    let found = all_slow(SEED).await;
    found.tell("three times as slow");
    assert!((3..400).contains(&found.harmed), "{}", found.harmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_whose_slowest_answers_are_slower() {
    let found = tail_slow(SEED).await;
    found.tell("its slowest 3 % are 20 times as slow");
    assert!((3..100).contains(&found.harmed), "{}", found.harmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_hangs() {
    let found = hangs(SEED).await;
    found.tell("hangs");
    assert!(found.time < Duration::from_secs(12), "{:?}: its time-out is 15 s", found.time);
}
