//! The text a person reads, word for word.

use super::*;

#[track_caller]
fn says(text: &str, want: &str) {
    let got = Config::parse(text, Path::new("proxy.toml"), &BTreeMap::new())
        .expect_err("must be refused")
        .to_string();
    assert_eq!(got.trim_end(), want.trim_start_matches('\n').trim_end());
}

#[test]
fn all_problems_come_at_once_in_file_order() {
    says(
        r#"version = 1
[admin]
bind = "0.0.0.0:9900"
[listeners.web]
bind = 8080
timeouts = { head = 10 }
[services.shop]
stable = "bleu"
stikcy = ["cookie:sid"]
weight = 0.05
mirror = { share = "0%" }
[services.shop.pools.blue]
endpoints = ["app-blue:3000", "https://app-blue:3001"]
[services.shop.rollout]
steps = [{ weight = "5%" }, { weight = "1%" }, { hold = "1m" }]
[services.shop.judge]
alpha = 2
"#,
        r#"
proxy.toml:3:8: `0.0.0.0:9900` can be reached from other machines, so the API needs a token
    bind = "0.0.0.0:9900"
           ^^^^^^^^^^^^^^
    hint: add `token_file`, or bind to 127.0.0.1 or "unix:/path"
proxy.toml:5:8: `bind` must be a string, not an integer
    bind = 8080
           ^^^^
    hint: write an IP address and a port, such as "0.0.0.0:8080"
proxy.toml:6:21: `head` must be a duration, not an integer
    timeouts = { head = 10 }
                        ^^
    hint: write a number with a unit of ms, s, m, h or d, such as "10s"
proxy.toml:8:10: there is no pool `bleu`
    stable = "bleu"
             ^^^^^^
    hint: the pools of this service are `blue`
proxy.toml:9:1: unknown key `stikcy`
    stikcy = ["cookie:sid"]
    ^^^^^^
    hint: did you mean `sticky`?
proxy.toml:10:10: `weight` must be a share, not a number
    weight = 0.05
             ^^^^
    hint: write a percentage from 0% to 100%, such as "5%"
proxy.toml:11:1: `mirror` is not available yet
    mirror = { share = "0%" }
    ^^^^^^
proxy.toml:13:31: `https://` is not available yet
    endpoints = ["app-blue:3000", "https://app-blue:3001"]
                                  ^^^^^^^^^^^^^^^^^^^^^^^
proxy.toml:15:40: each step must be larger than the one before
    steps = [{ weight = "5%" }, { weight = "1%" }, { hold = "1m" }]
                                           ^^^^
proxy.toml:15:48: missing key `weight` in this element of `steps`
    steps = [{ weight = "5%" }, { weight = "1%" }, { hold = "1m" }]
                                                   ^^^^^^^^^^^^^^^
    hint: add weight = "5%"
proxy.toml:17:9: `alpha` must be above 0 and at most 0.5
    alpha = 2
            ^
11 problems in proxy.toml
"#,
    );
}

#[test]
fn a_release_that_cannot_run_is_told_why() {
    says(
        r#"version = 1
[listeners.web]
bind = "0.0.0.0:8080"
[services.shop]
stable = "blue"
canary = "green"
sticky = ["issue"]
[services.shop.pools.blue]
endpoints = ["app-blue:3000"]
[services.shop.pools.green]
endpoints = ["app-green:3000"]
[[services.shop.gates]]
name = "checkout"
command = ["./nope/smoke.sh", "{pool}"]
against = ["canary", "purple"]
[services.shop.rollout]
steps = [{ weight = "25%" }, { weight = "10%", hold = "-5s" }]
hooks = { deploy = ["/nope/deploy.sh"], after = "slack" }
notify = [{ format = "pagerduty" }]
irreversible_after = 3
[services.shop.judge]
alpha = 2
min_requests = 500
"#,
        r#"
proxy.toml:14:12: `./nope/smoke.sh` does not exist (looked in the current folder)
    command = ["./nope/smoke.sh", "{pool}"]
               ^^^^^^^^^^^^^^^^^
proxy.toml:15:22: each of `against` must be "canary" or "stable", not `purple`
    against = ["canary", "purple"]
                         ^^^^^^^^
proxy.toml:17:41: each step must be larger than the one before
    steps = [{ weight = "25%" }, { weight = "10%", hold = "-5s" }]
                                            ^^^^^
proxy.toml:17:55: `-5s` is not a duration: write a number with a unit of ms, s, m, h or d, such as "10s"
    steps = [{ weight = "25%" }, { weight = "10%", hold = "-5s" }]
                                                          ^^^^^
proxy.toml:18:21: `/nope/deploy.sh` does not exist
    hooks = { deploy = ["/nope/deploy.sh"], after = "slack" }
                        ^^^^^^^^^^^^^^^^^
proxy.toml:18:49: a hook is a list of a program and its arguments, or a URL
    hooks = { deploy = ["/nope/deploy.sh"], after = "slack" }
                                                    ^^^^^^^
    hint: write ["./deploy.sh", "{version}"] or "https://..."
proxy.toml:19:11: missing key `routing_key` in this element of `notify`
    notify = [{ format = "pagerduty" }]
              ^^^^^^^^^^^^^^^^^^^^^^^^
    hint: add routing_key = "${PAGERDUTY_KEY}"
proxy.toml:20:22: `irreversible_after` must be from 1 to 2
    irreversible_after = 3
                         ^
proxy.toml:22:9: `alpha` must be above 0 and at most 0.5
    alpha = 2
            ^
proxy.toml:23:1: unknown key `min_requests`
    min_requests = 500
    ^^^^^^^^^^^^
    hint: write `requests` on the steps
10 problems in proxy.toml
"#,
    );
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    says(
        "",
        r#"
proxy.toml:1:1: missing key `version` in the file
    hint: begin the file with `version = 1`
proxy.toml:1:1: no listener: nothing would be served
    hint: add [listeners.web] with bind = "0.0.0.0:8080"
proxy.toml:1:1: no service: nothing would be served
    hint: add [services.shop.pools.blue] with endpoints = ["app:3000"]
3 problems in proxy.toml
"#,
    );
}

#[test]
fn what_is_no_toml_is_shown_where_it_goes_wrong() {
    says(
        "version = 1\n[listeners.web]\nbind = 0.0.0.0:8080\ntimeouts = { head = 10s }\n",
        "
proxy.toml:3:11: invalid float
    bind = 0.0.0.0:8080
              ^^^^^^^^^
    hint: put the whole value in quotes, unless it is a number or true or false
proxy.toml:4:21: string values must be quoted
    timeouts = { head = 10s }
                        ^^^
    hint: put the value in quotes
2 problems in proxy.toml
",
    );
    says(
        "version = 1\nversion = 1\n",
        "
proxy.toml:2:1: duplicate key
    version = 1
    ^^^^^^^
1 problem in proxy.toml
",
    );
}

#[test]
fn the_caret_stands_under_the_value() {
    // A tab stays a tab; wide text counts in characters; what a terminal would act on is not shown.
    for (line, want) in [
        ("\tbind = 1", "    \tbind = 1\n    \t       ^\n"),
        ("'ü' = 1", "    'ü' = 1\n    ^^^\n"),
        ("'a\u{9b}' = 1", "    'a\u{fffd}' = 1\n    ^^^^\n"),
        ("x = '''a\nb'''", "    x = '''a\n    ^\n"),
    ] {
        let text = format!("{HEAD}[admin]\n{line}\n[services.s.pools.p]\nendpoints = ['a:1']\n");
        let errors = parse(&text).expect_err("must be refused").to_string();
        assert!(errors.contains(want), "{errors}\n{want}");
    }
}

#[test]
fn a_long_line_is_cut_around_the_value() {
    let names = vec!["\"name.example.com\""; 40].join(", ").replacen("name", "na me", 20);
    let text = with_service(&format!("hosts = [{names}]"));
    let errors = parse(&text).expect_err("must be refused").to_string();
    let mut lines = errors.lines().skip_while(|line| !line.contains("na me.example.com` is not"));
    let (_, source, caret) = (lines.next(), lines.next().unwrap(), lines.next().unwrap());
    assert!(source.ends_with('…'), "{source}");
    for pair in errors.lines().collect::<Vec<_>>().windows(2) {
        if let (Some(at), Some(end)) = (pair[1].find('^'), pair[1].rfind('^'))
            && pair[1].trim_start().starts_with('^')
        {
            assert!(pair[0].chars().count() <= 144, "{}", pair[0]);
            let marked: String = pair[0].chars().skip(at).take(end + 1 - at).collect();
            assert!(marked.starts_with('"') && marked.ends_with('"'), "{marked}");
        }
    }
    assert!(caret.contains('^'));
}

#[test]
fn what_cannot_be_read_is_a_problem_without_a_place() {
    let error = std::io::Error::from(std::io::ErrorKind::NotFound);
    let errors = Errors::unreadable(Path::new("none.toml"), &error);
    let want = "none.toml: cannot read this file: entity not found\n    \
                hint: name the file with --config FILE\n1 problem in none.toml";
    assert_eq!(errors.to_string(), want);
    assert_eq!((errors.problems()[0].line, errors.problems()[0].column), (0, 0));

    let folder = std::env::temp_dir().join("serin-no-such-folder/proxy.toml");
    assert!(Config::load(&folder).is_err());
}

#[test]
fn a_warning_has_its_place_and_a_hint() {
    let config = accepted(&with("[services.shop.judge]\nmode = \"threshold\""));
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert_eq!(
        warning.to_string(),
        "13:8: warning: `threshold` rolls back 38-78 % of good releases in simulation\n    \
         hint: `sequential` rolls back at most `alpha` of them"
    );
}

#[test]
fn a_wrong_value_is_told_what_it_must_be() {
    let table = [
        ("[workers]\nthreads = \"four\"", "\"four\"", "`threads` must be an integer, not a string"),
        ("[workers]\nthreads = -1", "-1", "`threads` must be from 0 to 1024"),
        ("[workers]\nthreads = 99999999999999999999", "999", "`threads` must be from 0 to 1024"),
        ("[state]\npath = \"\"", "\"\"", "`path` must not be empty"),
        ("[state]\npath = [\"a\"]", "[", "`path` must be a string, not a list"),
        ("[admin]\nhosts = \"a\"", "\"a\"", "`hosts` must be a list, not a string"),
        ("[admin]\nhosts = [7]", "7", "each of `hosts` must be a string, not an integer"),
        ("[services.b]\npools = 5", "5", "`pools` must be a table, not an integer"),
        ("[services.b.pools]\nblue = 5", "5", "`blue` must be a table, not an integer"),
        ("[[services.shop.judge]]\nalpha = 1", "[[", "`judge` must be a table, not a list"),
        ("[services.shop.judge]\nwatch = 1", "1", "`watch` must be true or false, not an integer"),
        ("[services.shop.judge]\ncap = nan", "nan", "`cap` must be above 0"),
        ("[services.shop.judge]\ncap = inf", "inf", "`cap` must be above 0"),
        ("[services.shop.judge]\ncap = 1979-05-27", "1979", "`cap` must be a number, not a date"),
        ("[services.shop.judge]\nhorizon_slices = 0", "0", "`horizon_slices` must be at least 1"),
        ("[services.shop.judge]\nlevels = []", "[]", "`levels` must not be empty"),
        (
            "[services.shop.judge]\nlevels = [0.9, 1]",
            "1]",
            "each of `levels` must be between 0 and 1",
        ),
        (
            "[services.shop.judge]\nmode = \"treshold\"",
            "\"treshold\"",
            "`mode` must be \"sequential\" or \"threshold\", not `treshold`",
        ),
        (
            "[services.shop.rollout]\nguard = \"5 minutes\"",
            "\"5 minutes\"",
            "`5 minutes` is not a duration: write a number with a unit of ms, s, m, h or d, such as \"10s\"",
        ),
        (
            "[services.shop.rollout]\ndeadline = \"0s\"",
            "\"0s\"",
            "`deadline` must be longer than 0",
        ),
        (
            "[services.shop.rollout]\nsteps = [{ weight = \"101%\" }]",
            "\"101%\"",
            "`101%` is not a share of traffic: write a percentage from 0% to 100% with at most two \
             decimals, such as \"5%\"",
        ),
        (
            "[listeners.b]\nbind = \"localhost:80\"",
            "\"localhost:80\"",
            "`localhost:80` is not an address to listen on: write an IP address and a port, such as \
             \"0.0.0.0:8080\"",
        ),
        (
            "[listeners.b]\nbind = \":81\"",
            "\":81\"",
            "`:81` is not an address to listen on: write an IP address and a port, such as \
             \"0.0.0.0:81\"",
        ),
        (
            "[listeners.b]\nbind = \"0.0.0.0:81\"\nlimits = { body_bytes = \"10MiBB\" }",
            "\"10MiBB\"",
            "`10MiBB` is not a size: write a number with a unit of B, KiB, MiB, GiB, KB, MB or GB, such \
             as \"32KiB\"",
        ),
        (
            "[listeners.b]\nbind = \"0.0.0.0:81\"\nlimits = { header_bytes = \"1B\" }",
            "\"1B\"",
            "`header_bytes` must be from 1KiB to 16MiB",
        ),
    ];
    for (lines, at, want) in table {
        let lines = lines.replace("[services.b]", "[services.b]\npaths = [\"/b\"]");
        let text = with(&lines).replace("[services.shop]", "[services.shop]\npaths = [\"/a\"]");
        refused(&text, at, want);
    }
}
