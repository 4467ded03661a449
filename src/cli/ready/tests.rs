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

const AGAINST_BOTH: &str = "gates = [{ against = [\"canary\", \"stable\"] }]";
const AGAINST_CANARY: &str = "gates = [{ against = [\"canary\"] }]";
const RED: &str = "pools.red = { timeouts = { first_byte = \"2s\" } }";

/// Item, keys of the service, keys of its rollout, state, words.
#[rustfmt::skip]
const OF_FILE: &[(&str, &str, &str, &str, &str)] = &[
    ("health-checks", "", "", "ok", "2 of 2"),
    ("health-checks", "health = { path = \"/up\" }", "", "ok", "2 of 2"),
    ("health-checks", "health = { off = true }", "", "not_ok", "blue, green"),
    ("health-checks", "pools.red.health = { off = true }", "", "not_ok", "pool red:"),
    ("timeouts", "", "", "not_ok", "blue, green"),
    ("timeouts", "timeouts = { first_byte = \"2s\" }", "", "ok", "every pool"),
    ("timeouts", "timeouts = { total = \"2s\" }", "", "not_ok", "blue, green"),
    ("timeouts", RED, "", "not_ok", "pool blue, green may"),
    ("sticky", "", "", "not_ok", "change sides"),
    ("sticky", "sticky = [\"issue\"]", "", "ok", "stay"),
    ("resources", "", "", "not_ok", "blue, green"),
    ("resources", "resources = { pid = 1 }", "", "ok", "watched"),
    ("gates", "", "", "not_ok", "no gate"),
    ("gates", "gates = []", "", "not_ok", "no gate"),
    ("gates", "gates = [{ name = \"a\" }]", "", "ok", "1 gate"),
    ("gates", AGAINST_CANARY, "stateful = true", "not_ok", "version before"),
    ("gates", AGAINST_BOTH, "stateful = true", "ok", "1 gate"),
    ("plan-fits-traffic", "", "", "ok", "9010 requests"),
    ("plan-fits-traffic", "", "steps = [{ weight = \"0.01%\" }]", "not_ok", "step 1 takes 1h"),
    ("plan-fits-traffic", "", "steps = [{ weight = \"1%\" }, { weight = \"5%\", hold = \"2h\" }]", "not_ok", "step 2 takes 2h"),
    ("plan-fits-traffic", "", "steps = [{ weight = \"1%\", hold = \"2h\" }]\ndeadline = \"3h\"", "ok", "enough"),
    ("plan-fits-traffic", "", "strategy = \"blue-green\"\ndeadline = \"30s\"", "not_ok", "step 1 takes 1m"),
    ("plan-fits-traffic", "", "steps = [{ weight = \"${FIRST}\" }]", "unknown", "variable"),
    ("plan-fits-traffic", "", "deadline = \"${DEADLINE}\"", "unknown", "variable"),
    ("judge-watches", "", "", "ok", "judged"),
    ("judge-watches", "judge = { mode = \"threshold\" }", "", "not_ok", "threshold"),
    ("judge-watches", "judge = { watch = false }", "", "not_ok", "watch"),
    ("judge-watches", "", "on_inconclusive = \"advance\"", "not_ok", "calls the unknown good"),
    ("guard", "", "", "ok", "for 5m"),
    ("guard", "", "guard = \"1h\"", "ok", "for 1h"),
    ("guard", "", "guard = \"0s\"", "not_ok", "for only 0s"),
    ("guard", "", "guard = \"${GUARD}\"", "unknown", "variable"),
    ("previous-kept", "", "", "ok", "for 15m"),
    ("previous-kept", "", "retire_after = \"1m\"", "not_ok", "for only 1m"),
    ("notify", "", "", "not_ok", "nobody is told"),
    ("notify", "", "notify = []", "not_ok", "nobody is told"),
    ("notify", "", "notify = [{ webhook = \"***\" }]", "ok", "somebody"),
];

#[test]
fn what_the_file_says_is_looked_at_item_by_item() {
    for &(id, keys, rollout, state, words) in OF_FILE {
        let file = file(keys, rollout);
        let (got, why) = found(id, &fixture::service(), Ok(&file));
        assert_eq!(got, state, "{id} {keys} {rollout}: {why}");
        assert!(why.contains(words), "{id} {keys} {rollout}: {why}");
    }
}

#[test]
fn what_serin_itself_needs() {
    let table = [
        ("file-valid", "", "ok", "can be read"),
        ("metrics-scraped", "", "by_hand", "only they know"),
        ("admin-token", "", "ok", "this machine only"),
        ("admin-token", "[admin]\nbind = \"unix:/run/serin.sock\"", "ok", "socket"),
        ("admin-token", "[admin]\nbind = \"0.0.0.0:9900\"\ntoken_file = \"t\"", "ok", "token"),
        ("admin-token", "[admin]\nbind = \"${ADMIN}\"", "unknown", "variable"),
        ("state-durable", "", "ok", "serin-state"),
        ("state-durable", "[state]\npath = \"/var/lib/serin\"", "ok", "/var/lib/serin"),
        ("state-durable", "[state]\npath = \"/tmp/serin\"", "not_ok", "/tmp/serin"),
        ("state-durable", "[state]\npath = \"${STATE}\"", "unknown", "variable"),
        ("restarts", "", "by_hand", "cannot see"),
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
    let without = ["canary-endpoints", "rollback-rehearsed", "metrics-scraped", "restarts"];
    for item in items(std::slice::from_ref(&view), Err("it is no TOML")) {
        match item.id {
            "file-valid" => assert_eq!(item.state, "not_ok"),
            id if without.contains(&id) => {}
            id => {
                assert_eq!(item.state, "unknown", "{id}");
                assert!(item.why.contains("it is no TOML"), "{id}: {}", item.why);
            }
        }
    }
}

#[test]
fn what_is_seen_of_a_service_is_looked_at() {
    type Change = fn(&mut ServiceView);
    let table: [(&str, Change, &str, &str); 14] = [
        ("health-checks", |_| {}, "ok", "2 of 2"),
        ("health-checks", |v| v.stable.endpoints[0].health = "down".into(), "not_ok", "1 of 2"),
        ("health-checks", |v| v.stable.endpoints[0].drained = true, "not_ok", "1 of 2"),
        ("health-checks", |v| v.stable.endpoints[0].health = "unknown".into(), "unknown", "1 of 2"),
        ("health-checks", |v| v.stable.endpoints.clear(), "not_ok", "0 of 0"),
        ("canary-endpoints", |_| {}, "ok", "green has 2 endpoints, pool blue has 2"),
        ("canary-endpoints", |v| v.stable.endpoints.truncate(1), "not_ok", "blue has one endpoint"),
        ("canary-endpoints", |v| v.canary = None, "not_ok", "no second pool"),
        (
            "canary-endpoints",
            |v| v.canary.as_mut().unwrap().endpoints.clear(),
            "not_ok",
            "green has no endpoint",
        ),
        ("plan-fits-traffic", |v| v.stable.requests = 0, "unknown", "no request"),
        ("plan-fits-traffic", |v| v.stable.requests = 60, "not_ok", "step 1 takes 2h"),
        ("rollback-rehearsed", |_| {}, "unknown", "never tried"),
        ("rollback-rehearsed", |v| v.rehearsal = fixture::rehearsal(true), "ok", "3 ms"),
        ("rollback-rehearsed", |v| v.rehearsal = fixture::rehearsal(false), "not_ok", "no answer"),
    ];
    let file = file("", "");
    for (id, change, state, words) in table {
        let mut view = fixture::service();
        change(&mut view);
        let (got, why) = found(id, &view, Ok(&file));
        assert_eq!((got, why.contains(words)), (state, true), "{id}: {why}");
    }
}

#[test]
fn the_list_shows_what_to_do_below_what_does_not_hold() {
    let items = [
        Finding::holds("2 gates").item("gates", Some("shop")),
        Finding::fails("nobody is told", "add notify").item("notify", Some("shop")),
        Finding::unknown("never tried", "run it").item("rehearsed", Some("shop")),
        Finding::holds("it can be read").item("file-valid", None),
        Finding::by_hand("it cannot be seen", "look").item("restarts", None),
    ];
    let want = "\
shop
  ok       gates      2 gates
  NOT OK   notify     nobody is told
                      -> add notify
  unknown  rehearsed  never tried
                      -> run it
serin
  ok       file-valid  it can be read
  by hand  restarts    it cannot be seen
                       -> look
2 of 4 hold, 1 do not, 1 unknown; 1 to look at by hand
";
    assert_eq!(list(&items), want);
}

/// Names are what the page and scripts go by.
#[test]
fn every_item_has_a_name_of_its_own() {
    let of_services = ABOUT_SERVICES.iter().map(|item| item.0);
    let names = of_services.chain(ABOUT_SERIN.iter().map(|item| item.0));
    let mut seen = std::collections::BTreeSet::new();
    assert!(names.clone().count() > 10);
    for name in names {
        assert!(seen.insert(name), "{name} stands twice");
    }
}
