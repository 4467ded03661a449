//! Commands around a release, through the binary: who may release, whether the way back works, and
//! what is known before and after.

use std::fs;

use serde_json::Value;

use crate::releasing::Traffic;
use crate::support::{Behaviour, SHORT, Serin, Upstream, config};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

/// serin between blue and green, on a file of its own.
fn start(blue: &Upstream, green: &Upstream, tables: &str) -> (tempfile::TempDir, Serin) {
    let dir = tempfile::tempdir().unwrap();
    let text = config(&[blue], &[green], STICKY, tables);
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    let serin = Serin::start(dir.path());
    (dir, serin)
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn document(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_is_shown_with_its_end_and_its_reason_until_it_is_thawed() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (_dir, serin) = start(&blue, &green, SHORT);
    for (arguments, code, words) in [
        (&["freeze", "shop", "--until", "2h", "--why", "incident 7"][..], 0, "incident 7"),
        (&["status", "shop"], 0, "incident 7"),
        (&["thaw", "shop"], 0, "not frozen"),
        (&["freeze", "--until", "2999-01-01T00:00:00Z"], 0, "until 2999-01-01 00:00:00Z"),
        (&["status"], 0, "frozen    until 2999-01-01 00:00:00Z"),
        (&["thaw"], 0, "shop: not frozen"),
        (&["freeze", "shop", "--until", "tomorrow"], 64, "2026-12-24T18:00:00Z"),
        (&["freeze", "--until", "2020-01-01T00:00:00Z"], 64, "in the future"),
        (&["freeze", "nope"], 1, "no service `nope`"),
    ] {
        let output = serin.ask(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
    assert!(serin.shop()["frozen"].is_null(), "a refused freeze froze");
    let all = document(&serin.ask(&["freeze", "--json"]));
    assert!(!all[0]["frozen"].is_null(), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checklist_is_checked_against_what_runs() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (dir, serin) = start(&blue, &green, SHORT);
    let list = serin.ask(&["ready"]);
    assert_eq!(list.status.code(), Some(1), "{}", text(&list));
    for words in [
        "shop\n",
        "  ok       health-checks",
        "  NOT OK   gates",
        "-> add [[services.shop.gates]]",
        "  unknown  rehearsal",
        "serin\n",
    ] {
        assert!(text(&list).contains(words), "{words:?} is missing from\n{}", text(&list));
    }
    let found = document(&serin.ask(&["ready", "shop", "--json"]));
    assert_eq!(found["ready"], false, "{found}");
    let items = found["items"].as_array().unwrap();
    let state = |id: &str| {
        let item = items.iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("no {id}"));
        item["state"].as_str().unwrap()
    };
    assert_eq!((state("sticky"), state("stable-endpoints"), state("file")), ("ok", "not_ok", "ok"));

    // What stands in the file now is what counts at the next start.
    fs::write(dir.path().join("proxy.toml"), "version =").unwrap();
    let list = text(&serin.ask(&["ready"]));
    assert!(list.contains("NOT OK   file"), "{list}");
    assert_eq!(serin.ask(&["ready", "nope"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_release_is_told_to_its_end_and_beyond() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (_dir, serin) = start(&blue, &green, SHORT);
    let traffic = Traffic::start(serin.address);
    green.does(Behaviour::FailEvery(2));
    let deploy = ["deploy", "shop", "--version", "v2", "--why", "ticket 12", "--wait"];
    assert_eq!(serin.ask(&deploy).status.code(), Some(10));
    let story = text(&serin.ask(&["explain", "v2"]));
    for words in [
        "shop: release v2, version v2: rolled back\n",
        "  to        pool green, canary: 20%, 50%, then all\n",
        ": ticket 12\n",
        "  because   errors: canary ",
        "\nDecisions\n",
        "  +0s      deploy ",
        "      evidence  ",
        "      step      after ",
        "\nNext\n  v2 is rejected; mend it",
        "`serin retry shop`",
    ] {
        assert!(story.contains(words), "{words:?} is missing from\n{story}");
    }
    green.does(Behaviour::Answer);
    let good = serin.ask(&["deploy", "shop", "--version", "v3", "--wait"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    let story = document(&serin.ask(&["explain", "v3", "--json"]));
    assert_eq!((&story["service"], &story["state"]), (&"shop".into(), &"promoted".into()));
    let next = story["next"][0].as_str().unwrap();
    assert!(next.starts_with("`serin undo shop` goes back to pool blue until 20"), "{next}");
    let story = text(&serin.ask(&["explain", "v2"]));
    assert!(story.contains("release v3 came after it: `serin explain v3`"), "{story}");
    assert_eq!(serin.ask(&["explain", "v9"]).status.code(), Some(1));
    traffic.stop().await;
}
