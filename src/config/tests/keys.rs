//! Every key is known: read now, or refused by name.

use super::*;
use crate::config::keys::{SECTIONS, Section};

/// A file with `lines` in the table that `path` names, and one table for each name.
fn with_table(path: &str, lines: &str) -> String {
    let mut text = HEAD.to_owned();
    let shop = "[services.shop]\nstable = \"blue\"\ncanary = \"green\"\n";
    match path {
        "" => {
            let version = if lines.starts_with("version") { "" } else { "version = 1\n" };
            return with("").replacen("version = 1\n", &format!("{version}{lines}\n"), 1);
        }
        "listeners.NAME" => text.push_str(&format!("{lines}\n{shop}{POOLS}")),
        "listeners.NAME.tls" => {
            let base = ["hosts = [\"*\"]", "cert = \"a.pem\"", "key = \"a.key\""];
            let certificate = element(lines, &base);
            text.push_str(&format!("[[listeners.web.tls]]\n{certificate}{shop}{POOLS}"));
        }
        "services.NAME" => text.push_str(&format!("{shop}{lines}\n{POOLS}")),
        "services.NAME.pools.POOL" => text.push_str(&format!("{shop}{POOLS}{lines}\n")),
        "services.NAME.match" | "services.NAME.force" => {
            let array = path.replace("NAME", "shop");
            text.push_str(&format!("{shop}[[{array}]]\n{lines}\n{POOLS}"));
        }
        "services.NAME.rollout.steps" => {
            let rollout = "[[services.shop.rollout.steps]]\nweight = \"1%\"\n";
            text.push_str(&format!("{shop}{POOLS}{rollout}{lines}\n"));
        }
        _ if path.starts_with("services.NAME.gates") => {
            let inner = path.strip_prefix("services.NAME.gates").unwrap_or_default();
            let gate = "[[services.shop.gates]]\n";
            text.push_str(&format!("{shop}{POOLS}{gate}"));
            text.push_str(&match inner {
                "" => element(lines, &["name = \"a\"", "request = \"GET /\""]),
                _ => format!(
                    "name = \"a\"\nrequest = \"GET /\"\n[services.shop.gates{inner}]\n{lines}\n"
                ),
            });
        }
        "services.NAME.rollout.notify" => {
            let notify = element(lines, &["webhook = \"https://example.com\""]);
            text.push_str(&format!("{shop}{POOLS}[[services.shop.rollout.notify]]\n{notify}"));
        }
        "services.NAME.judge.prometheus" => {
            let base = ["name = \"a\"", "url = \"http://a\"", "query = \"q\"", "compare = \"< 1\""];
            let query = element(lines, &base);
            text.push_str(&format!("{shop}{POOLS}[[services.shop.judge.prometheus]]\n{query}"));
        }
        "services.NAME.issue" => {
            text.push_str(&format!(
                "{shop}sticky = [\"issue\"]\n{POOLS}[services.shop.issue]\n{lines}\n"
            ));
        }
        _ => {
            let table = path.replace("NAME.pools.POOL", "shop.pools.green");
            let name = if table.starts_with("listeners") { "web" } else { "shop" };
            let table = table.replace("NAME", name);
            text.push_str(&format!("{shop}{POOLS}[{table}]\n{lines}\n"));
        }
    }
    text
}

/// An element with `lines`, and those of `base` whose keys they do not have. A gate asks one thing.
fn element(lines: &str, base: &[&str]) -> String {
    let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
    let given: Vec<String> = lines.lines().map(key).collect();
    let other_kind = given.iter().any(|key| ["command", "webhook", "prometheus"].contains(&&**key));
    let base = base
        .iter()
        .filter(|line| !given.contains(&key(line)))
        .filter(|line| !(other_kind && key(line) == "request"));
    base.map(|line| format!("{line}\n")).collect::<String>() + lines + "\n"
}

/// What DESIGN promises for later, with a value as DESIGN writes it.
const LATER: [(&str, &str); 32] = [
    ("state", "etcd = { endpoints = [\"http://127.0.0.1:2379\"] }"),
    ("listeners.NAME", "client_ca = \"clients.pem\""),
    ("listeners.NAME", "redirect_https = false"),
    ("listeners.NAME", "proxy_protocol_from = []"),
    ("services.NAME", "rewrite = { strip_prefix = \"/shop\" }"),
    ("services.NAME", "request_headers = {}"),
    ("services.NAME", "response_headers = {}"),
    ("services.NAME", "redirect = { to = \"https://{host}{target}\" }"),
    ("services.NAME", "shield = { on = [] }"),
    ("services.NAME", "mirror = { share = \"0%\" }"),
    ("services.NAME", "assets = []"),
    ("services.NAME", "outlier = { off = true }"),
    ("services.NAME", "limits = { in_flight = 512 }"),
    ("services.NAME", "retry = { attempts = 0 }"),
    ("services.NAME", "ca = \"ca.pem\""),
    ("services.NAME.pools.POOL", "outlier = { off = true }"),
    ("services.NAME.pools.POOL", "limits = { in_flight = 512 }"),
    ("services.NAME.pools.POOL", "retry = { attempts = 0 }"),
    ("services.NAME.pools.POOL", "ca = \"ca.pem\""),
    ("services.NAME.pools.POOL.health", "grpc = true"),
    // Values of keys that are read now.
    ("listeners.NAME", "bind = \"fd:web\""),
    ("services.NAME", "protocol = \"h2\""),
    ("services.NAME", "balance = \"ewma\""),
    ("services.NAME.pools.POOL", "protocol = \"h2\""),
    ("services.NAME.pools.POOL", "protocol = \"auto\""),
    ("services.NAME.pools.POOL", "balance = \"ewma\""),
    ("services.NAME.pools.POOL", "balance = \"ip-hash\""),
    ("services.NAME.pools.POOL", "endpoints = [\"https://app:443\"]"),
    ("services.NAME", "shield = { on = [\"5xx\"] }"),
    ("services.NAME", "assets = [\"/assets/\"]"),
    ("services.NAME", "mirror = {}"),
    ("listeners.NAME", "redirect_https = true"),
];

#[test]
fn a_key_of_a_later_version_is_refused_by_name_and_place() {
    for (path, line) in LATER {
        let mut text = with_table(path, line);
        let (key, value) = line.split_once(" = ").unwrap();
        // A key that is there already is replaced, not written twice.
        if key == "bind" {
            text = text.replacen("bind = \"0.0.0.0:8080\"\n", "", 1);
        } else if key == "endpoints" {
            text = text.replacen("endpoints = [\"green:3000\"]\n", "", 1);
        }
        let (place, message) = one_problem(&text);
        let names: Vec<_> = message.split('`').collect();
        assert!(
            message.ends_with("` is not available yet") && names.len() == 3,
            "{line}: {message}"
        );
        if names[1] == key {
            assert_eq!(place, line, "{text}");
        } else {
            assert!(value.contains(names[1]) || names[1] == key, "{line}: {message}");
            assert!(place.starts_with('"') && value.contains(&place), "{line}: at {place}");
        }
    }
}

#[test]
fn the_table_of_keys_and_this_test_agree_on_what_comes_later() {
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| !key.available()) {
            let listed = LATER.iter().any(|(path, line)| {
                *path == section.path && line.split(' ').next() == Some(key.name)
            });
            assert!(listed, "{} {} is in no test", section.path, key.name);
        }
    }
}

/// Keys of a rule that needs others beside them.
fn companions(section: &Section, key: &str) -> &'static str {
    match (section.path, key) {
        ("services.NAME.match", "value") => "header = \"x\"\n",
        ("services.NAME.force", "value") => "header = \"x\"\nto = \"canary\"\n",
        ("services.NAME.force", "to") => "header = \"x\"\nvalue = \"long enough\"\n",
        ("services.NAME.force", _) => "value = \"long enough\"\nto = \"canary\"\n",
        ("services.NAME.gates", "query") => "prometheus = \"http://a\"\ncompare = \"< 1\"\n",
        ("services.NAME.gates", "compare") => "prometheus = \"http://a\"\nquery = \"q\"\n",
        ("services.NAME.gates.expect.json", "value") => "pointer = \"/a\"\n",
        ("services.NAME.gates.expect.header", "value") => "name = \"a\"\n",
        ("services.NAME.rollout.notify", "routing_key") => "format = \"pagerduty\"\n",
        _ => "",
    }
}

#[test]
fn no_available_key_is_ignored() {
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| key.available()) {
            for name in std::iter::once(&key.name).chain(key.also) {
                // Nothing takes a date, so whoever reads the key must refuse it.
                let line = format!("{}{name} = 1979-05-27", companions(section, key.name));
                let text = with_table(section.path, &line);
                let text = without_duplicate(&text, name);
                let errors = parse(&text).expect_err(&text);
                let wants = ["not a date", "`version` must be the integer 1"];
                let found = errors.problems().iter().any(|problem| {
                    wants.iter().any(|want| problem.message.contains(want))
                        && text.lines().nth(problem.line - 1)
                            == Some(&format!("{name} = 1979-05-27"))
                });
                assert!(found, "{} {name}\n{text}\n{errors}", section.path);
            }
        }
    }
}

/// Takes out what else defines `key` in the same table or as a table.
fn without_duplicate(text: &str, key: &str) -> String {
    let dated = format!("{key} = 1979-05-27");
    match key {
        "bind" => text.replacen("bind = \"0.0.0.0:8080\"\n", "", 1),
        "stable" | "canary" if text.contains("[services.shop]") => {
            let pool = if key == "stable" { "blue" } else { "green" };
            text.replacen(&format!("{key} = \"{pool}\"\n"), "", 1)
        }
        "sticky" => text.replacen("sticky = [\"issue\"]\n", "", 1),
        "endpoints" => text.replacen("endpoints = [\"green:3000\"]\n", "", 1),
        "weight" => text.replacen("weight = \"1%\"\n", "", 1),
        "pools" | "listeners" | "services" => {
            let drop = format!("[{}", if key == "pools" { "services.shop.pools" } else { key });
            let mut keep = true;
            let lines = text.lines().filter(|line| {
                if line.starts_with('[') {
                    keep = !line.starts_with(&drop);
                }
                keep || *line == dated
            });
            lines.map(|line| format!("{line}\n")).collect()
        }
        _ => text.to_owned(),
    }
}

#[test]
fn writing_a_default_changes_nothing() {
    let mut seen = 0;
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
            let line = format!("{} = {}", key.name, key.default);
            assert!(key.available(), "{} {line}", section.path);
            let mut with = accepted(&with_table(section.path, &line));
            let mut without = accepted(&with_table(section.path, ""));
            (with.warnings, without.warnings) = (Vec::new(), Vec::new());
            assert_eq!(with, without, "{} {line}", section.path);
            seen += 1;
        }
    }
    assert!(seen > 75, "{seen} defaults");
}

#[test]
fn an_unknown_key_is_met_with_what_was_meant() {
    let table = [
        ("[admin]\nbnid = 1", "did you mean `bind`?"),
        ("[admin]\ntokenfile = 1", "did you mean `token_file`?"),
        ("[services.shop.judge]\nrho = 1", "in this file it is called `error_ratio`"),
        ("[services.shop.judge]\nmin_requests = 500", "write `requests` on the steps"),
        (
            "[services.shop.judge]\nrequests = 1",
            "`requests` belongs to [services.NAME.rollout.steps]",
        ),
        ("[workers]\nsticky = 1", "`sticky` belongs to [services.NAME]"),
        ("[state]\nversion = 1", "`version` belongs to the top of the file"),
        ("[workers]\ncolour = 1", "the keys of [workers] are `threads`"),
        ("[state]\ncolour = 1", "the keys of [state] are `path`"),
        (
            "[services.shop.pools.green.timeouts]\nzzzzzz = 1",
            "the keys of [services.shop.pools.green.timeouts] are `connect`, `first_byte`, `total`",
        ),
    ];
    for (lines, want) in table {
        let errors = parse(&with(lines)).expect_err(lines);
        let [problem] = errors.problems() else { panic!("{errors}") };
        assert!(problem.message.starts_with("unknown key `"), "{errors}");
        assert_eq!(problem.hint.as_deref(), Some(want));
    }
    refused(&with("'\u{9b}1m' = 1"), "'\u{9b}1m'", "unknown key `\u{fffd}1m`");
}

#[test]
fn one_parameter_has_one_value() {
    let text = with("[services.shop.judge]\nadvance_ratio = 1.5\nadv_rho = 1.5");
    refused(&text, "adv_rho", "`adv_rho` is another name of `advance_ratio`");
    let text = with("[services.shop.judge]\nadv_rho = 1.5\nweights = { errors = 0.3 }");
    let settings = shop(&text).judge.settings;
    assert_eq!((settings.advance_ratio, settings.attention.errors), (1.5, 0.3));
}
