//! Values that must fit each other, and warnings.

use super::*;

/// A file with two listeners' and the API's addresses.
fn addresses(web: &str, other: &str, admin: &str) -> String {
    format!(
        "version = 1\n[listeners.web]\nbind = \"{web}\"\n[listeners.other]\nbind = \"{other}\"\n\
         [admin]\n{admin}\n[services.shop.pools.blue]\nendpoints = [\"app:1\"]\n"
    )
}

#[test]
fn an_address_is_taken_once() {
    for (web, other, admin, want) in [
        (
            "0.0.0.0:80",
            "0.0.0.0:80",
            "",
            "[listeners.other] cannot listen on `0.0.0.0:80`: [listeners.web] has `0.0.0.0:80`",
        ),
        (
            "0.0.0.0:80",
            "127.0.0.1:80",
            "",
            "[listeners.other] cannot listen on `127.0.0.1:80`: [listeners.web] has `0.0.0.0:80`",
        ),
        (
            "0.0.0.0:80",
            "127.0.0.1:9900",
            "",
            "[listeners.other] cannot listen on `127.0.0.1:9900`: [admin] has `127.0.0.1:9900`",
        ),
        (
            "[::1]:80",
            "[::]:81",
            "metrics_bind = \"[::]:80\"",
            "[listeners.web] cannot listen on `[::1]:80`: `metrics_bind` has `[::]:80`",
        ),
    ] {
        let (_, message) = one_problem(&addresses(web, other, admin));
        assert_eq!(message, want);
    }
    for (web, other, admin) in [
        ("0.0.0.0:80", "[::]:80", ""),
        ("127.0.0.1:80", "127.0.0.2:80", ""),
        ("127.0.0.1:0", "127.0.0.1:0", "bind = \"127.0.0.1:0\""),
        ("0.0.0.0:9900", "0.0.0.0:80", "bind = \"unix:run/admin.sock\""),
    ] {
        accepted(&addresses(web, other, admin));
    }
}

#[test]
fn an_api_that_others_can_reach_needs_a_token() {
    let text = with("[admin]\nbind = \"192.0.2.1:9900\"\ntoken_file = \"secret/token\"");
    let admin = accepted(&text).admin;
    assert_eq!(admin.token_file.as_deref(), Some(Path::new("/etc/serin/secret/token")));
    for (bind, want) in [
        ("[::1]:1", AdminBind::Tcp("[::1]:1".parse().unwrap())),
        ("127.9.9.9:1", AdminBind::Tcp("127.9.9.9:1".parse().unwrap())),
        ("unix:/run/serin.sock", AdminBind::Unix("/run/serin.sock".into())),
    ] {
        assert_eq!(accepted(&with(&format!("[admin]\nbind = \"{bind}\""))).admin.bind, want);
    }
    for bind in ["0.0.0.0:9900", "[::]:9900", "192.0.2.1:9900"] {
        let text = with(&format!("[admin]\nbind = \"{bind}\""));
        let message =
            format!("`{bind}` can be reached from other machines, so the API needs a token");
        refused(&text, &format!("\"{bind}\""), &message);
    }
    let text = with("[admin]\nread_token_file = \"t\"");
    refused(&text, "\"t\"", "`read_token_file` needs `token_file`: without it everybody may act");
    refused(&with("[admin]\nbind = \"unix:\""), "\"unix:\"", "`unix:` lacks a path");
}

#[test]
fn roles_name_pools_that_exist() {
    let service = |lines: &str| format!("{HEAD}[services.shop]\n{lines}\n{POOLS}");
    for (lines, at, want) in [
        ("stable = \"red\"", "\"red\"", "there is no pool `red`"),
        ("stable = \"blue\"\ncanary = \"red\"", "\"red\"", "there is no pool `red`"),
        ("stable = \"blue\"\ncanary = \"blue\"", "\"blue\"", "`blue` is the stable pool already"),
        ("canary = \"green\"", "[services.shop]", "missing key `stable` in [services.shop]"),
        ("stable = \"blue\"\nweight = \"5%\"", "\"5%\"", "a `weight` above 0% needs a canary"),
    ] {
        refused(&service(lines), at, want);
    }
    let errors = parse(&service("stable = \"red\"")).unwrap_err();
    let hint = errors.problems()[0].hint.as_deref();
    assert_eq!(hint, Some("the pools of this service are `blue`, `green`"));
    let text = format!("{HEAD}[services.shop]\n");
    refused(&text, "[services.shop]", "a service needs at least one pool");
    let text = with("[services.Big.pools.p]\nendpoints = [\"a:1\"]\n")
        .replace("shop]", "shop]\npaths = [\"/s\"]");
    refused(&text, "Big", "`Big` cannot be a name");
}

#[test]
fn two_services_do_not_answer_the_same() {
    let two = |first: &str, second: &str| {
        format!(
            "{HEAD}[services.b]\n{first}\n[services.b.pools.p]\nendpoints = [\"a:1\"]\n\
             [services.a]\n{second}\n[services.a.pools.p]\nendpoints = [\"a:1\"]\n"
        )
    };
    for (first, second, at, want) in [
        ("", "", "[services.a]", "`/` of every host already belongs to service `b` (line 4)"),
        (
            "paths = [\"/x\", \"/y\"]",
            "paths = [\"/y\"]",
            "\"/y\"",
            "`/y` of every host already belongs to service `b` (line 5)",
        ),
        (
            "hosts = [\"A.x\", \"b.x\"]",
            "hosts = [\"b.x\", \"a.x\"]",
            "[\"b.x\"",
            "`/` of `b.x` already belongs to service `b` (line 5)",
        ),
        (
            "hosts = [\"*.x\"]\nmatch = [{ method = \"GET\" }, { header = \"X\" }]",
            "hosts = [\"*.X\"]\nmatch = [{ header = \"x\" }, { method = \"GET\" }]",
            "[\"*.X\"",
            "`/` of `*.x` already belongs to service `b` (line 5)",
        ),
    ] {
        refused(&two(first, second), at, want);
    }
    for (first, second) in [
        ("hosts = [\"a.x\"]", ""),
        ("hosts = [\"a.x\"]", "hosts = [\"*.x\"]"),
        ("paths = [\"/a\"]", "paths = [\"/b\"]"),
        ("match = [{ method = \"GET\" }]", "match = [{ method = \"PUT\" }]"),
        ("match = [{ header = \"x\" }]", "match = [{ header = \"x\", value = \"1\" }]"),
    ] {
        accepted(&two(first, second));
    }
}

#[test]
fn users_are_told_apart_by_what_they_carry() {
    let twice = "`ip` is listed twice";
    let form = "write \"cookie:NAME\", \"header:NAME\", \"query:NAME\", \"ip\" or \"issue\"";
    for (lines, at, want) in [
        (
            "sticky = [\"cookei:a\"]",
            "\"cookei:a\"",
            format!("`cookei:a` is no source of keys: {form}"),
        ),
        (
            "sticky = [\"header:\"]",
            "\"header:\"",
            format!("`header:` is no source of keys: {form}"),
        ),
        (
            "sticky = [\"cookie:a b\"]",
            "\"cookie:a b\"",
            "`a b` is not a name: write letters, digits and `-`".into(),
        ),
        (
            "sticky = [\"query:a&b\"]",
            "\"query:a&b\"",
            "`a&b` is not the name of a parameter".into(),
        ),
        ("sticky = [\"ip\", \"ip\"]", "\"ip\"]", twice.into()),
        ("issue = {}", "{}", "`issue` has no effect: `sticky` does not ask for it".into()),
        (
            "sticky = [\"issue\"]\nissue = { max_age = \"5ms\" }",
            "\"5ms\"",
            "`max_age` must be at least 1s, a cookie counts in seconds".into(),
        ),
        (
            "rollout = { stateful = true }",
            "true",
            "`stateful` needs `sticky`: users would change sides between requests".into(),
        ),
        (
            "sticky = [\"query:u\"]\nrollout = { stateful = true }",
            "true",
            "`stateful` needs a key that every request carries, a query does not".into(),
        ),
        (
            "force = [{ value = \"long enough\", to = \"canary\" }]",
            "{",
            "each of `force` names one of `header`, `cookie` and `query`".into(),
        ),
        (
            "force = [{ header = \"a\", cookie = \"a\", value = \"long enough\", to = \"canary\" }]",
            "{",
            "each of `force` names one of `header`, `cookie` and `query`".into(),
        ),
        (
            "force = [{ header = \"a\", value = \"\", to = \"canary\" }]",
            "\"\"",
            "`value` must not be empty".into(),
        ),
        (
            "force = [{ header = \"a\", value = \"long enough\", to = \"blue\" }]",
            "\"blue\"",
            "`to` must be \"stable\" or \"canary\", not `blue`".into(),
        ),
        (
            "match = [{ method = \"GET\", value = \"x\" }]",
            "\"x\"",
            "`value` belongs to `header`".into(),
        ),
        (
            "match = [{ method = \"GET\", header = \"x\" }]",
            "{",
            "each of `match` asks for one thing".into(),
        ),
    ] {
        refused(&with_service(lines), at, &want);
    }
    let text = with_service("sticky = [\"cookie:Sid\", \"header:X-User\", \"query:u\", \"issue\"]");
    let sources: Vec<_> = shop(&text).sticky.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["cookie:Sid", "header:x-user", "query:u", "issue"]);
}

#[test]
fn a_plan_rises() {
    let zero = "a step sends the canary more than 0%";
    let rise = "each step must be larger than the one before";
    for (steps, problems) in [
        ("[]", vec!["a plan needs at least one step"]),
        ("[{ weight = \"0%\" }]", vec![zero]),
        ("[{ weight = \"5%\" }, { weight = \"5%\" }]", vec![rise]),
        (
            "[{ weight = \"5%\" }, { weight = \"1%\" }, { weight = \"0%\" }, { weight = \"9%\", requests = 0 }]",
            vec![rise, zero, "a step needs at least one request, or it would pass without data"],
        ),
    ] {
        let text = with_service(&format!("rollout = {{ steps = {steps} }}"));
        let errors = parse(&text).expect_err(steps);
        let messages: Vec<_> = errors.problems().iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages, problems, "{steps}");
    }
}

#[test]
fn the_judge_keeps_its_guarantee() {
    let settings =
        |lines: &str| shop(&with(&format!("[services.shop.judge]\n{lines}"))).judge.settings;
    let stall = |text: &str| {
        let settings = settings(&format!("tolerate_stall = \"{text}\""));
        (settings.slice_s, settings.cap)
    };
    assert_eq!(
        (stall("250ms"), stall("1s"), stall("1000ms")),
        ((0.25, 3.0), (1.0, 2.0), (1.0, 2.0))
    );
    let split = settings("levels = [0.5, 0.99]\nattention = { latency = [0.2, 0.2] }");
    assert_eq!((split.levels.len(), split.attention.errors), (2, 0.4));
    assert_eq!(settings("error_margin = \"0.1%\"\nharm = \"0.5%\"").error_margin, 0.001);
    for (lines, at, want) in [
        ("alpha = 2", "2", "`alpha` must be above 0 and at most 0.5"),
        ("alpha = 0", "0", "`alpha` must be above 0 and at most 0.5"),
        ("error_ratio = 0.9", "0.9", "`error_ratio` must be at least 1"),
        ("latency_ratio = 0", "0", "`latency_ratio` must be at least 1"),
        ("error_margin = 0.0005", "0.0005", "`error_margin` must be a share, not a number"),
        ("error_margin = \"100%\"", "\"100%\"", "`error_margin` must be below 100%"),
        (
            "tolerate_stall = \"2s\"",
            "\"2s\"",
            "`tolerate_stall` must be \"250ms\" or \"1s\", not `2s`",
        ),
        ("tolerate_stall = \"1s\"\ncap = 3", "3", "`cap` and `tolerate_stall` exclude each other"),
        ("levels = [0.9, 0.5, 0.99, 0.999]", "[0.9", "`levels` must rise"),
        (
            "levels = [0.5, 0.99]",
            "[0.5",
            "`levels` has 2 quantiles, but `attention.latency` has 4 weights",
        ),
        (
            "attention = { errors = 0.5 }",
            "{",
            "the weights sum to 1.1000, they must sum to at most 1",
        ),
        (
            "inject_start = 0.75",
            "0.75",
            "`inject_start`, `inject_steps` and `inject_slices` must sum to at most 1",
        ),
        ("advance_grid = [1]", "1", "each of `advance_grid` must be at least 0 and below 1"),
    ] {
        refused(&with(&format!("[services.shop.judge]\n{lines}")), at, want);
    }
}

/// A file with `lines` in a rollout that nothing else is to be said of.
fn released(lines: &str) -> String {
    let service = with_service("gates = []\nsticky = [\"ip\"]");
    format!("{service}[services.shop.rollout]\nnotify = []\n{lines}\n")
}

#[test]
fn a_foot_gun_is_warned_of() {
    let table = [
        (
            with_service("weight = \"5%\"\njudge = { watch = false }"),
            "nobody watches this share: `watch` is false",
        ),
        (
            with_service("gates = []\nrollout = { notify = [] }"),
            "users change sides between requests: the service is not `sticky`",
        ),
        (
            with("[services.shop.judge]\nmax_harm = 20"),
            "`max_harm` is outside the guarantee: a good release may be rolled back by chance",
        ),
        (
            with("").replace("green:3000", "192.0.2.1:1"),
            "the canary has a single endpoint: when it restarts, the release is rolled back",
        ),
        (
            with_service("sticky = [\"ip\", \"cookie:a\"]"),
            "nothing after `ip` is looked at: it always has a key",
        ),
        (
            with_service("force = [{ header = \"a\", value = \"short\", to = \"canary\" }]"),
            "a secret of fewer than 8 characters is soon guessed",
        ),
        (
            with_service("match = [{ method = \"get\" }]"),
            "methods are case-sensitive: `get` is not `GET`",
        ),
        (
            with("[listeners.b]\nbind = \"0.0.0.0:81\"\ntrusted_proxies = [\"0.0.0.0/0\"]"),
            "everybody may claim any client address",
        ),
        (
            released("guard = \"0s\""),
            "without a guard nobody watches the release once it has all requests",
        ),
        (
            released("steps = [{ weight = \"5%\", hold = \"2h\" }]"),
            "`hold` is longer than the deadline of a step, 1h",
        ),
        (
            released("steps = [{ weight = \"100%\" }]"),
            "at 100% nothing runs beside the canary to compare it with",
        ),
        (
            released("on_inconclusive = \"advance\""),
            "a step that is still undecided at its deadline counts as passed",
        ),
        (
            released("").replace("gates = []\n", ""),
            "no gate: users are the first to ask a new version for anything",
        ),
        (
            released("").replace("notify = []", ""),
            "nobody is told when a release is rolled back, or waits for somebody",
        ),
        (
            released("").replace("gates = []", "gates = []\nhealth = { off = true }"),
            "health checks are off: a release begins although its canary may be dead",
        ),
        (
            with_service("judge = { watch = false }"),
            "nobody will watch a share that is set by hand: `watch` is false",
        ),
        (
            format!(
                "{HEAD}[services.s]\nsticky = [\"ip\"]\n[services.s.rollout]\nnotify = []\n[services.s.pools.p]\nendpoints = [\"a:1\"]\n"
            ),
            "a rollout needs a second pool, this service has one",
        ),
    ];
    for (text, want) in table {
        assert_eq!(warnings(&text), [want]);
    }
    assert_eq!(warnings(&with("")), [] as [&str; 0]);
    assert_eq!(warnings(&with_service("weight = \"5%\"")), [] as [&str; 0]);
    assert_eq!(warnings(&released("")), [] as [&str; 0]);
    let ab =
        released("strategy = \"ab\"\nguard = \"0s\"\nsteps = [{ weight = \"5%\", hold = \"2h\" }]");
    assert_eq!(warnings(&ab), [] as [&str; 0], "an ab split has no guard and no deadline");
    assert_eq!(warnings(&with("").replace("green:3000", "127.0.0.1:1")), [] as [&str; 0]);
}
