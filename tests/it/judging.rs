//! What the judge sees beside errors and latency: resources, routes, requests in flight; how it is
//! tried on equal halves; and recordings of it.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use serin::control::ServiceView;

use crate::releasing::Traffic;
use crate::support::{
    Behaviour, Client, SHORT, Serin, TestProxy, Upstream, config, eventually, get,
};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";
const RESOURCES: &str = r#"sticky = ["header:x-user-id"]
resources = { metrics = "http://{endpoint}/metrics", cpu_limit = 8, memory_limit = "100MiB", every = "100ms" }"#;

/// Who decided last, and why: reason and words.
fn last(service: ServiceView) -> (String, String) {
    let last = service.rollout.unwrap().decisions.pop().unwrap();
    (last.reason, last.words)
}

async fn reason(proxy: &TestProxy) -> String {
    proxy.shop().await.reason
}

async fn metrics(proxy: &TestProxy) -> String {
    let admin = proxy.admin.trim_start_matches("http://").parse().unwrap();
    get(admin, "/metrics", &[]).await.body
}

#[tokio::test]
async fn memory_past_its_limit_is_rolled_back_without_a_bad_answer() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.exposes(1.0, 99.0);
    green.exposes(1.0, 50.0);
    let tables = SHORT.replace("hold = \"200ms\"", "hold = \"60s\"");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], RESOURCES, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    eventually("the canary is used", || async { green.hits() > 20 }).await;
    green.exposes(1.0, 89.0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(proxy.shop().await.state, "step", "it is below its limit, and stable is not judged");
    green.exposes(1.0, 91.5);
    let (reason, words) = last(proxy.reaches("rolled_back").await);
    assert_eq!(reason, "limit");
    let want = format!("{} of pool green: memory 91.5 MiB of 100.0 MiB, above 90%", green.address);
    assert!(words.contains(&want), "{words}");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_step_waits_while_a_source_says_nothing_and_is_not_rolled_back() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.exposes(1.0, 50.0);
    let proxy = TestProxy::start(&config(&[&blue], &[&green], RESOURCES, SHORT)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    eventually("the judge has what it wants of requests", || async {
        reason(&proxy).await.contains("resources of pool green")
    })
    .await;
    let service = proxy.shop().await;
    let verdict = service.verdict.unwrap();
    assert_eq!(verdict.reason, "resources");
    let why = format!("{} does not say its CPU time", green.address);
    assert_eq!(verdict.words, format!("resources of pool green: {why}"));
    assert_eq!(service.canary.unwrap().resources, Some(why));
    assert_eq!(service.stable.resources, None);
    let line = "serin_resources_missing{service=\"shop\",pool=\"green\"} 1";
    eventually("it is a metric", || async { metrics(&proxy).await.contains(line) }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        proxy.shop().await.rollout.unwrap().step,
        Some(1),
        "nothing advances on missing data"
    );
    green.exposes(1.0, 50.0);
    assert_eq!(proxy.reaches("promoted").await.stable.name, "green");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

/// Asks for every one of `paths` in turn, each time as another user.
struct Visits {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: tokio::task::JoinSet<()>,
}

impl Visits {
    fn start(address: SocketAddr, paths: &'static [&'static str]) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            tasks.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut turn = number;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let line = format!("GET {}/{turn}", paths[turn % paths.len()]);
                    let user = format!("user-{number}-{turn}");
                    client.send(&line, &[("x-user-id", &user)], "").await.unwrap();
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        Self { stop, asked, tasks }
    }

    /// How many requests there were.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.asked.load(Ordering::SeqCst)
    }
}

const EIGHT: [&str; 8] =
    ["/cart", "/search", "/login", "/items", "/images", "/help", "/account", "/dead"];

/// All together the canary fails a third of its requests and stable a quarter, which is within what
/// is tolerated; but one route of it is dead.
#[tokio::test]
async fn one_dead_route_of_eight_is_found_among_the_errors_of_all() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::FailUnder("/none", 4));
    green.does(Behaviour::FailUnder("/dead", 4));
    let tables = SHORT.replace("requests = 20", "requests = 100000");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let visits = Visits::start(proxy.address, &EIGHT);
    // Paths are sampled: one in 64.
    eventually("all routes were asked for", || async { blue.hits() > 4_000 }).await;
    proxy.deploy("v2").await.unwrap();
    let (reason, words) = last(proxy.reaches("rolled_back").await);
    assert_eq!(reason, "route:/dead", "{words}");
    visits.stop().await;
    proxy.stop().await;
}

/// It takes 60 s until a hung request fails; nobody waits for that.
#[tokio::test]
async fn a_canary_that_hangs_is_left_long_before_its_time_outs() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = format!("{STICKY}\ntimeouts = {{ first_byte = \"60s\", total = \"60s\" }}");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], &keys, SHORT)).await;
    let traffic = Traffic::start(proxy.address);
    eventually("there is traffic", || async { blue.hits() > 200 }).await;
    green.does(Behaviour::Hang);
    let (address, stop) = (proxy.address, Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let visitors = tokio::spawn(async move {
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..4_000 {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            waiting.spawn(async move {
                let user = format!("visitor-{number}");
                let mut client = Client::connect(address).await;
                let _ = client.send("GET /", &[("x-user-id", &user)], "").await;
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waiting.abort_all();
    });
    proxy.deploy("v2").await.unwrap();
    let decided = tokio::time::timeout(Duration::from_secs(15), proxy.reaches("rolled_back"));
    let (reason, words) = last(decided.await.expect("it took as long as a time-out"));
    assert!(reason.starts_with('p'), "{reason}: {words}");
    stop.store(true, Ordering::Relaxed);
    visitors.await.unwrap();
    drop(traffic);
    proxy.stop().await;
}

#[tokio::test]
async fn two_halves_of_stable_are_compared_and_nothing_is_lost_from_its_totals() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let before = proxy.shop().await;
    let idle = before.placebo.unwrap();
    assert_eq!((idle.runs, idle.fired, idle.log_e), (0, 0, None));
    let visits = Visits::start(proxy.address, &EIGHT);
    eventually("the halves are compared", || async {
        proxy.shop().await.placebo.unwrap().log_e.is_some_and(|log_e| log_e != 0.0)
    })
    .await;
    let service = proxy.shop().await;
    assert!(service.placebo.unwrap().since.unwrap().ends_with('Z'));
    assert_eq!(service.generation, before.generation, "a comparison changes no table");
    assert!(service.verdict.is_none());
    let asked = visits.stop().await as u64;
    eventually("every answer is in the totals", || async {
        proxy.shop().await.stable.total.get("2xx") == Some(&asked)
    })
    .await;
    let metrics = metrics(&proxy).await;
    let line = format!(
        "serin_requests_total{{service=\"shop\",pool=\"blue\",role=\"stable\",outcome=\"2xx\"}} {asked}"
    );
    assert!(metrics.lines().any(|have| have == line), "{line}\n{metrics}");
    assert!(metrics.contains("serin_placebo_runs_total{service=\"shop\"} 0"), "{metrics}");
    proxy.deploy("v2").await.unwrap();
    assert!(proxy.shop().await.placebo.is_none(), "a release is no comparison of equals");
    proxy.stop().await;
}

/// Runs `serin judge` on a recording and returns its answers.
fn replay(recording: &str) -> Vec<Value> {
    let mut judge = Command::new(env!("CARGO_BIN_EXE_serin"))
        .arg("judge")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    let text = recording.to_owned();
    let feeding = std::thread::spawn(move || {
        std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    });
    let output = judge.wait_with_output().unwrap();
    feeding.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of a recording that are answered, each with its answer.
fn replayed(recording: &str) -> Vec<(Value, Value)> {
    let lines = recording.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asks = |line: &Value| ["init", "resume", "tick"].contains(&line["type"].as_str().unwrap());
    let (asked, answers): (Vec<Value>, _) = (lines.filter(asks).collect(), replay(recording));
    assert_eq!(asked.len(), answers.len());
    assert!(answers.iter().all(|answer| answer["error"].is_null()), "{answers:?}");
    asked.into_iter().zip(answers).collect()
}

fn recorded(tables: &str) -> String {
    tables.replace("[services.shop.judge]", "[services.shop.judge]\nrecord = \"ticks.jsonl\"")
}

#[tokio::test]
async fn a_recorded_release_is_replayed_to_the_same_decisions() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], STICKY, &recorded(SHORT));
    let proxy = TestProxy::start(&text).await;
    let path = proxy.path().with_file_name("ticks.jsonl");
    let visits = Visits::start(proxy.address, &EIGHT);
    // Paths are sampled, so which routes are chosen is up to chance; that there are some is not.
    eventually("there is traffic", || async { blue.hits() > 1_500 }).await;
    proxy.deploy("v2").await.unwrap();
    let good = proxy.reaches("promoted").await.rollout.unwrap();
    blue.does(Behaviour::FailEvery(2));
    proxy.deploy("v3").await.unwrap();
    let bad = proxy.reaches("rolled_back").await.rollout.unwrap();
    eventually("the end is written", || async {
        fs::read_to_string(&path).unwrap_or_default().matches(r#"{"type":"end"}"#).count() == 2
    })
    .await;
    visits.stop().await;
    let _folder = proxy.stop().await;

    let text = fs::read_to_string(&path).unwrap();
    let (first, second) = text.split_once("{\"type\":\"end\"}\n").unwrap();
    let evidence = |decision: &str, rollout: &serin::control::RolloutView| -> Vec<f64> {
        let all = rollout.decisions.iter().filter(|known| known.decision == decision);
        all.filter_map(|known| Some(known.evidence.as_ref()?.log_e)).collect()
    };
    let story = replayed(first);
    assert_eq!(story[0].0["type"], "init");
    assert!(story.iter().any(|(tick, _)| tick["routes"].is_object()), "no routes");
    assert!(story.iter().all(|(_, answer)| answer["verdict"] != "rollback"));
    // Each step ended with the first verdict that said so.
    for step in [0, 1] {
        let of = |(tick, _): &&(Value, Value)| tick["stage"] == step;
        let advance = story.iter().filter(of).find(|(_, answer)| answer["verdict"] == "advance");
        let log_e = advance.unwrap().1["log_e"].as_f64().unwrap();
        let decisions = [evidence("step", &good), evidence("guard", &good)].concat();
        assert!(decisions.contains(&log_e), "step {step}: {log_e} is not in {decisions:?}");
    }
    let (tick, _) = story.last().unwrap();
    assert!(tick["stage"].as_u64().unwrap() > 1, "the guard is recorded too");

    let story = replayed(second);
    let (_, answer) = story.last().unwrap();
    assert_eq!((&answer["verdict"], &answer["why"]), (&"rollback".into(), &"err".into()));
    assert_eq!(evidence("rolled_back", &bad), [answer["log_e"].as_f64().unwrap()]);
    let earlier = story.iter().rev().skip(1);
    assert!(earlier.clone().count() > 0);
    assert!(earlier.clone().all(|(_, answer)| answer["verdict"] == "hold"), "it was said before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_goes_on_after_a_kill_from_what_the_judge_still_knows() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    let tables = recorded(&SHORT.replace("requests = 20", "requests = 100000"));
    let text = config(&[&blue], &[&green], STICKY, &tables);
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    let path = dir.path().join("ticks.jsonl");
    let recording = || fs::read_to_string(&path).unwrap_or_default();

    let serin = Serin::start(dir.path());
    let traffic = Traffic::start(serin.address);
    assert!(serin.ask(&["deploy", "shop", "--version", "v2"]).status.success());
    eventually("it is recorded", || async { recording().matches("\"tick\"").count() > 5 }).await;
    // The judge's state is written now and then.
    let state = dir.path().join("state/services/shop.json");
    eventually("what it has seen is on disk", || async {
        let state: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        state["rollout"]["judge"]["t_s"].as_f64().is_some_and(|seconds| seconds > 0.5)
    })
    .await;
    serin.kill();
    traffic.stop().await;
    // Half a line, as a kill may leave it.
    let torn = format!("{}{{\"type\":\"ti", recording());
    fs::write(&path, torn).unwrap();

    let serin = Serin::start(dir.path());
    let traffic = Traffic::start(serin.address);
    eventually("it goes on", || async { recording().contains("\"type\":\"resume\"") }).await;
    green.does(Behaviour::FailEvery(1));
    eventually("it is rolled back", || async { serin.shop()["state"] == "rolled_back" }).await;
    eventually("it is written", || async { recording().ends_with("{\"type\":\"end\"}\n") }).await;
    let decisions = serin.shop()["rollout"]["decisions"].as_array().unwrap().clone();
    let want = decisions.last().unwrap()["evidence"]["log_e"].as_f64().unwrap();
    serin.kill();
    traffic.stop().await;
    let text = recording();
    let resumed = text.find("{\"type\":\"resume\"").unwrap();
    let story = replayed(&text[resumed..]);
    let (_, answer) = story.last().unwrap();
    assert_eq!(answer["verdict"], "rollback");
    assert_eq!(answer["log_e"].as_f64(), Some(want));
}
