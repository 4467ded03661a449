use super::*;
use crate::cli::fixture;

/// A file to which `keys` of the service are added; `rollout` is its table of that name.
fn file(keys: &str, rollout: &str) -> File {
    let text = format!(
        "version = 1\n[services.shop]\nstable = \"blue\"\ncanary = \"green\"\n{keys}\n\
         [services.shop.pools.blue]\n[services.shop.pools.green]\n[services.shop.rollout]\n{rollout}\n"
    );
    File::read(&text).unwrap()
}

/// The state and the words of item `id`.
fn found(id: &str, view: &ServiceView, file: Result<&File, &str>) -> (&'static str, String) {
    let items = items(std::slice::from_ref(view), file);
    let item = items.into_iter().find(|item| item.id == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(item.todo.is_none(), item.state == "ok", "{id}: what is to be done?");
    (item.state, item.why)
}

#[test]
fn what_the_file_says_is_looked_at_item_by_item() {
    let table = [
        ("health-checks", "", "", "ok", "checked"),
        ("health-checks", "health = { path = \"/up\" }", "", "ok", "checked"),
        ("health-checks", "health = { off = true }", "", "not_ok", "blue, green"),
        ("health-checks", "pools.red.health = { off = true }", "", "not_ok", "pool red"),
        (
            "health-checks",
            "health = { off = true }\npools.red.health = { tcp = true }",
            "",
            "not_ok",
            "pool blue, green:",
        ),
        ("gates", "", "", "not_ok", "no gate"),
        ("gates", "gates = []", "", "not_ok", "no gate"),
        ("gates", "gates = [{ name = \"a\" }]", "", "ok", "1 gate"),
        ("gates-stable", "", "", "ok", "not said"),
        (
            "gates-stable",
            "gates = [{ against = [\"canary\"] }]",
            "stateful = true",
            "not_ok",
            "version before",
        ),
        (
            "gates-stable",
            "gates = [{ against = [\"canary\", \"stable\"] }]",
            "stateful = true",
            "ok",
            "version before",
        ),
        ("sticky", "", "", "not_ok", "change sides"),
        ("sticky", "sticky = [\"issue\"]", "", "ok", "stay"),
        ("first-step", "", "", "ok", "begins at 1%"),
        ("first-step", "", "steps = [{ weight = \"5%\" }]", "ok", "5.0%"),
        (
            "first-step",
            "",
            "steps = [{ weight = \"20%\" }, { weight = \"50%\" }]",
            "not_ok",
            "20.0%",
        ),
        ("first-step", "", "steps = [{ weight = \"${FIRST}\" }]", "unknown", "variable"),
        ("guard", "", "", "ok", "5m"),
        ("guard", "", "guard = \"90s\"", "ok", "1m30s"),
        ("guard", "", "guard = \"0s\"", "not_ok", "for 0s"),
        ("guard", "", "guard = \"${GUARD}\"", "unknown", "variable"),
        ("judge", "", "", "ok", "judged"),
        ("judge", "judge = { mode = \"threshold\" }", "", "not_ok", "threshold"),
        ("judge", "judge = { watch = false }", "", "not_ok", "watch"),
        ("notify", "", "", "not_ok", "nobody is told"),
        ("notify", "", "notify = []", "not_ok", "nobody is told"),
        ("notify", "", "notify = [{ webhook = \"***\" }]", "ok", "somebody"),
    ];
    for (id, keys, rollout, state, words) in table {
        let file = file(keys, rollout);
        let (got, why) = found(id, &fixture::service(), Ok(&file));
        assert_eq!(got, state, "{id} {keys} {rollout}: {why}");
        assert!(why.contains(words), "{id} {keys} {rollout}: {why}");
    }
}

#[test]
fn what_serin_itself_needs() {
    let table = [
        ("file", "", "ok", "can be read"),
        ("admin", "", "ok", "this machine only"),
        ("admin", "[admin]\nbind = \"unix:/run/serin.sock\"", "ok", "socket"),
        ("admin", "[admin]\nbind = \"0.0.0.0:9900\"\ntoken_file = \"t\"", "ok", "token"),
        ("admin", "[admin]\nbind = \"${ADMIN}\"", "unknown", "variable"),
        ("state", "", "ok", "serin-state"),
        ("state", "[state]\npath = \"/var/lib/serin\"", "ok", "/var/lib/serin"),
        ("state", "[state]\npath = \"/tmp/serin\"", "not_ok", "/tmp/serin"),
        ("state", "[state]\npath = \"${STATE}\"", "unknown", "variable"),
    ];
    for (id, text, state, words) in table {
        let file = File::read(text).unwrap();
        let (got, why) = found(id, &fixture::service(), Ok(&file));
        assert_eq!((got, why.contains(words)), (state, true), "{id} {text}: {why}");
    }
}

#[test]
fn a_file_that_cannot_be_read_leaves_its_items_unknown() {
    let view = fixture::service();
    for item in items(std::slice::from_ref(&view), Err("it is no TOML")) {
        let live =
            ["stable-up", "stable-endpoints", "canary-endpoints", "traffic", "rehearsal", "frozen"];
        match item.id {
            "file" => assert_eq!(item.state, "not_ok"),
            id if live.contains(&id) => {}
            id => {
                assert_eq!(item.state, "unknown", "{id}");
                assert!(item.why.contains("it is no TOML"), "{id}: {}", item.why);
            }
        }
    }
}

#[test]
fn what_is_seen_of_a_service_is_looked_at() {
    let with = |change: &dyn Fn(&mut ServiceView)| {
        let mut view = fixture::service();
        change(&mut view);
        view
    };
    type Change = &'static dyn Fn(&mut ServiceView);
    let table: [(&str, Change, &str, &str); 15] = [
        ("stable-up", &|_| {}, "ok", "2 of 2"),
        ("stable-up", &|view| view.stable.endpoints[0].health = "down".into(), "not_ok", "1 of 2"),
        ("stable-up", &|view| view.stable.endpoints[0].drained = true, "not_ok", "1 of 2"),
        (
            "stable-up",
            &|view| view.stable.endpoints[0].health = "unknown".into(),
            "unknown",
            "1 of 2",
        ),
        ("stable-up", &|view| view.stable.endpoints.clear(), "not_ok", "0 of 0"),
        ("stable-endpoints", &|_| {}, "ok", "2 endpoints"),
        ("stable-endpoints", &|view| view.stable.endpoints.truncate(1), "not_ok", "one endpoint"),
        ("canary-endpoints", &|view| view.canary = None, "not_ok", "no second pool"),
        (
            "canary-endpoints",
            &|view| view.canary.as_mut().unwrap().endpoints.clear(),
            "not_ok",
            "no endpoint",
        ),
        ("traffic", &|_| {}, "ok", "9010 requests"),
        ("traffic", &|view| view.stable.requests = 99, "not_ok", "99 requests"),
        ("traffic", &|view| view.stable.requests = 0, "unknown", "no request"),
        ("rehearsal", &|_| {}, "unknown", "never tried"),
        ("rehearsal", &|view| view.rehearsal = fixture::rehearsal(true), "ok", "3 ms"),
        ("rehearsal", &|view| view.rehearsal = fixture::rehearsal(false), "not_ok", "no answer"),
    ];
    for (id, change, state, words) in table {
        let (got, why) = found(id, &with(change), Err("no file"));
        assert_eq!((got, why.contains(words)), (state, true), "{id}: {why}");
    }
    let frozen = with(&|view| {
        view.frozen = serde_json::from_value(
            json!({ "since": "2026-01-01T00:00:00Z", "until": null, "actor": "bo", "why": "x" }),
        )
        .unwrap();
    });
    assert_eq!(found("frozen", &frozen, Err("no file")).0, "not_ok");
    assert_eq!(found("frozen", &fixture::service(), Err("no file")).0, "ok");
}

#[test]
fn the_list_shows_what_to_do_below_what_does_not_hold() {
    let items = [
        Finding::holds("2 gates").item("gates", Some("shop")),
        Finding::fails("nobody is told", "add notify").item("notify", Some("shop")),
        Finding::unknown("never tried", "run it").item("rehearsal", Some("shop")),
        Finding::holds("it can be read").item("file", None),
    ];
    let want = "\
shop
  ok       gates      2 gates
  NOT OK   notify     nobody is told
                      -> add notify
  unknown  rehearsal  never tried
                      -> run it
serin
  ok  file  it can be read
2 of 4 hold, 1 do not, 1 are unknown
";
    assert_eq!(list(&items), want);
}

/// Names are what the page and scripts go by.
#[test]
fn every_item_has_a_name_of_its_own() {
    let names =
        ABOUT_SERVICES.iter().map(|item| item.0).chain(ABOUT_SERIN.iter().map(|item| item.0));
    let mut seen = std::collections::BTreeSet::new();
    assert!(names.clone().count() > 10);
    for name in names {
        assert!(seen.insert(name), "{name} stands twice");
    }
}
