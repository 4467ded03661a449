//! The table of docs/judging.md: every bad release five times.

use std::pin::Pin;
use std::time::Duration;

use super::{Found, errors, resources, slow};

const RUNS: u64 = 5;

type Played = Pin<Box<dyn Future<Output = Found>>>;
type Scenario = (&'static str, fn(u64) -> Played);

const ALL: [Scenario; 7] = [
    ("fails half of its requests", |seed| Box::pin(errors::fails(seed, 0.5))),
    ("fails 5 %, stable 0.1 %", |seed| Box::pin(errors::fails(seed, 0.05))),
    ("one route of eight is dead", |seed| Box::pin(errors::dead_route(seed))),
    ("three times as slow", |seed| Box::pin(slow::all_slow(seed))),
    ("its slowest 3 % are 20 times as slow", |seed| Box::pin(slow::tail_slow(seed))),
    ("hangs", |seed| Box::pin(slow::hangs(seed))),
    ("leaks memory past its limit", |seed| Box::pin(resources::leaks(seed))),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `cargo test --release --test it faulting::table -- --ignored --nocapture`"]
async fn every_bad_release_five_times() {
    println!("| the canary | seen as | harmed until the rollback | of its requests | time |");
    println!("|---|---|--:|--:|--:|");
    for (name, play) in ALL {
        let mut all = Vec::new();
        for seed in 0..RUNS {
            all.push(play(seed).await);
        }
        let mut reasons: Vec<&str> = all.iter().map(|one| one.decision.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        println!(
            "| {name} | `{}` | {} | {} | {} |",
            reasons.join("`, `"),
            shown(all.iter().map(|one| one.harmed), |harmed| harmed.to_string()),
            shown(all.iter().map(|one| one.requests), |requests| requests.to_string()),
            shown(all.iter().map(|one| one.time), seconds),
        );
    }
}

/// The median and the largest of some values.
fn shown<T: Copy + Ord>(values: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    format!("{} ({})", text(values[values.len() / 2]), text(values[values.len() - 1]))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
