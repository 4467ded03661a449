//! No file makes the reader panic, and every refusal has a place and a reason.

use proptest::prelude::*;

use super::*;

/// Where a certificate and its key lie.
const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/outbound/tests");

/// A file that uses every table.
const RICH: &str = r#"version = 1
[admin]
bind = "127.0.0.1:9900"
hosts = ["serin.internal"]
[workers]
threads = 2
[listeners.web]
bind = "0.0.0.0:8080"
protocols = ["http/1.1", "h2"]
tls = [{ hosts = ["localhost", "*"], cert = "${CERTS}/localhost.pem", key = "${CERTS}/localhost.key" }]
trusted_proxies = ["10.0.0.0/8"]
limits = { connections = 10, header_bytes = "32KiB" }
timeouts = { head = "10s" }
[services.shop]
hosts = ["shop.example.com", "*.shop.example.com"]
paths = ["/"]
match = [{ header = "x-tenant", value = "acme" }, { method = "GET" }]
stable = "blue"
canary = "green"
weight = "1%"
sticky = ["cookie:sid", "issue"]
issue = { cookie = "id", max_age = "30d" }
force = [{ header = "x", value = "${SECRET}", to = "canary" }]
health = { path = "/health", every = "2s" }
resources = { metrics = "http://{endpoint}/metrics", cpu = "90%", memory_limit = "512MiB" }
[services.shop.pools.blue]
endpoints = ["app-blue:3000", "[::1]:80"]
timeouts = { connect = "1s" }
[services.shop.pools.green]
endpoints = ["app-green:3000"]
resources = { pid = [7, "app.pid"], every = "5s" }
[[services.shop.gates]]
name = "checkout"
request = "POST /smoke/checkout"
body = '{"test": true}'
headers = { x-token = "${SECRET}" }
expect = { status = 200, json = { pointer = "/a", value = 1 }, header = "x-ok", within = "1s" }
against = ["canary", "stable"]
deadline = "60s"
[[services.shop.gates]]
name = "orders"
prometheus = "http://prometheus:9090"
query = "up"
compare = "<= 1.2 * stable"
[services.shop.rollout]
hooks = { deploy = ["deploy"], after = "https://example.com/after", deadline = "5m" }
notify = [{ webhook = "https://example.com", format = "slack" }]
irreversible_after = 2
steps = [{ weight = "1%", requests = 100, hold = "10s", approval = true }, { weight = "50%" }]
[services.shop.judge]
alpha = 0.01
levels = [0.5, 0.9, 0.99, 0.999]
attention = { errors = 0.3 }
tolerate_stall = "1s"
record = "ticks.jsonl"
slo = { error_rate = "1%", p99 = "500ms" }
prometheus = [{ name = "o", url = "http://p", query = "q", compare = "< 1", every = "30s" }]
"#;

/// Reads `text`; what is wrong must be shown in full.
fn read(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = parse_in(text, &[("SECRET", "s"), ("CERTS", CERTS)]) else { return Ok(()) };
    prop_assert!(!errors.problems().is_empty());
    let lines = text.split('\n').count();
    let mut last = 0;
    for problem in errors.problems() {
        prop_assert!(problem.line >= last && (1..=lines).contains(&problem.line), "{}", errors);
        prop_assert!(problem.column >= 1 && !problem.message.is_empty(), "{}", errors);
        last = problem.line;
    }
    let shown = errors.to_string();
    let heads = shown.lines().filter(|line| line.starts_with("/etc/serin/proxy.toml:")).count();
    prop_assert_eq!(heads, errors.problems().len());
    Ok(())
}

#[test]
fn the_rich_file_is_good() {
    let config = parse_in(RICH, &[("SECRET", "long enough"), ("CERTS", CERTS)]);
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn depth_and_length_are_bounded() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "a.".repeat(100_000)]
    {
        assert!(parse(&text).is_err());
    }
    let unknown: String = (0..2_000).map(|n| format!("unknown-{n} = 1\n")).collect();
    let errors = parse(&format!("{unknown}{}", with(""))).unwrap_err();
    assert!(errors.problems().len() >= 2_000);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String) {
        read(&text)?;
    }

    #[test]
    fn no_lines_of_known_words_make_it_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "version", "services", "listeners", "shop", "pools", "rollout", "steps", "judge",
                "[", "]", "[[", "]]", "{", "}", "=", ".", "\n", ",", "1", "\"", "\"5%\"", "\"10s\"",
                "${X", "true", "[services.shop]\n", "weight", "health", "ü", "\t", "\r\n", "'''",
            ]),
            0..60,
        ),
    ) {
        read(&words.join(" "))?;
        read(&words.concat())?;
    }

    #[test]
    fn no_changed_character_makes_it_panic(
        at: prop::sample::Index,
        length in 0_usize..30,
        put in prop_oneof![
            "[ -~\\n\"\\[\\]{}$]{0,6}",
            any::<char>().prop_map(String::from),
            Just("1979-05-27".to_owned()),
            Just("-9223372036854775808".to_owned()),
            Just("\u{feff}".to_owned()),
        ],
    ) {
        let at = at.index(RICH.len());
        let end = (at + length).min(RICH.len());
        read(&format!("{}{put}{}", &RICH[..at], &RICH[end..]))?;
    }

    #[test]
    fn no_missing_or_repeated_line_makes_it_panic(
        lines in prop::collection::vec(prop::sample::Index::arbitrary(), 0..40),
    ) {
        let all: Vec<_> = RICH.lines().collect();
        let text: Vec<_> = lines.iter().map(|line| all[line.index(all.len())]).collect();
        read(&text.join("\n"))?;
    }

    #[test]
    fn no_value_of_another_type_makes_it_panic(
        line: prop::sample::Index,
        value in prop::sample::select(vec![
            "1", "-1", "0.5", "nan", "\"\"", "\"x\"", "\"${A\"", "[]", "[[]]", "{}", "[{}]", "true",
            "07:32:00", "[1, \"a\", {}]", "{ a = 1 }", "99999999999999999999999", "1e400", "0xff",
        ]),
    ) {
        let mut all: Vec<String> = RICH.lines().map(str::to_owned).collect();
        let index = line.index(all.len());
        if let Some((key, _)) = all[index].split_once(" = ") {
            all[index] = format!("{key} = {value}");
        }
        read(&all.join("\n"))?;
    }
}
