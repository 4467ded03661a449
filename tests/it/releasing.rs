//! Releases, from the first request to the last: real servers, real traffic, short steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serin::control::{Action, Deploy, DeployStep, Refusal};

use crate::support::{Behaviour, Client, SHORT, TestProxy, Upstream, config, eventually, get};

/// Users who keep asking until they are told to stop.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    tasks: tokio::task::JoinSet<()>,
}

impl Traffic {
    pub(crate) fn start(address: std::net::SocketAddr) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            tasks.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let user = format!("user-{number}-{turn}");
                    let answer = client.send("GET /", &[("x-user-id", &user)], "").await;
                    // The proxy may be gone for good: a test kills it.
                    if answer.is_err()
                        && let Ok(again) = Client::try_connect(address).await
                    {
                        client = again;
                    }
                    if !answer.is_ok_and(|answer| answer.status.is_success()) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            });
        }
        Self { stop, failed, tasks }
    }

    /// How many requests failed.
    pub(crate) async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.failed.load(Ordering::Relaxed)
    }
}

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

#[tokio::test]
async fn a_failing_canary_is_rolled_back_after_a_handful_of_failures() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    green.does(Behaviour::FailEvery(2));
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let traffic = Traffic::start(proxy.address);
    eventually("there is traffic", || async { blue.hits() > 100 }).await;
    proxy.deploy("v2").await.unwrap();
    let service = proxy.reaches("rolled_back").await;
    assert_eq!(service.weight.wanted.to_string(), "0%");
    let in_flight_then = green.hits() + 8;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let hits = green.hits();
    assert!(hits <= in_flight_then, "{hits} hits, {in_flight_then} when it was rolled back");
    let failed = traffic.stop().await;
    assert!((1..200).contains(&failed), "{failed} failures");
    let rollout = service.rollout.unwrap();
    let last = rollout.decisions.last().unwrap();
    assert_eq!((last.decision.as_str(), last.reason.as_str()), ("rolled_back", "err"));
    assert!(last.evidence.as_ref().unwrap().log_e >= last.evidence.as_ref().unwrap().threshold);

    // The same release is refused until somebody says otherwise.
    assert!(matches!(proxy.deploy("v2").await, Err(Refusal::Conflict(_))));
    proxy.act(Action::Retry).await.unwrap();
    proxy.deploy("v2").await.unwrap();
    proxy.stop().await;
}

#[tokio::test]
async fn a_healthy_canary_is_promoted_and_undo_puts_it_back_in_one_swap() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let traffic = Traffic::start(proxy.address);
    eventually("there is traffic", || async { blue.hits() > 50 }).await;
    proxy.deploy("v2").await.unwrap();
    assert!(matches!(proxy.deploy("v3").await, Err(Refusal::Conflict(_))), "two at once");
    let service = proxy.reaches("promoted").await;
    assert_eq!(service.stable.name, "green");
    assert_eq!(service.stable.version.as_deref(), Some("v2"));
    assert_eq!(service.previous.as_deref(), Some("blue"));
    let decisions: Vec<_> = service.rollout.unwrap().decisions;
    let names: Vec<_> = decisions.iter().map(|d| d.decision.as_str()).collect();
    assert_eq!(names, ["deploy", "step", "step", "guard", "promoted"]);

    let before = proxy.shop().await.generation;
    let service = proxy.act(Action::Undo).await.unwrap();
    assert_eq!(service.generation, before + 1, "one swap");
    assert_eq!((service.stable.name.as_str(), service.state.as_str()), ("blue", "undone"));
    let hits = green.hits();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(green.hits() <= hits + 8, "somebody still reaches what was undone");
    assert_eq!(traffic.stop().await, 0, "a request was lost");
    assert!(matches!(proxy.act(Action::Undo).await, Err(Refusal::Conflict(_))), "undone twice");
    proxy.stop().await;
}

#[tokio::test]
async fn a_canary_that_is_not_healthy_gets_not_one_request() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    green.is_healthy(false);
    let tables = SHORT.replace("deadline = \"5s\"", "deadline = \"500ms\"");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let refused = proxy.act(Action::Promote { full: true }).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "the gate was skipped");
    let service = proxy.reaches("gate_failed").await;
    let last = service.rollout.unwrap().decisions.pop().unwrap();
    assert!(last.words.contains("0 of 1 endpoints of pool green"), "{}", last.words);
    assert_eq!(green.hits(), 0);
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

/// Passes that are older than the deploy do not count: the new version is not what answered them.
#[tokio::test]
async fn the_gate_wants_passes_that_are_newer_than_the_deploy() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    assert_eq!(proxy.shop().await.canary.unwrap().endpoints[0].health, "up");
    green.is_healthy(false);
    let service = proxy.deploy("v2").await.unwrap();
    assert_eq!(service.canary.unwrap().endpoints[0].health, "unknown");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.shop().await.state, "gate");
    assert_eq!(green.hits(), 0);
    green.is_healthy(true);
    eventually("the gate opens", || async { proxy.shop().await.state == "step" }).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_share_set_by_hand_goes_back_by_itself_when_the_canary_fails() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let traffic = Traffic::start(proxy.address);
    // At 100 % nothing runs beside it that it could be compared with.
    for share in ["25%", "100%"] {
        green.does(Behaviour::Answer);
        let before = green.hits();
        proxy.weight(share).await;
        eventually("the canary is used", || async { green.hits() > before + 20 }).await;
        assert_eq!(proxy.shop().await.weight.wanted.to_string(), share, "a good one stays");
        green.does(Behaviour::FailEvery(2));
        eventually(share, || async { proxy.shop().await.weight.wanted.is_zero() }).await;
        let words = proxy.shop().await.by_hand.pop().unwrap();
        assert_eq!((words.decision.as_str(), words.actor.as_str()), ("rolled_back", "serin"));
    }
    traffic.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_fault_of_both_pools_throws_no_release_back() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = format!(
        "{STICKY}\nhealth = {{ path = \"/health\", every = \"200ms\", timeout = \"10s\" }}"
    );
    let steps = "[services.shop.rollout]\nsteps = [{ weight = \"50%\", hold = \"1m\" }]\n";
    let proxy = TestProxy::start(&config(&[&blue], &[&green], &keys, steps)).await;
    proxy.deploy("v2").await.unwrap();
    proxy.reaches("step").await;
    // Which pool is checked first is another each time.
    for fault in 0..6 {
        green.is_healthy(false);
        blue.is_healthy(false);
        let health = async || {
            let shop = proxy.shop().await;
            assert_eq!(shop.state, "step", "fault {fault}: {}", shop.reason);
            [shop.stable, shop.canary.unwrap()].map(|pool| pool.endpoints[0].health.clone())
        };
        eventually("both are down", || async { health().await == ["down"; 2] }).await;
        // Not the other way round: in between stable alone would be well.
        green.is_healthy(true);
        blue.is_healthy(true);
        eventually("both are up", || async { health().await == ["up"; 2] }).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(proxy.shop().await.state, "step");
    proxy.stop().await;
}

#[tokio::test]
async fn a_canary_that_dies_is_left_without_waiting_for_statistics() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    // No traffic at all: no statistics could ever say anything.
    proxy.deploy("v2").await.unwrap();
    eventually("the gate opens", || async { proxy.shop().await.state == "step" }).await;
    green.is_healthy(false);
    let service = proxy.reaches("rolled_back").await;
    assert_eq!(service.rollout.unwrap().decisions.pop().unwrap().reason, "empty");
    proxy.stop().await;
}

#[tokio::test]
async fn nobody_is_rolled_back_onto_a_dead_pool() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    proxy.deploy("v2").await.unwrap();
    eventually("the gate opens", || async { proxy.shop().await.state == "step" }).await;
    blue.is_healthy(false);
    eventually("stable is down", || async {
        proxy.shop().await.stable.endpoints[0].health == "down"
    })
    .await;
    green.is_healthy(false);
    eventually("the canary is down", || async {
        proxy.shop().await.canary.unwrap().endpoints[0].health == "down"
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.shop().await.state, "step", "rolled back onto a dead pool");
    blue.is_healthy(true);
    proxy.reaches("rolled_back").await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_operator_can_hold_resume_approve_and_abort() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let traffic = Traffic::start(proxy.address);
    let step = |weight: &str, approval| DeployStep {
        weight: weight.parse().unwrap(),
        requests: Some(10),
        hold_s: Some(0.1),
        approval,
    };
    let deploy = |version: &str, steps| Deploy {
        version: version.into(),
        id: None,
        endpoints: None,
        strategy: None,
        steps: Some(steps),
    };
    let bad = deploy("v2", vec![step("20%", false), step("10%", false)]);
    assert!(matches!(proxy.act(Action::Deploy(bad)).await, Err(Refusal::Invalid(_))));

    proxy.act(Action::Deploy(deploy("v2", vec![step("20%", true)]))).await.unwrap();
    proxy.reaches("approval").await;
    assert_eq!(proxy.shop().await.weight.wanted.to_string(), "20%", "it waits with its traffic");
    proxy.act(Action::Promote { full: false }).await.unwrap();
    proxy.reaches("promoted").await;

    // The next release goes to the pool that is free now. Without traffic its first step does not
    // end before it is paused.
    assert_eq!(traffic.stop().await, 0);
    let service = proxy.deploy("v3").await.unwrap();
    assert_eq!(service.rollout.unwrap().pool, "blue");
    proxy.reaches("step").await;
    proxy.act(Action::Pause).await.unwrap();
    let held = proxy.shop().await;
    let traffic = Traffic::start(proxy.address);
    let before = blue.hits();
    eventually("the step has what it wants", || async { blue.hits() > before + 60 }).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let still = proxy.shop().await;
    assert_eq!((still.state.as_str(), still.weight.wanted), ("paused", held.weight.wanted));
    proxy.act(Action::Resume).await.unwrap();
    let aborted = proxy.act(Action::Abort).await.unwrap();
    assert_eq!((aborted.state.as_str(), aborted.weight.wanted.is_zero()), ("rolled_back", true));
    proxy.act(Action::Abort).await.expect("giving up twice is giving up once");
    assert_eq!(proxy.shop().await.stable.name, "green");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn blue_green_switches_after_one_short_look() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let tables = r#"
[services.shop.rollout]
strategy = "blue-green"
steps = [{ weight = "20%", requests = 20, hold = "200ms" }]
guard = "200ms"
"#;
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    assert_eq!(proxy.reaches("promoted").await.stable.name, "green");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

/// Without a single request nothing is known, and nothing advances.
#[tokio::test]
async fn a_release_without_traffic_holds_and_says_why() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    proxy.deploy("v2").await.unwrap();
    eventually("the gate opens", || async { proxy.shop().await.state == "step" }).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let service = proxy.shop().await;
    assert_eq!(service.state, "step");
    assert!(service.reason.contains("0 of 20 requests"), "{}", service.reason);
    proxy.stop().await;
}

#[tokio::test]
async fn the_textbook_rule_can_be_chosen() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let tables =
        SHORT.replace("[services.shop.judge]", "[services.shop.judge]\nmode = \"threshold\"");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    green.does(Behaviour::FailEvery(3));
    proxy.deploy("v2").await.unwrap();
    let service = proxy.reaches("rolled_back").await;
    let reason = service.rollout.unwrap().decisions.pop().unwrap().reason;
    assert_eq!(reason, "threshold:err");
    traffic.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn requests_of_a_release_that_is_gone_are_not_charged_to_the_next() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let next = Upstream::start("next").await;
    green.does(Behaviour::Hang);
    let keys = format!("{STICKY}\ntimeouts = {{ first_byte = \"3s\" }}");
    let steps = "[services.shop.rollout]\nsteps = [{ weight = \"50%\", hold = \"1m\" }]\n";
    let proxy = TestProxy::start(&config(&[&blue], &[&green], &keys, steps)).await;
    proxy.deploy("v2").await.unwrap();
    proxy.reaches("step").await;
    let mut asking = tokio::task::JoinSet::new();
    for user in 0..40 {
        let address = proxy.address;
        asking.spawn(async move {
            let user = user.to_string();
            let answer = get(address, "/", &[("x-user-id", &user)]).await;
            answer.status == 504
        });
    }
    eventually("they are under way", || async { green.hits() >= 10 }).await;
    // The judge may have been as quick.
    let _ = proxy.act(Action::Abort).await;
    let endpoints = Some(vec![next.address.to_string().parse().unwrap()]);
    let version = "v3".to_owned();
    let v3 = Deploy { version, id: None, endpoints, strategy: None, steps: None };
    proxy.act(Action::Deploy(v3)).await.unwrap();
    let late = asking.join_all().await.into_iter().filter(|late| *late).count();
    assert!(late >= 10, "only {late} were late");
    let admin = proxy.admin.trim_start_matches("http://").parse().unwrap();
    let counted = format!("outcome=\"timeout\"}} {late}");
    eventually("all are counted", || async {
        get(admin, "/metrics", &[]).await.body.contains(&counted)
    })
    .await;
    let rollout = proxy.shop().await.rollout.unwrap();
    assert_eq!((rollout.version.as_str(), rollout.canary_errors), ("v3", 0), "{}", rollout.state);
    proxy.stop().await;
}
