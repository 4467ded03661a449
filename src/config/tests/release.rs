//! Gates, hooks, notices and resources.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A file whose one gate has `lines`.
fn with_gate(lines: &str) -> String {
    with(&format!("[[services.shop.gates]]\nname = \"smoke\"\n{lines}"))
}

#[track_caller]
fn gate(lines: &str) -> Gate {
    shop(&with_gate(lines)).gates.remove(0)
}

#[track_caller]
fn smoke(lines: &str) -> Smoke {
    match gate(lines).check {
        Check::Request(smoke) => *smoke,
        other => panic!("{other:?}"),
    }
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[test]
fn a_gate_is_read_whole() {
    let plain = gate("request = \"GET /\"");
    assert_eq!((plain.name.as_str(), plain.against), ("smoke", vec![Role::Canary]));
    assert_eq!(plain.deadline, Duration::from_secs(60));
    let nothing = Smoke {
        method: "GET".into(),
        target: "/".into(),
        headers: Vec::new(),
        body: String::new(),
        expect: Expect::default(),
    };
    assert_eq!(plain.check, Check::Request(Box::new(nothing)));

    let full = "request = \"POST /smoke?x=1\"\nbody = '{\"test\": true}'\n\
        headers = { X-Smoke = \"a b\", host = \"shop.example.com\" }\n\
        against = [\"canary\", \"stable\"]\ndeadline = \"2m\"\n\
        expect = { status = 201, contains = \"ok\", within = \"500ms\", \
        json = { pointer = \"/a~1b/0\", value = 1.5 }, header = { name = \"X-Ok\", value = \"1\" } }";
    let read = gate(full);
    assert_eq!(read.against, [Role::Canary, Role::Stable]);
    assert_eq!(read.deadline, Duration::from_secs(120));
    let read = smoke(full);
    assert_eq!((read.method.as_str(), read.target.as_str()), ("POST", "/smoke?x=1"));
    assert_eq!(read.body, "{\"test\": true}");
    let own = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(read.headers, [own("x-smoke", "a b"), own("host", "shop.example.com")]);
    let want = Expect {
        status: Some(201),
        contains: Some("ok".into()),
        json: Some(("/a~1b/0".into(), Some(1.5.into()))),
        header: Some(("x-ok".into(), Some("1".into()))),
        within: Some(Duration::from_millis(500)),
    };
    assert_eq!(read.expect, want);

    let short = smoke("request = \"GET /\"\nexpect = { json = \"/a\", header = \"X-Ok\" }").expect;
    assert_eq!(short.json, Some(("/a".into(), None)));
    assert_eq!(short.header, Some(("x-ok".into(), None)));
    assert_eq!(gate("webhook = \"https://a/b\"").check, Check::Webhook(url("https://a/b")));
}

#[test]
fn a_json_value_is_any_scalar() {
    for (text, want) in [
        ("\"up\"", serde_json::json!("up")),
        ("\"\"", serde_json::json!("")),
        ("true", serde_json::json!(true)),
        ("0x10", serde_json::json!(16)),
        ("-3", serde_json::json!(-3)),
        ("1e3", serde_json::json!(1000.0)),
    ] {
        let lines =
            format!("request = \"GET /\"\nexpect.json = {{ pointer = \"/a\", value = {text} }}");
        assert_eq!(smoke(&lines).expect.json, Some(("/a".into(), Some(want))), "{text}");
    }
    for (text, want) in [
        ("[1]", "`value` must be a string, a number, true or false, not a list"),
        ("nan", "`value` must be a number"),
        ("99999999999999999999", "`value` is too large"),
    ] {
        let lines =
            format!("request = \"GET /\"\nexpect.json = {{ pointer = \"/a\", value = {text} }}");
        refused(&with_gate(&lines), text, want);
    }
}

#[test]
fn a_query_has_a_bound() {
    let lines = "prometheus = \"http://prometheus:9090\"\nquery = \"up{job='{pool}'}\"\ncompare = ";
    for (text, operator, number, times_stable, shown) in [
        ("< 0.01", Operator::Less, 0.01, false, "< 0.01"),
        ("<=1.2*stable", Operator::LessOrEqual, 1.2, true, "<= 1.2 * stable"),
        (" > stable ", Operator::Greater, 1.0, true, "> 1 * stable"),
        (">= stable * 0.9", Operator::GreaterOrEqual, 0.9, true, ">= 0.9 * stable"),
        ("== -5", Operator::Equal, -5.0, false, "== -5"),
        ("!= 1e3", Operator::NotEqual, 1000.0, false, "!= 1000"),
    ] {
        let Check::Query(query) = gate(&format!("{lines}\"{text}\"")).check else { panic!() };
        assert_eq!(query.compare, Compare { operator, number, times_stable }, "{text}");
        assert_eq!((query.name.as_str(), &query.url), ("smoke", &url("http://prometheus:9090")));
        assert_eq!((query.compare.to_string().as_str(), shown.parse()), (shown, Ok(query.compare)));
    }
    for text in [
        "0.01",
        "<",
        "< ",
        "=< 1",
        "= 1",
        "< x",
        "< inf",
        "< nan",
        "< 1 * canary",
        "< 1 * 2",
        "<>1",
    ] {
        let want = format!(
            "`{text}` is not a bound: write a relation and a number, such as \"< 0.01\" or \"<= 1.2 * stable\""
        );
        refused(&with_gate(&format!("{lines}\"{text}\"")), &format!("\"{text}\""), &want);
    }
}

#[test]
fn a_gate_that_cannot_be_asked_is_refused() {
    let get = "request = \"GET /\"\n";
    let request = |text: &str| format!("request = \"{text}\"");
    for (lines, at, want) in [
        (String::new(), "[[", "this gate asks nothing"),
        (
            format!("{get}command = [\"x\"]"),
            "[\"x\"]",
            "`request` and `command` exclude each other",
        ),
        ("webhook = \"http://a\"\nbody = \"x\"".into(), "\"x\"", "`body` belongs to `request`"),
        (format!("{get}query = \"up\""), "\"up\"", "`query` belongs to `prometheus`"),
        (
            "prometheus = \"http://a\"\ncompare = \"< 1\"".into(),
            "[[",
            "missing key `query` in this element of `gates`",
        ),
        (
            "prometheus = \"http://a/api/v1/query\"\nquery = \"q\"\ncompare = \"< 1\"".into(),
            "\"http",
            "name the server only: /api/v1/query is added to it",
        ),
        (
            request("/x"),
            "\"/x\"",
            "`/x` is not a request: write the method and the path, such as \"GET /\"",
        ),
        (
            request("get /"),
            "\"get /\"",
            "`get /` is not a request: it begins with a method in capitals, such as \"GET /\"",
        ),
        (request("GET x"), "\"GET x\"", "`GET x` is not a request: the path begins with `/`"),
        (
            request("GET http://a/"),
            "\"GET",
            "`GET http://a/` is not a request: every endpoint of the pool is asked, so only the path is written",
        ),
        (
            request("GET / HTTP/1.1"),
            "\"GET",
            "`GET / HTTP/1.1` is not a request: the path must not hold spaces, `#` or what is not ASCII",
        ),
        (
            request("CONNECT /"),
            "\"CONNECT",
            "`CONNECT /` is not a request: CONNECT opens a tunnel and has no answer to look at",
        ),
        (
            format!("{get}headers = {{ Content-Length = \"1\" }}"),
            "Content-Length",
            "serin writes `content-length` itself",
        ),
        (format!("{get}headers = {{ a = \"1\", A = \"2\" }}"), "A", "`a` is listed twice"),
        (
            format!("{get}headers = {{ 'a b' = \"1\" }}"),
            "'a b'",
            "`a b` is not a name: write letters, digits and `-`",
        ),
        (
            format!("{get}headers = {{ a = \"1\\r\\nb: 2\" }}"),
            "\"1",
            "a header's value is ASCII, without line breaks and outer spaces",
        ),
        (format!("{get}expect = {{ status = 99 }}"), "99", "`status` must be from 200 to 599"),
        (
            format!("{get}expect = {{ within = \"0s\" }}"),
            "\"0s\"",
            "`within` must be longer than 0",
        ),
        (
            format!("{get}expect = {{ json = \"$.a\" }}"),
            "\"$.a\"",
            "`$.a` is no JSON pointer: write the names on the way, such as \"/status\" or \"/items/0/id\"",
        ),
        (
            format!("{get}expect = {{ json = {{ pointer = \"/a~2\" }} }}"),
            "\"/a~2\"",
            "`/a~2` is no JSON pointer: write the names on the way, such as \"/status\" or \"/items/0/id\"",
        ),
        (
            format!("{get}expect = {{ header = \"a:\" }}"),
            "\"a:\"",
            "`a:` is not a name: write letters, digits and `-`",
        ),
        (format!("{get}against = []"), "[]", "`against` must not be empty"),
        (
            format!("{get}against = [\"stable\", \"stable\"]"),
            "\"stable\"]",
            "`stable` is listed twice",
        ),
        (format!("{get}deadline = \"0s\""), "\"0s\"", "`deadline` must be longer than 0"),
        (
            format!("{get}[[services.shop.gates]]\nname = \"smoke\"\n{get}"),
            "\"smoke\"",
            "two gates of this service are called `smoke`",
        ),
        (
            format!("{get}[[services.shop.gates]]\nname = \"Smoke\"\n{get}"),
            "\"Smoke\"",
            "`Smoke` cannot be a name",
        ),
        (
            format!("{get}[[services.shop.gates]]\n{get}"),
            "[[",
            "missing key `name` in this element of `gates`",
        ),
    ] {
        refused(&with_gate(&lines), at, want);
    }
    let single = parse(&with("[services.shop.gates]\nname = \"a\"")).unwrap_err();
    let hint = single.problems()[0].hint.as_deref();
    assert_eq!(hint, Some("write [[services.shop.gates]], with two brackets"));
}

#[test]
fn against_names_the_sides_of_a_release() {
    let against = |text: &str| with_gate(&format!("request = \"GET /\"\nagainst = [\"{text}\"]"));
    let want =
        |text: &str| format!("each of `against` must be \"canary\" or \"stable\", not `{text}`");
    refused(&against("purple"), "\"purple\"", &want("purple"));
    refused(&against("green"), "\"green\"", &want("green"));
    let hint = |text: &str| parse(&against(text)).unwrap_err().problems()[0].hint.clone();
    assert_eq!(hint("purple"), None);
    let known = "`green` is a pool: name the side, which changes with each release";
    assert_eq!(hint("green").as_deref(), Some(known));
}

/// A folder with a file `proxy.toml` of `text` in it, and some programs.
fn check_in_a_folder(text: &str) -> (tempfile::TempDir, Result<Config, Errors>) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(folder.path().join("bin")).unwrap();
    put("smoke.sh", 0o755);
    put("plain.txt", 0o644);
    put("bin/tool", 0o755);
    let path = format!("/nonexistent::{}", folder.path().join("bin").display());
    let environment = BTreeMap::from([("PATH".to_owned(), path)]);
    let read = Config::parse(text, &folder.path().join("proxy.toml"), &environment);
    (folder, read)
}

#[test]
fn a_program_is_found_before_anything_depends_on_it() {
    let hook = |words: &str| with(&format!("[services.shop.rollout]\nhooks.deploy = [{words}]"));
    for (words, want) in [
        ("\"./smoke.sh\", \"{pool}\"", vec!["FOLDER/./smoke.sh", "{pool}"]),
        ("\"bin/tool\"", vec!["FOLDER/bin/tool"]),
        ("\"tool\", \"-v\"", vec!["tool", "-v"]),
    ] {
        let (folder, read) = check_in_a_folder(&hook(words));
        let config = read.unwrap_or_else(|errors| panic!("{errors}"));
        let at = folder.path().to_str().unwrap();
        let want = want.iter().map(|word| word.replace("FOLDER", at)).collect();
        assert_eq!(config.services["shop"].rollout.hooks.deploy, Some(Hook::Command(want)));
    }
    for (words, want, hint) in [
        ("\"./nope.sh\"", "`./nope.sh` does not exist (looked in FOLDER)", None),
        ("\"./smoke.sh/x\"", "`./smoke.sh/x` does not exist (looked in FOLDER)", None),
        ("\"/nope/x\"", "`/nope/x` does not exist", None),
        (
            "\"./smoke.sh -v\"",
            "`./smoke.sh -v` does not exist (looked in FOLDER)",
            Some("each argument is an element of the list: no shell takes the text apart"),
        ),
        (
            "\"./plain.txt\"",
            "`./plain.txt` is not executable (looked in FOLDER)",
            Some("run `chmod +x ./plain.txt`"),
        ),
        ("\"./bin\"", "`./bin` is a folder (looked in FOLDER)", None),
        (
            "\"nope\"",
            "`nope` is in no folder of PATH",
            Some("write its path, or add its folder to PATH"),
        ),
        (
            "\"smoke.sh\"",
            "`smoke.sh` is in no folder of PATH",
            Some("write \"./smoke.sh\" for the one beside this file"),
        ),
        ("\"./smoke.sh\", \"a\\u0000\"", "an argument must not hold a NUL", None),
        (
            "",
            "`deploy` must not be empty",
            Some("write the program and its arguments, such as [\"./smoke.sh\", \"{pool}\"]"),
        ),
    ] {
        let (folder, read) = check_in_a_folder(&hook(words));
        let errors = read.expect_err(words);
        let [problem] = errors.problems() else { panic!("{errors}") };
        assert_eq!(problem.message, want.replace("FOLDER", folder.path().to_str().unwrap()));
        assert_eq!(problem.hint.as_deref(), hint, "{words}");
    }
    // Where the environment names no PATH nobody can tell.
    let hooks = shop(&hook("\"nope\"")).rollout.hooks;
    assert_eq!(hooks.deploy, Some(Hook::Command(vec!["nope".into()])));
    // A gate is told the same.
    let (_, read) = check_in_a_folder(&with_gate("command = [\"./nope.sh\"]"));
    assert!(read.unwrap_err().problems()[0].message.starts_with("`./nope.sh` does not exist"));
}

#[test]
fn a_hook_is_a_program_or_a_url() {
    let text = with(
        "[services.shop.rollout]\nhooks = { before_traffic = \"https://a/b\", each_step = \"http://a\", \
         before_promote = [\"x\"], after = [\"y\", \"{why}\"], retire = [\"z\"], rolled_back = [\"w\"], deadline = \"1m\" }",
    );
    let program = |words: &[&str]| Some(Hook::Command(words.iter().map(|&w| w.into()).collect()));
    let want = Hooks {
        deploy: None,
        before_traffic: Some(Hook::Webhook(url("https://a/b"))),
        each_step: Some(Hook::Webhook(url("http://a"))),
        before_promote: program(&["x"]),
        after: program(&["y", "{why}"]),
        retire: program(&["z"]),
        rolled_back: program(&["w"]),
        deadline: Duration::from_secs(60),
    };
    assert_eq!(shop(&text).rollout.hooks, want);
    for (hooks, at, want) in [
        (
            "deploy = \"./deploy.sh\"",
            "\"./deploy.sh\"",
            "a hook is a list of a program and its arguments, or a URL",
        ),
        (
            "after = \"http://u:p@a\"",
            "\"http",
            "a URL holds no user and no password: put the secret into a header or token",
        ),
        ("after = 5", "5", "`after` must be a list or a URL, not an integer"),
        ("after = [5]", "5", "each of `after` must be a string, not an integer"),
        ("deadline = \"0s\"", "\"0s\"", "`deadline` must be longer than 0"),
    ] {
        let text = with(&format!("[services.shop.rollout.hooks]\n{hooks}"));
        refused(&text, at, want);
    }
}

#[test]
fn a_notice_has_a_shape_and_an_address() {
    let notify = |list: &str| with(&format!("[services.shop.rollout]\nnotify = [{list}]"));
    let one = |list: &str| shop(&notify(list)).rollout.notify.remove(0);
    for (word, format) in [
        ("json", NotifyFormat::Json),
        ("slack", NotifyFormat::Slack),
        ("teams", NotifyFormat::Teams),
        ("alertmanager", NotifyFormat::Alertmanager),
    ] {
        let read = one(&format!("{{ webhook = \"http://a:9093\", format = \"{word}\" }}"));
        assert_eq!(read, Notify { webhook: url("http://a:9093"), format, routing_key: None });
    }
    assert_eq!(one("{ webhook = \"http://a\" }").format, NotifyFormat::Json);
    let usual = one("{ format = \"pagerduty\", routing_key = \"k3y\" }");
    assert_eq!(usual.webhook, url("https://events.pagerduty.com/v2/enqueue"));
    assert_eq!(
        (usual.format, usual.routing_key.as_deref()),
        (NotifyFormat::PagerDuty, Some("k3y"))
    );
    let own = one("{ format = \"pagerduty\", routing_key = \"k\", webhook = \"http://p/x\" }");
    assert_eq!(own.webhook, url("http://p/x"));
    for (list, at, want) in [
        (
            "{ format = \"pagerduty\" }",
            "{",
            "missing key `routing_key` in this element of `notify`",
        ),
        ("{ format = \"slack\" }", "{", "missing key `webhook` in this element of `notify`"),
        (
            "{ webhook = \"http://a\", routing_key = \"k\" }",
            "\"k\"",
            "`routing_key` belongs to format = \"pagerduty\"",
        ),
        (
            "{ webhook = \"http://a\", format = \"email\" }",
            "\"email\"",
            "`format` must be \"json\" or \"slack\" or \"teams\" or \"alertmanager\" or \"pagerduty\", not `email`",
        ),
        (
            "{ webhook = \"http://a:9093/api/v2/alerts\", format = \"alertmanager\" }",
            "\"http",
            "name the server only: /api/v2/alerts is added to it",
        ),
        (
            "{ webhook = \"hooks.slack.com/x\" }",
            "\"hooks",
            "this is not a URL: it begins with http:// or https://",
        ),
        ("\"https://a\"", "\"https", "each of `notify` must be a table, not a string"),
    ] {
        refused(&notify(list), at, want);
    }
}

#[test]
fn the_point_of_no_return_is_a_step_of_the_plan() {
    let from = |lines: &str| {
        shop(&with(&format!("[services.shop.rollout]\n{lines}"))).rollout.plan.irreversible_from
    };
    assert_eq!(from("irreversible_after = \"none\""), None);
    assert_eq!(
        (from("irreversible_after = 1"), from("irreversible_after = 5")),
        (Some(0), Some(4))
    );
    for (lines, at, want) in [
        ("irreversible_after = 6", "6", "`irreversible_after` must be from 1 to 5"),
        ("irreversible_after = 0", "0", "`irreversible_after` must be from 1 to 5"),
        (
            "irreversible_after = 2\nstrategy = \"blue-green\"",
            "2",
            "`irreversible_after` must be from 1 to 1",
        ),
        (
            "irreversible_after = \"25%\"",
            "\"25%\"",
            "`irreversible_after` must be \"none\" or the number of a step, not a string",
        ),
        // A plan that is wrong has no such point, and that is said once.
        ("irreversible_after = 9\nsteps = []", "[]", "a plan needs at least one step"),
    ] {
        refused(&with(&format!("[services.shop.rollout]\n{lines}")), at, want);
    }
}

#[test]
fn an_ab_split_has_one_step() {
    use crate::rollout::plan::{Strategy, default_steps};
    let plan = |lines: &str| shop(&with(&format!("[services.shop.rollout]\n{lines}"))).rollout.plan;
    let usual = plan("strategy = \"ab\"");
    assert_eq!((usual.strategy, &usual.steps), (Strategy::Ab, &default_steps(Strategy::Ab)));
    let own = plan("strategy = \"ab\"\nsteps = [{ weight = \"20%\" }]");
    assert_eq!((own.steps.len(), own.steps[0].weight.basis_points()), (1, 2_000));
    let two = "strategy = \"ab\"\nsteps = [{ weight = \"20%\" }, { weight = \"30%\" }]";
    let text = with(&format!("[services.shop.rollout]\n{two}"));
    refused(&text, "{ weight = \"30%\"", "an \"ab\" split holds one share, so it has one step");
}
