//! Commands around a release, through the binary: who may release, whether the way back works, and
//! what is known before and after.

use std::fs;

use serde_json::Value;

use crate::releasing::Traffic;
use crate::support::{Behaviour, SHORT, Serin, Upstream, config, eventually, serin};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

/// serin between blue and green, on a file of its own, with blue known to be up.
async fn start(blue: &Upstream, green: &Upstream, tables: &str) -> (tempfile::TempDir, Serin) {
    let dir = tempfile::tempdir().unwrap();
    let text = config(&[blue], &[green], STICKY, tables);
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    let serin = Serin::start(dir.path());
    eventually("stable is up", || async {
        serin.shop()["stable"]["endpoints"][0]["health"] == "up"
    })
    .await;
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
    let (_dir, serin) = start(&blue, &green, SHORT).await;
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
    let (dir, serin) = start(&blue, &green, SHORT).await;
    let list = serin.ask(&["ready"]);
    assert_eq!(list.status.code(), Some(1), "{}", text(&list));
    for words in [
        "shop\n",
        "  ok       health-checks ",
        "  NOT OK   gates ",
        "-> add [[services.shop.gates]]",
        "  unknown  rollback-rehearsed",
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
    assert_eq!((state("sticky"), state("canary-endpoints")), ("ok", "not_ok"));
    assert_eq!((state("file-valid"), state("restarts")), ("ok", "by_hand"));

    // What stands in the file now is what counts at the next start.
    fs::write(dir.path().join("proxy.toml"), "version =").unwrap();
    let list = text(&serin.ask(&["ready"]));
    assert!(list.contains("NOT OK   file-valid"), "{list}");
    assert_eq!(serin.ask(&["ready", "nope"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_release_is_told_to_its_end_and_beyond() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (_dir, serin) = start(&blue, &green, SHORT).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_is_waited_for_and_its_code_says_whether_the_way_back_works() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (_dir, serin) = start(&blue, &green, SHORT).await;
    let armed = serin.ask(&["rehearse", "shop", "--why", "before the holidays"]);
    assert_eq!(armed.status.code(), Some(0), "{}", text(&armed));
    assert!(text(&armed).contains("shop: rollback armed, "), "{}", text(&armed));
    assert_eq!(green.hits(), 0, "somebody was sent to the canary");
    let status = text(&serin.ask(&["status", "shop"]));
    assert!(status.contains("  rehearsal rollback armed, "), "{status}");
    let ready = text(&serin.ask(&["ready"]));
    assert!(ready.contains("  ok       rollback-rehearsed"), "{ready}");

    blue.is_healthy(false);
    eventually("stable is down", || async {
        serin.shop()["stable"]["endpoints"][0]["health"] == "down"
    })
    .await;
    let useless = serin.ask(&["rehearse", "shop", "--json"]);
    assert_eq!(useless.status.code(), Some(12), "{}", text(&useless));
    let useless = document(&useless);
    assert_eq!(useless["result"], "not_armed", "{useless}");
    assert_eq!(useless["rehearsal"]["armed"], false, "{useless}");
    assert_eq!(serin.ask(&["rehearse", "nope"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_has_all_of_the_checklist_is_ready_and_its_gates_are_told() {
    let mut pools = Vec::new();
    for name in ["blue", "blue", "green", "green"] {
        pools.push(Upstream::start(name).await);
    }
    let sink = Upstream::start("sink").await;
    let tables = format!(
        r#"
[[services.shop.gates]]
name = "front"
request = "GET /"
against = ["canary", "stable"]
[[services.shop.gates]]
name = "schema"
command = ["sh", "-c", "echo 14 tables; echo users.email is missing; exit 3"]
[services.shop.rollout]
notify = [{{ webhook = "http://{}/" }}]
"#,
        sink.address
    );
    let dir = tempfile::tempdir().unwrap();
    let keys = format!(
        "{STICKY}\ntimeouts = {{ first_byte = \"5s\" }}\nresources = {{ pid = {} }}",
        std::process::id()
    );
    let file = config(&[&pools[0], &pools[1]], &[&pools[2], &pools[3]], &keys, &tables);
    fs::write(dir.path().join("proxy.toml"), file).unwrap();
    let serin = Serin::start(dir.path());
    let traffic = Traffic::start(serin.address);
    eventually("there is traffic", || async {
        serin.shop()["stable"]["requests"].as_u64().unwrap() >= 100
    })
    .await;
    assert_eq!(serin.ask(&["rehearse", "shop"]).status.code(), Some(0));
    let ready = serin.ask(&["ready"]);
    assert_eq!(ready.status.code(), Some(0), "{}", text(&ready));
    assert!(text(&ready).contains("15 of 15 hold"), "{}", text(&ready));

    let deploy = serin.ask(&["deploy", "shop", "--version", "v2", "--wait"]);
    assert_eq!(deploy.status.code(), Some(12), "{}", text(&deploy));
    for command in [["explain", "v2"], ["status", "shop"]] {
        let shown = text(&serin.ask(&command));
        assert!(shown.contains("passed front on canary in "), "{shown}");
        assert!(shown.contains("passed front on stable in "), "{shown}");
        assert!(shown.contains("FAILED schema on canary in "), "{shown}");
    }
    let story = text(&serin.ask(&["explain", "v2"]));
    assert!(story.contains("    | users.email is missing\n"), "{story}");
    assert!(story.contains("`serin deploy shop --version v2` tries it again"), "{story}");
    assert_eq!(traffic.stop().await, 0, "a user met a version that failed its gates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_foreseen_from_the_file_and_from_what_runs() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy.toml");
    // The plan that a service has whose file says nothing of it.
    fs::write(&path, config(&[&blue], &[&green], STICKY, "")).unwrap();
    let file = path.to_str().unwrap();
    let nobody = ["--admin", "http://127.0.0.1:9"];
    let plan =
        |more: &[&str]| serin(&[&["plan", "shop", "--config", file][..], more, &nobody].concat());
    let page = plan(&["--rps", "200"]);
    assert_eq!(page.status.code(), Some(0), "{}", text(&page));
    for words in ["shop: canary, at 200 requests/s", "  SEES FROM  ", "a good release takes about "]
    {
        assert!(text(&page).contains(words), "{words:?} is missing from\n{}", text(&page));
    }
    assert!(!text(&page).contains("  ! step"), "{}", text(&page));
    let rare = document(&plan(&["--rps", "0.1", "--json"]));
    assert_eq!(rare["steps"].as_array().unwrap().len(), 5, "{rare}");
    assert!(rare["steps"][0]["warning"].as_str().unwrap().contains("deadline"), "{rare}");
    // More requests see smaller faults, and never more slowly.
    let busy = document(&plan(&["--rps", "2000", "--json"]));
    let last = |plan: &Value| plan["steps"][4]["visible_error_rate"].as_f64().unwrap();
    assert!(last(&busy) < last(&rare), "{busy}\n{rare}");

    let unasked = plan(&[]);
    assert_eq!(unasked.status.code(), Some(1), "{}", text(&unasked));
    assert!(text(&unasked).contains("--rps N"), "{}", text(&unasked));
    let check = |rps: &str| text(&serin(&["check", file, "--rps", rps]));
    assert!(check("0.1").contains("warning: services.shop.rollout: step 1: "), "{}", check("0.1"));
    assert!(!check("200").contains("services.shop.rollout"), "{}", check("200"));

    let running = Serin::start(dir.path());
    let here = ["plan", "shop", "--config", file];
    let idle = running.ask(&here);
    assert_eq!(idle.status.code(), Some(1), "{}", text(&idle));
    assert!(text(&idle).contains("no request in the last minute"), "{}", text(&idle));
    let traffic = Traffic::start(running.address);
    eventually("the traffic is seen", || async {
        text(&running.ask(&here)).contains("(seen in the last minute)")
    })
    .await;
    traffic.stop().await;
}

/// Scripts and people go by the same names.
#[test]
fn the_checklist_has_the_items_of_its_page() {
    let page = fs::read_to_string("docs/production-checklist.md").unwrap();
    let mut of_page: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let rules = fs::read_to_string("src/cli/ready/rules.rs").unwrap();
    let rows = rules.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    let mut of_command: Vec<_> = rows.filter_map(|row| Some(row.split_once("\", ")?.0)).collect();
    of_page.sort_unstable();
    of_command.sort_unstable();
    assert!(of_page.len() > 10, "{of_page:?}");
    assert_eq!(of_command, of_page);
}
