//! What a release has to pass before its first request, and what is called along its way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serin::control::{Action, Refusal};

use crate::releasing::Traffic;
use crate::support::{Behaviour, SHORT, Sink, TestProxy, Upstream, config, eventually};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

/// The tables of a service with these gates, and with these keys for its rollout.
fn tables(gates: &str, rollout: &str) -> String {
    let short = SHORT.replace("deadline = \"5s\"", &format!("deadline = \"5s\"\n{rollout}"));
    format!("{gates}\n{short}")
}

fn script(dir: &std::path::Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_failing_smoke_test_moves_not_one_user() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let gates = r#"
[[services.shop.gates]]
name = "front"
request = "GET /front"
expect = { status = 200, contains = "green" }
[[services.shop.gates]]
name = "checkout"
request = "POST /smoke/checkout"
body = '{"test": true}'
expect = { contains = "ordered", within = "2s" }
"#;
    for strategy in ["canary", "blue-green"] {
        let mut tables = tables(gates, "");
        if strategy == "blue-green" {
            tables = tables.replace(
                "steps = [{ weight = \"20%\", requests = 20, hold = \"200ms\" }, { weight = \"50%\", requests = 20, hold = \"200ms\" }]",
                "strategy = \"blue-green\"\nsteps = [{ weight = \"20%\", requests = 20, hold = \"200ms\" }]",
            );
            assert!(tables.contains("blue-green"));
        }
        let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
        let traffic = Traffic::start(proxy.address);
        let before = green.hits();
        proxy.deploy("v2").await.unwrap();
        let service = proxy.reaches("gate_failed").await;
        let rollout = service.rollout.unwrap();
        let last = rollout.decisions.last().unwrap();
        assert_eq!(last.reason, "gate:checkout", "{last:?}");
        assert!(last.words.contains("checkout on canary"), "{}", last.words);
        assert!(last.words.contains("ordered"), "what was wanted: {}", last.words);
        let gates: Vec<_> = rollout.gates.iter().map(|g| (g.name.as_str(), g.passed)).collect();
        assert_eq!(gates, [("front", true), ("checkout", false)], "evidence is kept");
        assert_eq!(green.hits() - before, 2, "the canary got nothing but its smoke tests");
        assert_eq!(traffic.stop().await, 0);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_migration_that_breaks_the_old_version_is_found_before_the_first_user() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let gates = r#"
[[services.shop.gates]]
name = "both"
request = "GET /smoke"
against = ["canary", "stable"]
"#;
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables(gates, ""))).await;
    // The new schema is there, and the old version does not understand it.
    blue.does(Behaviour::FailEvery(1));
    proxy.deploy("v2").await.unwrap();
    let service = proxy.reaches("gate_failed").await;
    let words = service.rollout.unwrap().decisions.pop().unwrap().words;
    assert!(words.contains("both on stable") && words.contains("500"), "{words}");
    blue.does(Behaviour::Answer);
    proxy.deploy("v2").await.unwrap();
    eventually("the gates pass", || async { proxy.shop().await.state == "step" }).await;
    proxy.stop().await;
}

#[tokio::test]
async fn programs_are_gates_and_hooks_in_their_order() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log").display().to_string();
    for name in ["deploy", "smoke", "retire", "after", "before_promote"] {
        script(
            dir.path(),
            &format!("{name}.sh"),
            &format!("echo \"{name} $SERIN_SERVICE $SERIN_VERSION $SERIN_POOL $1\" >> {log}"),
        );
    }
    let gates = r#"
[[services.shop.gates]]
name = "smoke"
command = ["./smoke.sh", "{pool}"]
"#;
    let hooks = r#"
retire_after = "1ms"
hooks = { deploy = ["./deploy.sh"], before_promote = ["./before_promote.sh"], retire = ["./retire.sh"], after = ["./after.sh"] }"#;
    let text = config(&[&blue], &[&green], STICKY, &tables(gates, hooks));
    let proxy = TestProxy::start_in(dir, &text).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    proxy.reaches("promoted").await;
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    eventually("every hook was called", || async { lines().lines().count() == 5 }).await;
    let said = lines();
    let said: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        said[..3],
        ["deploy shop v2 green", "smoke shop v2 green green", "before_promote shop v2 green"]
    );
    assert_eq!(said[3], "after shop v2 green");
    assert_eq!(said[4], "retire shop  blue", "it is about the old pool");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_program_that_fails_fails_the_release_and_its_words_are_kept() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "smoke.sh", "echo the database is empty; exit 3");
    let gates = "[[services.shop.gates]]\nname = \"smoke\"\ncommand = [\"./smoke.sh\"]\n";
    let text = config(&[&blue], &[&green], STICKY, &tables(gates, ""));
    let proxy = TestProxy::start_in(dir, &text).await;
    proxy.deploy("v2").await.unwrap();
    let rollout = proxy.reaches("gate_failed").await.rollout.unwrap();
    let report = rollout.gates.last().unwrap();
    assert!(report.output.as_ref().unwrap().contains("the database is empty"), "{report:?}");
    assert_eq!(green.hits(), 0);
    proxy.stop().await;
}

/// A webhook may think: 202 waits, 2xx passes, and what it is told can be read by a program.
#[tokio::test]
async fn a_webhook_decides_and_may_take_its_time() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let sink = Sink::start().await;
    sink.answers(&[(202, "retry-after: 1"), (200, "")]);
    let hooks = format!("hooks = {{ before_traffic = \"http://{}/agree\" }}", sink.address);
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables("", &hooks))).await;
    proxy.deploy("v2").await.unwrap();
    eventually("it was asked", || async { sink.bodies().len() == 1 }).await;
    assert_eq!(proxy.shop().await.reason, "waiting for the hook `before_traffic`");
    assert_eq!(green.hits(), 0);
    eventually("it agreed", || async { proxy.shop().await.state == "step" }).await;
    let asked: serde_json::Value = serde_json::from_str(&sink.bodies()[1]).unwrap();
    assert_eq!((&asked["service"], &asked["phase"]), (&"shop".into(), &"before_traffic".into()));
    assert_eq!(asked["release"]["version"], "v2");
    proxy.stop().await;
}

#[tokio::test]
async fn a_step_that_a_hook_refuses_is_rolled_back() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let sink = Sink::start().await;
    sink.answers(&[(409, "")]);
    let hooks = format!("hooks = {{ each_step = \"http://{}/step\" }}", sink.address);
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables("", &hooks))).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let rollout = proxy.reaches("rolled_back").await.rollout.unwrap();
    assert_eq!(rollout.decisions.last().unwrap().reason, "hook:each_step");
    assert!(!rollout.decisions.iter().any(|d| d.weight.to_string() == "50%"), "it went on");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn the_canary_is_killed_only_once_its_requests_have_ended() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let sink = Sink::start().await;
    let hooks = format!("hooks = {{ rolled_back = \"http://{}/kill\" }}", sink.address);
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables("", &hooks))).await;
    let traffic = Traffic::start(proxy.address);
    green.does(Behaviour::Wait);
    proxy.deploy("v2").await.unwrap();
    let in_flight = async || proxy.shop().await.canary.unwrap().endpoints[0].in_flight;
    eventually("the canary is busy", async || in_flight().await > 0).await;
    proxy.act(Action::Abort).await.unwrap();
    // Whoever did not wait would have called it by now.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(in_flight().await > 0, "a request was cut off");
    assert!(sink.bodies().is_empty(), "called while a request was in flight");
    green.may_answer();
    eventually("it is called", || async { sink.bodies().len() == 1 }).await;
    assert_eq!(in_flight().await, 0);
    assert_eq!(traffic.stop().await, 0, "a request in flight was lost");
    proxy.stop().await;
}

#[tokio::test]
async fn the_way_back_is_rehearsed_before_the_first_request() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    proxy.deploy("v2").await.unwrap();
    let service = proxy.reaches("step").await;
    let rehearsal = service.rollout.unwrap().rehearsal.unwrap();
    assert!(rehearsal.armed && rehearsal.words.starts_with("rollback armed"), "{rehearsal:?}");
    assert!(rehearsal.back_ms.unwrap() < 1_000.0, "{rehearsal:?}");
    assert_eq!(green.hits(), 0, "the failures are the proxy's own");
    assert_eq!(service.canary.unwrap().requests, 0, "a rehearsal is not judged");
    proxy.act(Action::Abort).await.unwrap();

    // It may be asked for at any time.
    let at_ms = async || proxy.shop().await.rehearsal.unwrap().at_ms;
    let before = at_ms().await;
    proxy.act(Action::Rehearse).await.unwrap();
    assert!(matches!(proxy.act(Action::Rehearse).await, Err(Refusal::Conflict(_))), "twice");
    eventually("it is rehearsed again", async || at_ms().await > before).await;
    assert!(proxy.shop().await.rehearsal.unwrap().armed);
    proxy.stop().await;
}

#[tokio::test]
async fn a_way_back_that_does_not_work_blocks_the_release() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    // Nobody who is blind to errors notices a failing canary.
    let tables = SHORT.replace(
        "[services.shop.judge]",
        "[services.shop.judge]\nattention = { errors = 0 }\nslo = { error_rate = \"1%\" }",
    );
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    proxy.deploy("v2").await.unwrap();
    let patience = Duration::from_secs(40);
    let blocked = async {
        while proxy.shop().await.state != "gate_failed" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(patience, blocked).await.expect("it was let through");
    let last = proxy.shop().await.rollout.unwrap().decisions.pop().unwrap();
    assert_eq!(last.reason, "rehearsal");
    assert!(last.words.contains("the verdict did not fire"), "{}", last.words);
    assert_eq!(green.hits(), 0);
    proxy.stop().await;
}

/// Probes ask for `/` where there is no health check, and users do not all get an answer there.
#[tokio::test]
async fn a_failure_of_stable_now_and_then_blocks_no_release() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::FailEvery(5));
    let keys = format!("{STICKY}\nhealth = {{ off = true }}");
    let proxy = TestProxy::between(&blue, &green, &keys).await;
    proxy.deploy("v2").await.unwrap();
    proxy.reaches("step").await;
    assert!(blue.hits() >= 40, "{}: the probes came by", blue.hits());
    assert!(proxy.shop().await.rollout.unwrap().rehearsal.unwrap().armed);
    proxy.act(Action::Abort).await.unwrap();
    blue.does(Behaviour::FailEvery(1));
    proxy.deploy("v3").await.unwrap();
    let service = proxy.reaches("gate_failed").await;
    let words = service.rollout.unwrap().decisions.pop().unwrap().words;
    assert_eq!(words, "stable does not answer: GET / answered 500");
    proxy.stop().await;
}

#[tokio::test]
async fn nothing_goes_forward_while_it_is_frozen_and_the_way_back_is_open() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let freeze = || proxy.act(Action::Freeze { until_ms: None });
    freeze().await.unwrap();
    let refused = proxy.deploy("v2").await.unwrap_err();
    assert!(matches!(&refused, Refusal::Conflict(why) if why.contains("frozen")), "{refused}");
    proxy.act(Action::Thaw).await.unwrap();
    proxy.deploy("v2").await.unwrap();
    // Without traffic no step ends before it is frozen; with it, one takes a fraction of a second.
    proxy.reaches("step").await;
    freeze().await.unwrap();
    let held = proxy.shop().await.weight.wanted;
    let traffic = Traffic::start(proxy.address);
    eventually("the step has what it wants", || async { green.hits() > 60 }).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let service = proxy.shop().await;
    assert_eq!((service.state.as_str(), service.weight.wanted), ("step", held));
    assert!(service.reason.contains("frozen"), "{}", service.reason);
    green.does(Behaviour::FailEvery(1));
    proxy.reaches("rolled_back").await;
    traffic.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn past_the_point_of_no_return_a_bad_canary_stops_and_calls_for_help() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let sink = Sink::start().await;
    let keys =
        format!("irreversible_after = 2\nnotify = [{{ webhook = \"http://{}/\" }}]", sink.address);
    // The second step lasts until something is found of it.
    let tables = tables("", &keys)
        .replace("hold = \"200ms\" }]", "hold = \"1m\" }]")
        .replace("deadline = \"5s\"", "deadline = \"2m\"");
    assert!(tables.contains("\"1m\"") && tables.contains("\"2m\""), "{tables}");
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    let wanted = async || proxy.shop().await.weight.wanted.to_string();
    eventually("it is past the point", async || wanted().await == "50%").await;
    green.does(Behaviour::FailEvery(1));
    let service = proxy.reaches("paused").await;
    assert_eq!(service.weight.wanted.to_string(), "50%", "it was rolled back");
    let last = service.rollout.unwrap().decisions.pop().unwrap();
    assert_eq!(last.decision, "frozen");
    eventually("somebody is told", || async {
        sink.bodies().iter().any(|body| {
            let event: serde_json::Value = serde_json::from_str(body).unwrap();
            event["kind"] == "frozen" && event["severity"] == "critical"
        })
    })
    .await;
    // A person decides: here, that it is good enough, or mended.
    green.does(Behaviour::Answer);
    proxy.act(Action::Promote { full: false }).await.unwrap();
    proxy.reaches("promoted").await;
    traffic.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_canary_without_any_endpoint_is_left_at_once() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], STICKY, SHORT);
    let proxy = TestProxy::start(&text).await;
    proxy.deploy("v2").await.unwrap();
    eventually("it is in a step", || async { proxy.shop().await.state == "step" }).await;
    let gone = text.replace(&format!("endpoints = [\"{}\"]", green.address), "endpoints = []");
    fs::write(proxy.path(), gone).unwrap();
    proxy.handle.reload().await.unwrap();
    let service = proxy.reaches("rolled_back").await;
    assert_eq!(service.rollout.unwrap().decisions.pop().unwrap().reason, "empty");
    proxy.stop().await;
}

#[tokio::test]
async fn a_lasting_split_reports_and_never_promotes() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let tables = SHORT.replace(
        "steps = [{ weight = \"20%\", requests = 20, hold = \"200ms\" }, { weight = \"50%\", requests = 20, hold = \"200ms\" }]",
        "strategy = \"ab\"\nsteps = [{ weight = \"50%\" }]",
    );
    assert!(tables.contains("\"ab\""));
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables)).await;
    let traffic = Traffic::start(proxy.address);
    proxy.deploy("v2").await.unwrap();
    eventually("both are measured", || async {
        let rollout = proxy.shop().await.rollout.unwrap();
        rollout
            .report
            .is_some_and(|report| report.canary.requests > 200 && report.stable.requests > 200)
    })
    .await;
    assert!(matches!(proxy.act(Action::Promote { full: true }).await, Err(Refusal::Conflict(_))));
    let service = proxy.shop().await;
    assert_eq!(service.state, "step");
    let report = service.rollout.unwrap().report.unwrap();
    for side in [&report.stable, &report.canary] {
        assert_eq!(side.error_rate, Some(0.0));
        assert!(side.error_interval.1 < 0.1, "{side:?}");
        let median = side.quantiles[0];
        assert!(median.low_ms <= median.ms && median.ms <= median.high_ms.unwrap(), "{side:?}");
    }
    // It is judged all the same.
    green.does(Behaviour::FailEvery(1));
    proxy.reaches("rolled_back").await;
    traffic.stop().await;
    proxy.stop().await;
}

#[tokio::test]
async fn people_are_told_of_every_end() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let sink = Sink::start().await;
    // The first attempt is lost, and made again.
    sink.answers(&[(503, "")]);
    let keys =
        format!("notify = [{{ webhook = \"http://{}/\", format = \"slack\" }}]", sink.address);
    let proxy = TestProxy::start(&config(&[&blue], &[&green], STICKY, &tables("", &keys))).await;
    let traffic = Traffic::start(proxy.address);
    green.does(Behaviour::FailEvery(1));
    proxy.deploy("v2").await.unwrap();
    proxy.reaches("rolled_back").await;
    eventually("it is said", || async {
        sink.bodies().iter().any(|body| body.contains("rolled back") && body.contains("v2"))
    })
    .await;
    traffic.stop().await;
    proxy.stop().await;
}
