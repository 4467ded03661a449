//! Gates: what is asked of a new version before its first request.

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
