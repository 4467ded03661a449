//! kill -9 at bad moments, and states that cannot be used.

use std::fs;
use std::path::Path;

use crate::releasing::Traffic;
use crate::support::{
    Behaviour, SHORT, Serin, Upstream, config, eventually, get, serin as command,
};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    dir
}

/// Steps that wait for a person, so that a test can stop where it wants.
fn slow_steps() -> String {
    SHORT.replace("hold = \"200ms\"", "hold = \"200ms\", approval = true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_in_a_step_the_canary_is_where_it_was_and_not_ahead() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, &slow_steps()));
    let serin = Serin::start(dir.path());
    assert!(serin.ask(&["deploy", "shop", "--version", "v2"]).status.success());
    eventually("it is in its step", || async { serin.shop()["state"] == "step" }).await;
    assert_eq!(serin.shop()["weight"]["wanted"], "20%");
    serin.kill();

    let serin = Serin::start(dir.path());
    let shop = serin.shop();
    assert_eq!((&shop["state"], &shop["weight"]["wanted"]), (&"step".into(), &"20%".into()));
    assert_eq!(shop["rollout"]["id"], "v2");
    let decisions = shop["rollout"]["decisions"].as_array().unwrap();
    let names: Vec<_> = decisions.iter().map(|d| d["decision"].as_str().unwrap()).collect();
    assert_eq!(names, ["deploy", "step", "restarted"]);
    // It goes on from there: nothing was forgotten.
    let traffic = Traffic::start(serin.address);
    eventually("the step ends", || async { serin.shop()["state"] == "approval" }).await;
    traffic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_in_a_rollback_the_canary_stays_out() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    green.does(Behaviour::FailEvery(1));
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    for round in 0..3 {
        let serin = Serin::start(dir.path());
        let version = format!("v{}", round + 2);
        let traffic = Traffic::start(serin.address);
        assert!(serin.ask(&["deploy", "shop", "--version", &version]).status.success());
        eventually("the canary fails", || async { green.hits() > 0 }).await;
        eventually("it is rolled back", || async {
            // As soon as it is decided: the state may not be on disk yet.
            serin.shop()["state"] == "rolled_back"
        })
        .await;
        serin.kill();
        traffic.stop().await;

        let serin = Serin::start(dir.path());
        let shop = serin.shop();
        assert_eq!(shop["state"], "rolled_back");
        assert_eq!(shop["weight"]["wanted"], "0%");
        let again = serin.ask(&["deploy", "shop", "--version", &version]);
        assert!(!again.status.success(), "the rejection was forgotten");
        serin.kill();
    }
}

/// The intent is written before the table is published, so even a state that still says otherwise
/// cannot bring the canary back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_completes_a_rollback_that_the_state_does_not_know_of() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, &slow_steps()));
    let serin = Serin::start(dir.path());
    serin.ask(&["deploy", "shop", "--version", "v2"]);
    eventually("it is in its step", || async { serin.shop()["state"] == "step" }).await;
    let state = dir.path().join("state/services/shop.json");
    let in_step = fs::read(&state).unwrap();
    let started = serde_json::from_slice::<serde_json::Value>(&in_step).unwrap();
    let number = started["knows_intent"].as_u64().unwrap() + 1;
    let started = started["rollout"]["started_ms"].as_u64().unwrap();
    serin.kill();
    let intent = format!(
        r#"{{"back":{{"rollout":{{"id":"v2","started_ms":{started},"end":"rolled_back",
        "rejected":true}}}},"decision":{{"at_ms":1,"decision":"rolled_back",
        "weight":"0%","reason":"err","words":"w","actor":"serin"}}}}"#
    );
    let path = dir.path().join(format!("state/intents/shop.{number}.json"));
    fs::write(&path, intent).unwrap();

    let serin = Serin::start(dir.path());
    assert_eq!(serin.shop()["state"], "rolled_back");
    assert_eq!(serin.shop()["weight"]["wanted"], "0%");
    eventually("the intent is cleared", || async { !path.exists() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_set_by_hand_and_roles_that_moved_survive() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    let serin = Serin::start(dir.path());
    let traffic = Traffic::start(serin.address);
    let done = serin.ask(&["deploy", "shop", "--version", "v2", "--wait", "--timeout", "20s"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(serin.ask(&["weight", "shop", "7%"]).status.success());
    traffic.stop().await;
    // The judge of the share writes its state too, now and then.
    let state = dir.path().join("state/services/shop.json");
    eventually("its judge is on disk", || async {
        let state: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        state["weight"] == "7%" && state["watch"].is_object()
    })
    .await;
    serin.kill();
    let serin = Serin::start(dir.path());
    let shop = serin.shop();
    assert_eq!(shop["stable"]["name"], "green");
    assert_eq!(shop["weight"]["wanted"], "7%");
    assert!(serin.ask(&["undo", "shop"]).status.success());
    // At once: what was acknowledged must not be lost, on disk or not.
    serin.kill();
    let serin = Serin::start(dir.path());
    assert_eq!(serin.shop()["stable"]["name"], "blue");
    assert_eq!(serin.shop()["state"], "undone");
    assert!(serin.ask(&["weight", "shop", "50%"]).status.success());
    assert!(serin.ask(&["weight", "shop", "10%"]).status.success());
    serin.kill();
    let serin = Serin::start(dir.path());
    assert_eq!(serin.shop()["weight"]["wanted"], "10%", "a lower share was forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_and_so_does_the_history() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, &slow_steps()));
    let mut serin = Serin::start(dir.path());
    for version in ["v2", "v3", "v4"] {
        for command in [&["deploy", "shop", "--version", version][..], &["pause", "shop"]] {
            let output = serin.ask(command);
            let story = || String::from_utf8(serin.ask(&["explain", version]).stdout);
            assert!(output.status.success(), "{command:?} {output:?}\n{}", story().unwrap());
            // At once.
            serin.kill();
            serin = Serin::start(dir.path());
        }
        let shop = serin.shop();
        assert_eq!((&shop["state"], &shop["rollout"]["id"]), (&"paused".into(), &version.into()));
        assert!(serin.ask(&["abort", "shop"]).status.success());
    }
    let history = serin.ask(&["history", "shop"]);
    let history = String::from_utf8(history.stdout).unwrap();
    for version in ["v2", "v3", "v4"] {
        let told = history.lines().filter(|line| line.contains(version)).count();
        assert_eq!(told, 1, "{history}");
        assert!(serin.ask(&["explain", version]).status.success(), "{version}");
    }
    // A kill in the middle of a write leaves a file behind that is not in its place yet.
    let names = fs::read_dir(dir.path().join("state/history/shop")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kept = names.filter(|name| !name.starts_with('.')).count();
    assert_eq!(kept, 2, "the last rollout is in the state");
}

/// Runs `serin run` on `dir` and returns its exit code and what it said.
fn refused(dir: &Path) -> (Option<i32>, String) {
    let path = dir.join("proxy.toml");
    let output = command(&["run", "--config", path.to_str().unwrap()]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_be_used_is_refused_and_never_begun_anew() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    let serin = Serin::start(dir.path());
    let state = dir.path().join("state/services/shop.json");
    eventually("it is written", || async { state.exists() }).await;
    serin.kill();
    let good = fs::read_to_string(&state).unwrap();

    for (bad, word) in [
        (good[..good.len() / 2].to_owned(), "torn"),
        (String::new(), "torn"),
        (good.replace("\"format\":1", "\"format\":2"), "newer"),
        (good.replace("\"stable\":\"blue\"", "\"stable\":7"), "damaged"),
    ] {
        fs::write(&state, &bad).unwrap();
        let (code, said) = refused(dir.path());
        assert_eq!(code, Some(1), "{word}: {said}");
        assert!(said.contains(word) && said.contains("shop.json"), "{word}: {said}");
        assert_eq!(fs::read_to_string(&state).unwrap(), bad, "{word}: it was changed");
    }

    // A file that lacks the pool that is stable now contradicts the state.
    fs::write(&state, good.replacen("\"stable\":\"blue\"", "\"stable\":\"red\"", 1)).unwrap();
    let (code, said) = refused(dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("pool `red` is stable now"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_share_a_state() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    let first = Serin::start(dir.path());
    let (code, said) = refused(dir.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("another serin uses it"), "{said}");
    first.kill();

    // A file stands where the directory should be.
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    fs::write(dir.path().join("state"), "").unwrap();
    let (code, said) = refused(dir.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("state directory") && said.contains("state.path"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_ends_no_proxy() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    let serin = Serin::start(dir.path());
    let state = dir.path().join("state/services/shop.json");
    eventually("its first state is written", || async { state.exists() }).await;
    let before = serin.limit_files(Some(1));
    serin.ask(&["weight", "shop", "5%"]);
    eventually("the state cannot be written", || async {
        serin.said().contains("cannot write the state")
    })
    .await;
    assert_eq!(get(serin.address, "/", &[]).await.status, 200);
    serin.limit_files(before);
    eventually("it is written", || async {
        fs::read_to_string(&state).is_ok_and(|text| text.contains("\"weight\":\"5%\""))
    })
    .await;
}
