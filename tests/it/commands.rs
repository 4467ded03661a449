//! The commands and the API as a person, a script and a browser use them.

use std::fs;

use crate::releasing::Traffic;
use crate::support::{
    Answer, Behaviour, Client, SHORT, Serin, TestProxy, Upstream, config, eventually, serin,
};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    dir
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploy_and_wait_ends_with_the_code_of_the_end() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let tables = SHORT.replace("deadline = \"5s\"", "deadline = \"1s\"");
    let dir = folder(&config(&[&blue], &[&green], STICKY, &tables));
    let serin = Serin::start(dir.path());
    let traffic = Traffic::start(serin.address);
    let deploy = |version: &str, more: &[&str]| {
        let arguments = [&["deploy", "shop", "--version", version, "--wait"], more].concat();
        serin.ask(&arguments)
    };

    green.does(Behaviour::FailEvery(2));
    let bad = deploy("v2", &[]);
    assert_eq!(bad.status.code(), Some(10), "{}", text(&bad));
    assert!(text(&bad).contains("rolled back"), "{}", text(&bad));

    green.does(Behaviour::Answer);
    green.is_healthy(false);
    let unhealthy = deploy("v3", &["--timeout", "20s"]);
    assert_eq!(unhealthy.status.code(), Some(12), "{}", text(&unhealthy));

    green.is_healthy(true);
    let timed_out = deploy("v4", &["--timeout", "1ms"]);
    assert_eq!(timed_out.status.code(), Some(11), "{}", text(&timed_out));
    let second = deploy("v5", &[]);
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    assert!(text(&second).contains("`v4` is being rolled out"), "{}", text(&second));
    serin.ask(&["abort", "shop"]);

    let good = deploy("v6", &["--json"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    serde_json::from_slice::<serde_json::Value>(&good.stdout).expect("one document");
    assert!(traffic.stop().await > 0, "v2 failed for nobody");

    let history = text(&serin.ask(&["history", "shop"]));
    for version in ["v2", "v3", "v4", "v6"] {
        assert!(history.contains(version), "{version} is missing from\n{history}");
    }
    let story = text(&serin.ask(&["explain", "v2"]));
    assert!(story.contains("evidence"), "{story}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = folder(&config(&[&blue], &[&green], STICKY, SHORT));
    let running = Serin::start(dir.path());
    for (arguments, code, words) in [
        (vec!["weight", "shop", "150%"], 64, "150%"),
        (vec!["weight", "nope", "5%"], 1, "no service `nope`"),
        (vec!["deploy", "nope", "--version", "v2"], 1, "no service `nope`"),
        (vec!["promote", "shop"], 1, "no rollout"),
        (vec!["undo", "shop"], 1, "undo"),
        (vec!["frobnicate"], 64, "frobnicate"),
        (vec!["deploy", "shop"], 64, "--version"),
        (vec!["demo", "--fault", "sleepy"], 64, "hang"),
        (vec!["drain", "shop/blue/10.9.9.9:1"], 1, "10.9.9.9:1"),
    ] {
        let output = running.ask(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
    let nobody = serin(&["status", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody).contains("127.0.0.1:9"), "{}", text(&nobody));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_refused_with_every_problem_and_its_place() {
    let blue = Upstream::start("blue").await;
    let good = config(&[&blue], &[], "", "");
    let bad = good.replace(
        "canary = \"green\"",
        "canary = \"gren\"\nstikcy = [\"ip\"]\nmirror = { share = \"1%\" }",
    );
    let dir = folder(&bad);
    let path = dir.path().join("proxy.toml");
    for command in
        [vec!["check", path.to_str().unwrap()], vec!["run", "-c", path.to_str().unwrap()]]
    {
        let output = serin(&command);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        let said = text(&output);
        for words in
            ["proxy.toml:13:10: ", "did you mean `sticky`?", "`mirror` is not available yet"]
        {
            assert!(said.contains(words), "{words:?} is missing from\n{said}");
        }
    }
    let missing = serin(&["run", "--config", "/nonexistent/proxy.toml"]);
    assert_eq!(missing.status.code(), Some(64), "{}", text(&missing));

    let used = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = used.local_addr().unwrap().to_string();
    let taken = good.replace("canary = \"green\"", "").replace(
        "[listeners.web]\nbind = \"127.0.0.1:0\"",
        &format!("[listeners.web]\nbind = \"{address}\""),
    );
    let dir = folder(&taken);
    let output = serin(&["run", "-c", dir.path().join("proxy.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains(&address), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_sighup_reloads() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let before = config(&[&blue], &[&green], STICKY, SHORT);
    let dir = folder(&before);
    let mut serin = Serin::start(dir.path());
    let after = before.replace("canary = \"green\"", "canary = \"green\"\nweight = \"9%\"");
    fs::write(dir.path().join("proxy.toml"), after).unwrap();
    let signal = |name: &str| {
        let pid = serin.child.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-HUP");
    eventually("it is reloaded", || async { serin.shop()["weight"]["wanted"] == "9%" }).await;
    signal("-TERM");
    let status = serin.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Asks the API as anybody could.
async fn api(proxy: &TestProxy, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let address = proxy.admin.strip_prefix("http://").unwrap().parse().unwrap();
    Client::connect(address).await.send(line, fields, body.to_owned()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_says_what_is_wrong_as_problems() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let json = [("content-type", "application/json")];
    for (line, fields, body, status) in [
        ("GET /v1/services/nope", &json[..], "", 404),
        ("PUT /v1/services/shop/weight", &json, r#"{"canary":"150%"}"#, 422),
        ("PUT /v1/services/shop/weight", &json, r#"{"canary":"5%","wyh":"x"}"#, 422),
        ("PUT /v1/services/shop/weight", &json, "{", 400),
        ("POST /v1/services/nope/rollouts", &json, r#"{"version":"v2"}"#, 404),
        ("POST /v1/services/shop/rollouts", &json, r#"{"id":"v2"}"#, 422),
        (
            "POST /v1/services/shop/rollouts",
            &json,
            r#"{"version":"v2","steps":[{"weight":"5%","hold_s":-1}]}"#,
            422,
        ),
        ("POST /v1/services/shop/promote", &json, "", 409),
        ("DELETE /v1/services", &json, "", 405),
        ("GET /v1/nothing", &json, "", 404),
        ("GET /v1/services", &[("host", "evil.example")], "", 421),
        ("GET /v1/services", &[("origin", "http://evil.example")], "", 403),
        ("PUT /v1/services/shop/weight", &[("if-match", "\"999\"")], r#"{"canary":"5%"}"#, 412),
    ] {
        let answer = api(&proxy, line, fields, body).await;
        assert_eq!(answer.status, status, "{line} {body}: {}", answer.body);
        assert_eq!(answer.fields["content-type"], "application/problem+json", "{line}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{line}");
    }
    let body = r#"{"version":"v2","why":"ticket 7"}"#;
    let created = api(&proxy, "POST /v1/services/shop/rollouts", &json, body).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.fields["location"], "/v1/rollouts/v2");
    let second = api(&proxy, "POST /v1/services/shop/rollouts", &json, r#"{"version":"v3"}"#).await;
    assert_eq!(second.status, 409, "{}", second.body);
    let story = api(&proxy, "GET /v1/rollouts/v2", &[], "").await;
    assert!(story.body.contains("ticket 7"), "{}", story.body);

    let check = api(&proxy, "POST /v1/config/check", &[], "version = 1\n[servces.x]\n").await;
    assert_eq!(check.status, 422);
    assert!(check.body.contains("did you mean `services`?"), "{}", check.body);
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_metrics_are_there() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    assert_eq!(api(&proxy, "GET /healthz", &[], "").await.status, 200);
    eventually("it is ready", || async { api(&proxy, "GET /readyz", &[], "").await.status == 200 })
        .await;
    crate::support::get(proxy.address, "/", &[]).await;
    eventually("the request is in the metrics", || async {
        let text = api(&proxy, "GET /metrics", &[], "").await.body;
        text.contains(
            r#"serin_requests_total{service="shop",pool="blue",role="stable",outcome="2xx"} 1"#,
        ) && text.contains(r#"serin_rollout_state{service="shop",state="idle"} 1"#)
            && text.contains("serin_table_generation ")
    })
    .await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_wanted_where_one_is_set() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    let (token, reader) = (dir.path().join("token"), dir.path().join("reader"));
    fs::write(&token, "operator-secret\n").unwrap();
    fs::write(&reader, "reader-secret\n").unwrap();
    let keys = format!(
        "[admin]\ntoken_file = \"{}\"\nread_token_file = \"{}\"",
        token.display(),
        reader.display()
    );
    let text = config(&[&blue], &[&green], STICKY, SHORT).replace("[admin]", &keys);
    let proxy = TestProxy::start(&text).await;
    let weight = "PUT /v1/services/shop/weight";
    for (line, bearer, status) in [
        ("GET /v1/services", None, 401),
        ("GET /v1/services", Some("guess"), 401),
        ("GET /v1/services", Some("reader-secret"), 200),
        (weight, Some("reader-secret"), 403),
        (weight, Some("operator-secret"), 200),
        ("GET /healthz", None, 200),
    ] {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer.iter().map(|b| ("authorization", b.as_str())).collect();
        let answer = api(&proxy, line, &fields, r#"{"canary":"0%"}"#).await;
        assert_eq!(answer.status, status, "{line} {bearer:?}: {}", answer.body);
    }
    proxy.stop().await;
}

#[test]
fn the_demo_tells_every_story_as_it_should_end() {
    let table = [
        ("errors", "rolled_back"),
        ("slow", "rolled_back"),
        ("crash", "rolled_back"),
        ("hang", "rolled_back"),
        ("none", "promoted"),
    ];
    for (fault, result) in table {
        let output = serin(&["demo", "--fault", fault, "--rps", "500", "--json"]);
        assert!(output.status.success(), "{fault}: {}", text(&output));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["result"], result, "{summary}");
        assert_eq!(summary["as_it_should"], true, "{summary}");
        if ["none", "slow"].contains(&fault) {
            assert_eq!(summary["failures"], 0, "{summary}");
        }
    }
}
