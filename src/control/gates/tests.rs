//! Gates and hooks against a small server and real programs.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::config::{Compare, Expect, Operator, Query, Smoke, Url};
use crate::outbound::sink::{Reply, Sink, reply};

const LONG: Duration = Duration::from_secs(20);

fn side(pool: &str, version: &str, endpoints: &[&Sink]) -> Side {
    let target = |(number, sink): (usize, &&Sink)| {
        (Target { host: format!("{pool}-{number}"), port: 3000 }, sink.address)
    };
    let endpoints = endpoints.iter().enumerate().map(target).collect();
    Side { pool: pool.into(), version: version.into(), endpoints }
}

fn asked(stable: Side, canary: Side) -> Asked {
    Asked {
        service: "shop".into(),
        release: "r-42".into(),
        strategy: Strategy::BlueGreen,
        stable,
        canary,
        folder: "/".into(),
    }
}

/// One whose sides nobody is asked at.
fn nobody() -> Asked {
    asked(side("blue", "41", &[]), side("green", "42", &[]))
}

fn gate(name: &str, check: Check, against: &[Role], deadline: Duration) -> Gate {
    Gate { name: name.into(), check, against: against.to_vec(), deadline }
}

fn smoke(target: &str, expect: Expect) -> Check {
    Check::Request(Box::new(Smoke {
        method: "POST".into(),
        target: target.into(),
        headers: vec![("X-Version".into(), "{version}".into())],
        body: r#"{"pool": "{pool}", "at": "{endpoint}"}"#.into(),
        expect,
    }))
}

fn program(script: &str) -> Check {
    Check::Command(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

async fn one(gate: Gate, asked: &Asked) -> GateReport {
    run(&[gate], asked, |_| ()).await.remove(0)
}

#[tokio::test]
async fn gates_are_asked_in_order_of_both_sides_up_to_the_first_failure() {
    let gates = [
        gate("a", program("exit 0"), &[Role::Canary, Role::Stable], LONG),
        gate("b", program("test {pool} = green"), &[Role::Canary, Role::Stable], LONG),
        gate("c", program("exit 0"), &[Role::Canary], LONG),
    ];
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let reports = run(&gates, &nobody(), move |report| told.lock().unwrap().push(report)).await;
    let short: Vec<_> = reports.iter().map(|r| (r.name.as_str(), r.against, r.passed)).collect();
    let want = [
        ("a", Role::Canary, true),
        ("a", Role::Stable, true),
        ("b", Role::Canary, true),
        ("b", Role::Stable, false),
    ];
    assert_eq!(short, want);
    assert_eq!(*seen.lock().unwrap(), reports, "each is told as it comes");
}

#[tokio::test]
async fn every_endpoint_of_the_side_is_asked_with_its_own_names() {
    let (first, second) = (
        Sink::answering(reply(200, &[], "ok")).await,
        Sink::answering(reply(200, &[], "ok")).await,
    );
    let asked = asked(side("blue", "41", &[]), side("green", "4.2 rc", &[&first, &second]));
    let gate = gate("g", smoke("/v/{version}?a={pool}", Expect::default()), &[Role::Canary], LONG);
    let report = one(gate, &asked).await;
    assert!(report.passed, "{report:?}");
    assert!(report.words.starts_with("all 2 endpoints answered as they should"), "{report:?}");
    for (number, sink) in [&first, &second].into_iter().enumerate() {
        let [seen] = &sink.seen()[..] else { panic!("{:?}", sink.seen()) };
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v/4.2%20rc?a=green"));
        assert_eq!(seen.header("host"), Some(format!("green-{number}:3000").as_str()));
        assert_eq!(seen.header("x-version"), Some("4.2 rc"));
        assert_eq!(seen.json(), json!({ "pool": "green", "at": format!("green-{number}:3000") }));
    }
}

#[tokio::test]
async fn one_endpoint_that_fails_fails_its_pool_and_is_named() {
    let good = Sink::answering(reply(200, &[], "ok")).await;
    let bad = Sink::answering(reply(500, &[], "no database")).await;
    let asked = asked(side("blue", "", &[]), side("green", "", &[&good, &bad]));
    let check = || smoke("/", Expect { contains: Some("ok".into()), ..Expect::default() });
    let report = one(gate("g", check(), &[Role::Canary], LONG), &asked).await;
    assert!(!report.passed);
    assert_eq!(
        report.words,
        format!(
            "POST / of green-1:3000 ({}): wanted a status of 200 to 299, came 500; wanted `ok` in \
             the body, where it is not; the answer was 500: no database",
            bad.address
        )
    );
    let report = one(gate("g", check(), &[Role::Stable], LONG), &asked).await;
    assert!(!report.passed, "nobody who was asked is no pass");
    assert_eq!(report.words, "pool blue has no endpoint that could be asked");
}

#[tokio::test]
async fn a_request_ends_at_its_own_limit_or_at_the_deadline() {
    let silent = Sink::answering(Reply::Silence).await;
    let asked = asked(side("blue", "", &[]), side("green", "", &[&silent]));
    let within = Some(Duration::from_millis(50));
    let check = smoke("/", Expect { within, ..Expect::default() });
    let report = one(gate("g", check, &[Role::Canary], LONG), &asked).await;
    assert!(report.words.ends_with(": no answer within 50 ms"), "{report:?}");
    let check = smoke("/", Expect::default());
    let report = one(gate("g", check, &[Role::Canary], Duration::from_millis(80)), &asked).await;
    assert!(!report.passed && report.took_ms >= 70, "{report:?}");
}

#[tokio::test]
async fn a_program_knows_what_it_is_about() {
    let sink = Sink::answering(reply(200, &[], "")).await;
    let asked = asked(side("blue", "41", &[&sink, &sink]), side("green", "42", &[]));
    let script = "env | grep ^SERIN_ | sort; echo {role} {endpoint} {service}";
    let report = one(gate("env", program(script), &[Role::Stable], LONG), &asked).await;
    let want = "SERIN_ENDPOINTS=blue-0:3000 blue-1:3000\nSERIN_GATE=env\nSERIN_POOL=blue\n\
                SERIN_RELEASE=r-42\nSERIN_ROLE=stable\nSERIN_SERVICE=shop\nSERIN_VERSION=41\n\
                stable blue-0:3000 blue-1:3000 shop";
    assert_eq!(report.output.as_deref(), Some(want));
}

#[tokio::test]
async fn a_webhook_is_asked_until_it_has_decided() {
    let sink = Sink::start(|_, before| match before {
        0 => reply(202, &[("Retry-After", "1")], "looking"),
        _ => reply(200, &[], ""),
    })
    .await;
    let check = Check::Webhook(sink.url("/ask?key=secret"));
    let report = one(gate("approve", check, &[Role::Canary], LONG), &nobody()).await;
    assert!(report.passed, "{report:?}");
    assert_eq!(report.words, "127.0.0.1 answered 200");
    assert!(report.took_ms >= 1_000, "it waits as long as it is asked to");
    let [first, second] = &sink.seen()[..] else { panic!("{:?}", sink.seen()) };
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/ask?key=secret"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let id = first.json()["id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(32));
    let want = |attempt| {
        json!({
            "schema": "serin.gate/1", "id": id, "attempt": attempt, "gate": "approve",
            "service": "shop", "against": "canary", "pool": "green", "version": "42",
            "endpoints": [],
            "release": { "id": "r-42", "version": "42", "pool": "green", "strategy": "blue-green" },
        })
    };
    assert_eq!((first.json(), second.json()), (want(1), want(2)));
}

#[tokio::test]
async fn a_webhook_that_says_no_or_never_decides_fails() {
    let sink = Sink::answering(reply(403, &[], "not on a Friday")).await;
    let check = || Check::Webhook(sink.url("/"));
    let report = one(gate("w", check(), &[Role::Canary], LONG), &nobody()).await;
    assert!(!report.passed);
    assert_eq!(report.words, "127.0.0.1 answered 403: not on a Friday");
    // Without a word it would be asked again after 5 s, when it is too late.
    let sink = Sink::answering(reply(202, &[], "hm")).await;
    let check = Check::Webhook(sink.url("/"));
    let report = one(gate("w", check, &[Role::Canary], Duration::from_secs(3)), &nobody()).await;
    assert!(!report.passed);
    assert_eq!(
        report.words,
        "127.0.0.1 has not decided within 3 s (attempt 1 was answered 202: hm)"
    );
    let sink = Sink::answering(Reply::Silence).await;
    let check = Check::Webhook(sink.url("/"));
    let limit = Duration::from_millis(80);
    let report = one(gate("w", check, &[Role::Canary], limit), &nobody()).await;
    assert!(!report.passed && report.words.contains("no answer within"), "{report:?}");
}

fn prometheus(value: &str) -> Reply {
    let result = json!([{ "metric": {}, "value": [1, value] }]);
    let data = json!({ "resultType": "vector", "result": result });
    reply(200, &[], &json!({ "status": "success", "data": data }).to_string())
}

fn query(url: Url, operator: Operator, number: f64, times_stable: bool) -> Query {
    Query {
        name: "orders".into(),
        url,
        query: r#"sum(orders{pool="{pool}",role="{role}"})"#.into(),
        compare: Compare { operator, number, times_stable },
        every: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn a_query_is_compared_with_what_stable_has() {
    let sink =
        Sink::start(|seen, _| prometheus(if seen.target.contains("canary") { "9" } else { "10" }))
            .await;
    let at_least = |factor| query(sink.url("/prom"), Operator::GreaterOrEqual, factor, true);
    let kept = query::ask(&at_least(0.9), &nobody(), Role::Canary, LONG).await;
    assert_eq!(kept, query_kept("orders: 9 is >= 0.9 * stable (stable has 10)"),);
    let [canary, stable] = &sink.seen()[..] else { panic!("{:?}", sink.seen()) };
    assert_eq!(
        canary.target,
        "/prom/api/v1/query?query=sum%28orders%7Bpool%3D%22green%22%2Crole%3D%22canary%22%7D%29"
    );
    assert!(stable.target.contains("blue%22%2Crole%3D%22stable"), "{stable:?}");
    let check = Check::Query(Box::new(at_least(0.95)));
    let report = one(gate("q", check, &[Role::Canary], LONG), &nobody()).await;
    assert!(!report.passed);
    assert_eq!(report.words, "orders: 9, wanted >= 0.95 * stable (stable has 10)");
}

fn query_kept(words: &str) -> sample::Finding {
    sample::Finding::Kept(words.to_owned())
}

#[tokio::test]
async fn a_query_without_a_value_is_never_a_pass() {
    let sink = Sink::answering(prometheus("NaN")).await;
    let check = Check::Query(Box::new(query(sink.url("/"), Operator::NotEqual, 1.0, false)));
    let report = one(gate("q", check, &[Role::Canary], LONG), &nobody()).await;
    assert_eq!((report.passed, report.words.as_str()), (false, "orders: the value is NaN"));
    let only_canary =
        Sink::start(|seen, _| prometheus(if seen.target.contains("canary") { "9" } else { "NaN" }))
            .await;
    let query_of = query(only_canary.url("/"), Operator::GreaterOrEqual, 0.0, true);
    let found = query::ask(&query_of, &nobody(), Role::Canary, LONG).await;
    assert_eq!(found, sample::Finding::Missing("orders, of stable: the value is NaN".into()));
    let silent = Sink::answering(Reply::Silence).await;
    let query_of = query(silent.url("/"), Operator::Less, 1.0, false);
    let found = query::ask(&query_of, &nobody(), Role::Canary, Duration::from_millis(50)).await;
    let sample::Finding::Missing(words) = found else { panic!("{found:?}") };
    assert!(words.starts_with("orders: 127.0.0.1: no answer within"), "{words}");
}

#[tokio::test]
async fn a_hook_knows_its_point_and_the_event() {
    let script = "test $SERIN_PHASE/$SERIN_POOL/$SERIN_VERSION = retire/green/42";
    let command = Hook::Command(vec!["/bin/sh".into(), "-c".into(), script.into()]);
    let words = hook(&command, "retire", &nobody(), Value::Null, LONG).await.unwrap();
    assert!(words.contains("exit status 0"), "{words}");
    let sink = Sink::answering(reply(200, &[], "")).await;
    let webhook = Hook::Webhook(sink.url("/hook"));
    let event = json!({ "kind": "step" });
    hook(&webhook, "each_step", &nobody(), event.clone(), LONG).await.unwrap();
    let body = sink.seen()[0].json();
    assert_eq!((&body["schema"], &body["phase"]), (&json!("serin.hook/1"), &json!("each_step")));
    assert_eq!((&body["event"], &body["pool"]), (&event, &json!("green")));
}

#[tokio::test]
async fn a_hook_that_fails_says_why_within_bounds() {
    let script = "yes xxxxxxxxxxxxxxx | head -c 100000; exit 7";
    let command = Hook::Command(vec!["/bin/sh".into(), "-c".into(), script.into()]);
    let failed = hook(&command, "after", &nobody(), Value::Null, LONG).await.unwrap_err();
    assert!(failed.words.contains("exit status 7"), "{failed:?}");
    let output = failed.output.unwrap();
    assert!(output.len() <= OUTPUT_BYTES_MAX && output.len() > OUTPUT_BYTES_MAX - 32);
    let long = "p".repeat(10_000);
    let command = Hook::Command(vec![format!("/{long}")]);
    let failed = hook(&command, "after", &nobody(), Value::Null, LONG).await.unwrap_err();
    assert_eq!(failed.words.len(), WORDS_BYTES_MAX);
}

#[test]
fn a_report_survives_being_written_down() {
    let report = GateReport {
        name: "smoke".into(),
        against: Role::Stable,
        passed: false,
        words: "no".into(),
        took_ms: 7,
        output: None,
    };
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(
        text,
        r#"{"name":"smoke","against":"stable","passed":false,"words":"no","took_ms":7}"#
    );
    assert_eq!(serde_json::from_str::<GateReport>(&text).unwrap(), report);
}

#[test]
fn what_is_asked_may_be_spawned_on_another_thread() {
    fn is_send(_: impl Send) {}
    let asked = nobody();
    let command = Hook::Command(Vec::new());
    is_send(run(&[], &asked, |_| ()));
    is_send(hook(&command, "after", &asked, Value::Null, LONG));
    is_send(query::ask(
        &query(
            Url { tls: true, host: String::new(), port: 1, target: String::new() },
            Operator::Less,
            1.0,
            false,
        ),
        &asked,
        Role::Canary,
        LONG,
    ));
}
