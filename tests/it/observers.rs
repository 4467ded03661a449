//! Observers that are not ours: Prometheus, which reads what serin measures and is asked about a
//! release, and Alertmanager, which is told of one. They run where they are installed, and say loudly
//! where they are not.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use serin::control::{Action, Asker};

use crate::peers::is_there;
use crate::releasing::Traffic;
use crate::support::{
    Behaviour, Observer, SHORT, Sink, TestProxy, Upstream, config, eventually, get,
};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";
/// Prometheus, which scrapes nothing yet.
async fn prometheus(port: Option<u16>) -> Observer {
    let data = |dir: &Path| vec![format!("--storage.tsdb.path={}", dir.join("data").display())];
    Observer::start("prometheus", "global: {}\n", port, data).await
}

impl Observer {
    /// Lets Prometheus scrape these twice a second, each as a job and with its pool.
    fn scrapes(&self, targets: &[(&str, SocketAddr)]) {
        let jobs = targets.iter().map(|(name, address)| {
            json!({
                "job_name": name,
                "static_configs": [{ "targets": [address], "labels": { "pool": name } }],
                // Its own `pool` is what a scraped metric says of itself.
                "honor_labels": true,
            })
        });
        let config = json!({
            "global": { "scrape_interval": "500ms", "scrape_timeout": "500ms" },
            "scrape_configs": jobs.collect::<Vec<_>>(),
        });
        // JSON is YAML, too.
        fs::write(self.dir.path().join("config.yml"), config.to_string()).unwrap();
        let done = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// The samples of a metric as Prometheus has them: labels and value.
    async fn samples(&self, metric: &str) -> Vec<(Value, f64)> {
        let answer = self.ask(&format!("/api/v1/query?query={metric}")).await;
        let result = answer["data"]["result"].as_array().unwrap().clone();
        let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        result.iter().map(|sample| (sample["metric"].clone(), value(sample))).collect()
    }
}

fn admin(proxy: &TestProxy) -> SocketAddr {
    proxy.admin.trim_start_matches("http://").parse().unwrap()
}

/// `SHORT` with a query about the memory of the canary, as long as `hold` in the second step.
fn asking(prometheus: &Observer, hold: &str) -> String {
    let url = prometheus.url();
    let query = format!(
        "prometheus = [{{ name = \"memory\", url = \"{url}\", compare = \"<= 1.2 * stable\", \
         query = 'process_resident_memory_bytes{{pool=\"{{pool}}\"}}', every = \"1s\" }}]"
    );
    let short = SHORT.replace(
        "{ weight = \"50%\", requests = 20, hold = \"200ms\" }",
        &format!("{{ weight = \"50%\", requests = 20, hold = \"{hold}\" }}"),
    );
    assert!(short.contains(hold));
    format!("{}{query}\n", short.replace("deadline = \"5s\"", "deadline = \"60s\""))
}

/// Lets promtool look at `text`; it must like it, without a word of complaint.
fn promtool(arguments: &[&str], text: &str) {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let complains = arguments[1] == "metrics" && !words.is_empty();
    assert!(said.status.success() && !complains, "{arguments:?}: {words}");
}

#[test]
fn the_documented_rules_and_scrape_are_what_prometheus_takes() {
    if !is_there("promtool") {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(path).unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for (block, what) in blocks.zip(["config", "rules"]) {
        let file = dir.path().join(what);
        fs::write(&file, block).unwrap();
        promtool(&["check", what, &file.display().to_string()], "");
        for name in block.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
            let row = format!("| `{name}` |");
            assert!(!name.starts_with("serin_") || page.contains(&row), "no metric {name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 2, "the blocks of the page");
}

#[tokio::test]
async fn prometheus_reads_what_serin_measured() {
    if !is_there("prometheus") || !is_there("promtool") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let prometheus = prometheus(None).await;
    // Gauges are brought up to date once a second.
    let tables = SHORT.replace("guard = \"300ms\"", "guard = \"2500ms\"");
    assert!(tables.contains("2500ms"));
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    prometheus.scrapes(&[("serin", admin(&proxy))]);
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let text = async || get(admin(&proxy), "/metrics", &[]).await.body;
    let evidence = async || text().await.contains("serin_judge_log_evidence{");
    eventually("it is judged", evidence).await;
    promtool(&["check", "metrics"], &text().await);
    proxy.reaches("promoted").await;
    assert_eq!(traffic.stop().await, 0);
    eventually("nothing is judged any more", async || !evidence().await).await;
    promtool(&["check", "metrics"], &text().await);

    let asked = (blue.hits() + green.hits()) as f64;
    eventually("Prometheus counts every request", || async {
        let all = prometheus.samples("serin_requests_total").await;
        all.iter().map(|(_, count)| count).sum::<f64>() == asked
    })
    .await;
    eventually("Prometheus knows the end", || async {
        let states = prometheus.samples("serin_rollout_state").await;
        let now = states.iter().filter(|(_, value)| *value == 1.0);
        now.map(|(labels, _)| labels["state"].clone()).collect::<Vec<_>>() == ["promoted"]
    })
    .await;
    let targets = prometheus.ask("/api/v1/targets").await;
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_query_is_a_gate_of_both_sides() {
    if !is_there("prometheus") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let prometheus = prometheus(None).await;
    let url = prometheus.url();
    let gates = format!(
        r#"
[[services.shop.gates]]
name = "up"
prometheus = "{url}"
query = 'min(serin_endpoint_up{{service="{{service}}",pool="{{pool}}"}})'
compare = "== 1"
against = ["stable", "canary"]
[[services.shop.gates]]
name = "memory"
prometheus = "{url}"
query = 'process_resident_memory_bytes{{pool="{{pool}}"}}'
compare = "< 60e6"
{SHORT}"#
    );
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &gates)).await;
    blue.exposes(1.0, 90.0);
    let targets = [("serin", admin(&proxy)), ("blue", blue.address), ("green", green.address)];
    prometheus.scrapes(&targets);
    eventually("all are scraped", || async { prometheus.samples("up").await.len() == 3 }).await;
    let failed = async |version: &str| {
        proxy.deploy(version).await.unwrap();
        let rollout = proxy.reaches("gate_failed").await.rollout.unwrap();
        let passed: Vec<_> = rollout.gates.iter().map(|g| (g.name.as_str(), g.passed)).collect();
        assert_eq!(passed, [("up", true), ("up", true), ("memory", false)], "{rollout:?}");
        let last = rollout.decisions.last().unwrap();
        assert_eq!(last.reason, "gate:memory");
        last.words.clone()
    };
    let words = failed("v2").await;
    assert!(words.contains("memory on canary") && words.contains("no sample"), "{words}");

    green.exposes(1.0, 90.0);
    let has = async |mebibytes: f64| {
        let samples = prometheus.samples("process_resident_memory_bytes").await;
        samples.contains(&(
            json!({
                "__name__": "process_resident_memory_bytes", "job": "green", "pool": "green",
                "instance": green.address.to_string(),
            }),
            mebibytes * 1_048_576.0,
        ))
    };
    eventually("it is scraped", || has(90.0)).await;
    let words = failed("v2").await;
    assert!(words.contains("wanted < 60000000"), "{words}");

    green.exposes(1.0, 50.0);
    eventually("it is scraped", || has(50.0)).await;
    let before = green.hits();
    proxy.deploy("v2").await.unwrap();
    eventually("it passes", || async { proxy.shop().await.state == "step" }).await;
    assert_eq!(green.hits(), before, "the canary was not asked for anything");
    proxy.stop().await;
}

#[tokio::test]
async fn a_query_holds_a_release_without_a_sample_and_ends_it_when_broken_three_times() {
    if !is_there("prometheus") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let prometheus = prometheus(None).await;
    let tables = asking(&prometheus, "60s");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    blue.exposes(1.0, 50.0);
    prometheus.scrapes(&[("blue", blue.address), ("green", green.address)]);
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let verdict = async || proxy.shop().await.verdict.map(|v| (v.reason, v.words));
    eventually("only the query is missing", || async {
        verdict().await.is_some_and(|(reason, words)| {
            reason == "query" && words.ends_with("memory: the query gave no sample")
        })
    })
    .await;
    assert_eq!(proxy.shop().await.rollout.unwrap().step, Some(1));

    green.exposes(1.0, 55.0);
    let second = async || proxy.shop().await.rollout.unwrap().step == Some(2);
    eventually("the bound is kept", second).await;

    green.exposes(1.0, 70.0);
    let service = proxy.reaches("rolled_back").await;
    let last = service.rollout.unwrap().decisions.pop().unwrap();
    assert_eq!(last.reason, "query:memory", "{last:?}");
    let want = "wanted <= 1.2 * stable";
    assert!(last.words.contains(want) && last.words.ends_with("3 times running"), "{last:?}");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_prometheus_that_dies_holds_a_release_until_it_is_back() {
    if !is_there("prometheus") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.exposes(1.0, 50.0);
    green.exposes(1.0, 50.0);
    let targets = [("blue", blue.address), ("green", green.address)];
    let first = prometheus(None).await;
    first.scrapes(&targets);
    let tables = asking(&first, "3s");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let second = async || proxy.shop().await.rollout.unwrap().step == Some(2);
    eventually("the bound is kept", second).await;
    let port = first.kill();
    // The judge would let it go on.
    eventually("it is held for the query alone", || async {
        let verdict = proxy.shop().await.verdict;
        verdict.is_some_and(|v| v.reason == "query" && v.words.contains("memory: 127.0.0.1: "))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let service = proxy.shop().await;
    assert_eq!((service.state.as_str(), service.rollout.unwrap().step), ("step", Some(2)));

    let again = prometheus(Some(port)).await;
    again.scrapes(&targets);
    proxy.reaches("promoted").await;
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

/// Alertmanager, which tells `receiver` at once of whatever happens to a service.
async fn alertmanager(receiver: &Sink) -> Observer {
    let config = json!({
        "route": {
            "receiver": "us", "group_by": ["service"],
            "group_wait": "10ms", "group_interval": "100ms",
        },
        "receivers": [{
            "name": "us",
            "webhook_configs": [{ "url": format!("http://{}/", receiver.address) }],
        }],
    });
    let rest = |dir: &Path| {
        let data = format!("--storage.path={}", dir.join("data").display());
        vec![data, "--cluster.listen-address=".to_owned()]
    };
    Observer::start("prometheus-alertmanager", &config.to_string(), None, rest).await
}

impl Observer {
    /// The alerts that fire in Alertmanager: the labels without the service's.
    async fn firing(&self) -> Vec<Value> {
        let alerts = self.ask("/api/v2/alerts").await;
        let labels = |alert: &Value| {
            assert_eq!(alert["status"]["state"], "active", "{alert}");
            let mut labels = alert["labels"].clone();
            assert_eq!(labels.as_object_mut().unwrap().remove("service").unwrap(), "shop");
            labels
        };
        alerts.as_array().unwrap().iter().map(labels).collect()
    }
}

fn held(release: &str) -> Value {
    json!({
        "alertname": "SerinReleaseHeld", "release": release, "kind": "held", "severity": "warning",
    })
}

fn rolled_back(release: &str) -> Value {
    json!({
        "alertname": "SerinReleaseRolledBack", "release": release, "kind": "rolled_back",
        "severity": "critical",
    })
}

#[tokio::test]
async fn alertmanager_fires_while_a_release_is_held_and_when_it_was_rolled_back() {
    if !is_there("prometheus-alertmanager") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let receiver = Sink::start().await;
    let alertmanager = alertmanager(&receiver).await;
    // No step ends by itself, and each says so after a second.
    let tables = SHORT.replace("requests = 20", "requests = 1000000").replace(
        "deadline = \"5s\"",
        &format!(
            "deadline = \"1s\"\nnotify = [{{ webhook = \"{}\", format = \"alertmanager\" }}]",
            alertmanager.url()
        ),
    );
    let text = config(&[&blue], &[&green], STICKY, &tables);
    let proxy = TestProxy::start(&text).await;
    let fires = async |what: &'static str, want: &[Value]| {
        eventually(what, || async { alertmanager.firing().await == want }).await;
    };
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    fires("the first step is held", &[held("v2")]).await;
    // What people are told of it: that it is held, that this is over, and nothing else.
    let told = async |count: usize, status: &str| {
        eventually("people are told", || async { receiver.bodies().len() == count }).await;
        let told: Value = serde_json::from_str(receiver.bodies().last().unwrap()).unwrap();
        assert_eq!(
            (&told["status"], told["alerts"].as_array().unwrap().len()),
            (&status.into(), 1)
        );
        assert_eq!(told["alerts"][0]["labels"]["alertname"], "SerinReleaseHeld", "{told}");
        let summary = told["alerts"][0]["annotations"]["summary"].as_str().unwrap();
        assert!(summary.starts_with("shop: release v2 is held at"), "{summary}");
    };
    told(1, "firing").await;
    proxy.act(Action::Promote { full: false }).await.unwrap();
    eventually("it moves on", || async { proxy.shop().await.weight.wanted.to_string() == "50%" })
        .await;
    proxy.act(Action::Pause).await.unwrap();
    fires("the release has moved on", &[]).await;
    told(2, "resolved").await;
    proxy.act(Action::Resume).await.unwrap();
    fires("the second step is held", &[held("v2")]).await;
    told(3, "firing").await;
    green.does(Behaviour::FailEvery(1));
    proxy.reaches("rolled_back").await;
    fires("it is rolled back", &[rolled_back("v2")]).await;
    traffic.stop().await;

    // Nothing is known any more of what was said before a restart.
    green.does(Behaviour::Answer);
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v3").await.unwrap();
    fires("the next is held", &[held("v3"), rolled_back("v2")]).await;
    traffic.stop().await;
    let proxy = TestProxy::start_in(proxy.stop().await, &text).await;
    let ann = Asker { actor: "ann".into(), ..Asker::default() };
    proxy.handle.act("shop", Action::Abort, ann).await.unwrap();
    fires("a person ends it", &[rolled_back("v2")]).await;
    proxy.stop().await;
}
