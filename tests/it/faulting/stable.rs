//! A canary behind a stable pool that dies during the release.

use std::collections::BTreeMap;
use std::time::Duration;

use serin::clock;

use super::{PLAN, SEED, STICKY, Stage, last};
use crate::support::{Behaviour, Sink, eventually};

/// Which servers have answered each user.
fn sides(stage: &Stage, since: usize) -> BTreeMap<usize, Vec<String>> {
    let mut sides: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for seen in &stage.crowd.seen()[since..] {
        let known = sides.entry(seen.user).or_default();
        if !seen.pool.is_empty() && !known.contains(&seen.pool) {
            known.push(seen.pool.clone());
        }
    }
    sides
}

/// Stable dies in the first step: serin says so, and neither takes the canary's users back nor
/// gives it others.
async fn stable_dies(stage: &mut Stage) -> usize {
    stage.proxy.deploy("v2").await.unwrap();
    let since = stage.crowd.seen().len();
    eventually("the canary is used", || async { stage.green.hits() > 40 }).await;
    stage.blue.dies().await;
    eventually("there is an alarm", || async {
        stage.proxy.shop().await.verdict.is_some_and(|verdict| verdict.alarm)
    })
    .await;
    since
}

fn plan(sink: &Sink) -> String {
    let told = format!("notify = [{{ webhook = \"http://{}/\" }}]", sink.address);
    let plan = format!("{PLAN}harm = \"1%\"\nadvance_floor = \"2%\"\n");
    plan.replace("notify = []", &told)
}

fn kinds(sink: &Sink) -> Vec<String> {
    let bodies = sink.bodies();
    let events = bodies.iter().map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap());
    events.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

async fn holds(stage: &Stage) {
    let service = stage.proxy.shop().await;
    let (step, weight) = (service.rollout.unwrap().step, service.weight.wanted.to_string());
    assert_eq!((service.state.as_str(), step, weight.as_str()), ("step", Some(1), "25%"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_stands_still_while_stable_is_dead_and_then_goes_on() {
    let sink = Sink::start().await;
    let mut stage = Stage::open(SEED, STICKY, &plan(&sink)).await;
    let since = stable_dies(&mut stage).await;
    let service = stage.proxy.shop().await;
    let verdict = service.verdict.unwrap();
    assert_eq!(verdict.reason, "both-bad");
    assert_eq!(service.reason, verdict.words);
    eventually("people are told", || async { kinds(&sink).contains(&"alarm".to_owned()) }).await;
    let hits = stage.green.hits();
    eventually("the canary's users are served", || async { stage.green.hits() > hits + 60 }).await;
    holds(&stage).await;
    let sides = sides(&stage, since);
    assert!(sides.len() > 200, "{} users", sides.len());
    assert!(sides.values().all(|pools| pools.len() <= 1), "somebody was moved: {sides:?}");
    stage.blue.comes_back();
    eventually("it goes on", || async {
        let service = stage.proxy.shop().await;
        assert_ne!(service.state, "rolled_back", "{}", last(&service).words);
        service.rollout.unwrap().step == Some(2)
    })
    .await;
    let service = stage.proxy.reaches("promoted").await;
    let decisions = service.rollout.unwrap().decisions;
    let mut story: Vec<_> = decisions.iter().map(|known| known.decision.as_str()).collect();
    // It is over once it has been quiet for a while, which may be after the next step.
    story.retain(|known| *known != "alarm_over");
    assert_eq!(story, ["deploy", "step", "alarm", "step", "guard", "promoted"]);
    let told = kinds(&sink);
    assert_eq!(told.iter().filter(|kind| *kind == "alarm").count(), 1, "{told:?}");
    stage.crowd.stop().await;
    stage.proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_canary_keeps_its_users_until_stable_is_back() {
    let sink = Sink::start().await;
    let mut stage = Stage::open(SEED, STICKY, &plan(&sink)).await;
    stable_dies(&mut stage).await;
    stage.green.does(Behaviour::FailShare(1.0));
    let hits = stage.green.hits();
    // Alone, a tenth of it would be enough.
    eventually("the canary has failed", || async { stage.green.hits() > hits + 60 }).await;
    holds(&stage).await;
    stage.blue.comes_back();
    let back = clock::now();
    let found = stage.rolled_back().await;
    assert_eq!(found.decision.reason, "err", "{}", found.decision.words);
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    println!(
        "faulting: bad, and stable dead: {} after {:.1?}",
        found.decision.words,
        back.elapsed()
    );
    stage.crowd.stop().await;
    stage.proxy.stop().await;
}
