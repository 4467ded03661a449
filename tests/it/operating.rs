//! Commands around a release, through the binary: who may release, whether the way back works, and
//! what is known before and after.

use std::fs;

use serde_json::Value;

use crate::support::{SHORT, Serin, Upstream, config};

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
