//! What is watched beside requests: resources, promises, queries and recordings.

use super::*;

fn pools(service: &str, pool: &str) -> BTreeMap<String, Pool> {
    shop(
        &with_service(service).replace(
            "endpoints = [\"green:3000\"]",
            &format!("endpoints = [\"green:3000\"]\n{pool}"),
        ),
    )
    .pools
}

#[test]
fn resources_are_off_unless_written_and_overridden_key_by_key() {
    let none = pools("", "");
    assert_eq!((&none["blue"].resources, &none["green"].resources), (&None, &None));
    let usual = Resources {
        source: ResourceSource::Metrics("http://{endpoint}/metrics".into()),
        cpu: Some(0.9),
        memory: Some(0.9),
        cpu_limit: None,
        memory_limit: None,
        every: Duration::from_secs(2),
    };
    let one = pools("", "resources = {}");
    assert_eq!((&one["blue"].resources, &one["green"].resources), (&None, &Some(usual)));
    let both = pools(
        "resources = { cgroup = \"a\", cpu = \"80%\", memory = \"off\", memory_limit = \"512MiB\", every = \"5s\" }",
        "resources = { pid = [7, \"app.pid\"], memory = \"70%\", cpu_limit = 2 }",
    );
    let blue = Resources {
        source: ResourceSource::Cgroup(vec!["/etc/serin/a".into()]),
        cpu: Some(0.8),
        memory: None,
        cpu_limit: None,
        memory_limit: Some(512 << 20),
        every: Duration::from_secs(5),
    };
    let green = Resources {
        source: ResourceSource::Pid(vec![Pid::Number(7), Pid::File("/etc/serin/app.pid".into())]),
        memory: Some(0.7),
        cpu_limit: Some(2.0),
        ..blue.clone()
    };
    assert_eq!((&both["blue"].resources, &both["green"].resources), (&Some(blue), &Some(green)));
    let list = pools("", "resources = { cgroup = [\"/sys/fs/cgroup/a\", \"/b\"] }");
    let want = ResourceSource::Cgroup(vec!["/sys/fs/cgroup/a".into(), "/b".into()]);
    assert_eq!(list["green"].resources.as_ref().map(|r| &r.source), Some(&want));
}

#[test]
fn resources_that_cannot_be_read_are_refused() {
    for (lines, at, want) in [
        ("metrics = \"http://a\"\npid = 1", "1", "`metrics` and `pid` exclude each other"),
        (
            "metrics = \"{endpoint}/metrics\"",
            "\"{",
            "this is not a URL: it begins with http:// or https://",
        ),
        (
            "metrics = \"http://{host}:9100/metrics\"",
            "\"http",
            "this is not a URL: after :// comes host or host:port, such as https://example.com",
        ),
        (
            "metrics = \"http://{endpoint}/{pool}\"",
            "\"http",
            "only {endpoint} is replaced in this URL",
        ),
        ("cgroup = []", "[]", "`cgroup` must not be empty"),
        ("cgroup = 5", "5", "`cgroup` must be a string, not an integer"),
        ("pid = 0", "0", "`pid` must be from 1 to 4194304"),
        (
            "pid = [true]",
            "true",
            "each of `pid` must be the number of a process, or the file that holds it, not true or false",
        ),
        ("cpu = 0.9", "0.9", "`cpu` must be a share, not a number"),
        ("cpu = \"0%\"", "\"0%\"", "`cpu` must be above 0%"),
        (
            "memory_limit = \"512\"",
            "\"512\"",
            "`512` is not a size: write a number with a unit of B, KiB, MiB, GiB, KB, MB or GB, such as \"32KiB\"",
        ),
        ("cpu_limit = 0", "0", "`cpu_limit` must be above 0"),
        ("every = \"50ms\"", "\"50ms\"", "`every` must be at least 100ms"),
    ] {
        let text = with(&format!("[services.shop.pools.green.resources]\n{lines}"));
        refused(&text, at, want);
    }
}

#[test]
fn a_limit_that_nobody_knows_is_warned_of_once() {
    let warned = |lines: &str| warnings(&with_service(lines));
    let nothing = "metrics do not say how much";
    for (lines, want) in [
        ("resources = {}", "CPU and memory an endpoint may use: `cpu` and `memory` watch nothing"),
        ("resources = { memory = \"off\" }", "CPU an endpoint may use: `cpu` watches nothing"),
        ("resources = { cpu_limit = 2 }", "memory an endpoint may use: `memory` watches nothing"),
    ] {
        assert_eq!(warned(lines), [format!("{nothing} {want}")], "{lines}");
    }
    for lines in [
        "resources = { cgroup = \"a\" }",
        "resources = { pid = 1 }",
        "resources = { cpu = \"off\", memory = \"off\" }",
        "resources = { cpu_limit = 0.5, memory_limit = \"1GiB\" }",
    ] {
        assert_eq!(warned(lines), [] as [&str; 0], "{lines}");
    }
    let known = "resources = { cpu_limit = 0.5, memory_limit = \"1GiB\" }\nhealth = { off = true }";
    let dead = "metrics are read from endpoints whose health is not checked: a dead one has none";
    assert_eq!(
        warned(known),
        [dead, "health checks are off: a dead endpoint keeps getting requests"]
    );
}

#[test]
fn the_rest_of_the_judge_is_read() {
    let judge = |lines: &str| shop(&with(&format!("[services.shop.judge]\n{lines}"))).judge;
    let read = judge(
        "key_cap = 5\nmax_routes = 0\nresource_margin = 0\nresource_block_s = 30\n\
         resource_grid = [0.5]\nrecord = \"ticks.jsonl\"\nslo = { error_rate = \"1%\", p99 = \"500ms\" }",
    );
    let settings = &read.settings;
    assert_eq!((settings.key_cap, settings.max_routes, settings.resource_margin), (5, 0, 0.0));
    assert_eq!((settings.resource_block_s, &settings.resource_grid), (30.0, &vec![0.5]));
    assert_eq!(read.record.as_deref(), Some(Path::new("/etc/serin/ticks.jsonl")));
    let promised = Objectives { error_rate: Some(0.01), p99_ms: Some(500.0) };
    assert_eq!(read.objectives, promised);

    let read = judge(
        "[[services.shop.judge.prometheus]]\nname = \"orders\"\nurl = \"http://p:9090/prom/\"\n\
         query = \"rate(orders{pool='{pool}'}[1m])\"\ncompare = \">= 0.9 * stable\"\n\
         [[services.shop.judge.prometheus]]\nname = \"b\"\nurl = \"http://p\"\nquery = \"q\"\n\
         compare = \"< 1\"\nevery = \"1s\"",
    );
    let [orders, other] = read.queries.as_slice() else { panic!("{:?}", read.queries) };
    assert_eq!((orders.name.as_str(), orders.every), ("orders", Duration::from_secs(30)));
    assert_eq!((orders.url.target.as_str(), other.every), ("/prom/", Duration::from_secs(1)));
    assert_eq!(orders.query, "rate(orders{pool='{pool}'}[1m])");

    let query = "name = \"a\", url = \"http://p\", query = \"q\", compare = \"< 1\"";
    let two = format!("prometheus = [{{ {query} }}, {{ {query} }}]");
    let often = format!("prometheus = [{{ {query}, every = \"999ms\" }}]");
    for (lines, at, want) in [
        ("key_cap = 0", "0", "`key_cap` must be at least 1"),
        ("max_routes = 9", "9", "`max_routes` must be from 0 to 8"),
        ("resource_margin = -0.1", "-0.1", "`resource_margin` must be at least 0"),
        ("resource_block_s = 9.9", "9.9", "`resource_block_s` must be at least 10"),
        ("resource_grid = [1]", "1", "each of `resource_grid` must be between 0 and 1"),
        ("resource_grid = [0]", "0", "each of `resource_grid` must be between 0 and 1"),
        ("slo = { error_rate = \"0%\" }", "\"0%\"", "`error_rate` must be above 0%"),
        ("slo = { p99 = 500 }", "500", "`p99` must be a duration, not an integer"),
        ("min_requests = 500", "min_requests", "unknown key `min_requests`"),
        (two.as_str(), "\"a\"", "two queries of this service are called `a`"),
        (often.as_str(), "\"999ms\"", "`every` must be at least 1s"),
        (
            "prometheus = [{ name = \"a\", url = \"http://p?x\", query = \"q\", compare = \"< 1\" }]",
            "\"http",
            "name the server only: /api/v1/query is added to it",
        ),
    ] {
        refused(&with(&format!("[services.shop.judge]\n{lines}")), at, want);
    }
}
