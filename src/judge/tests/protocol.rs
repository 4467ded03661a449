use serde_json::{Value, json};

use super::*;

/// Errors alone, with the wealth of the reference vectors: 0.5 at the start, 0.01 each slice.
fn init() -> Value {
    json!({
        "type": "init", "stages": [0.02, 0.5], "edges_ms": [0.0, 10.0, 20.0, 40.0], "dt": 0.25,
        "stage_s": 300, "baseline": {"n": 100, "err": 0, "hist": [[0, 100]]},
        "cfg": {
            "rho": 1.25, "q_start": 0.5, "q_stage": 0.25, "q_slice": 0.25, "horizon_slices": 25,
            "weights": {"err": 1, "route": 0, "res": 0, "lat": [0, 0, 0, 0]}, "min_requests": 5,
            "stage_min_s": 1,
        },
    })
}

fn tick(i: u32, stable: [u64; 2], canary: [u64; 2]) -> Value {
    json!({
        "type": "tick", "i": i, "t": 0.25 * f64::from(i + 1), "stage": 0, "weight": 0.02,
        "stable": {"n": stable[0], "err": stable[1], "hist": [[0, stable[0] - stable[1]]]},
        "canary": {"n": canary[0], "err": canary[1], "inflight": 3},
    })
}

fn with(mut line: Value, path: &str, value: Value) -> Value {
    let (parent, name) = path.rsplit_once('/').expect("a path begins with a slash");
    line.pointer_mut(parent).expect("the parent is there")[name] = value;
    line
}

fn say(session: &mut Session, line: &Value) -> Value {
    let answer = session.line(&line.to_string()).expect("every init and tick is answered");
    serde_json::from_str(&answer).expect("an answer is one line of JSON")
}

fn started(init: &Value) -> Session {
    let mut session = Session::default();
    assert_eq!(say(&mut session, init)["verdict"], "hold");
    session
}

fn log_e(answer: &Value) -> f64 {
    answer["log_e"].as_f64().unwrap_or_else(|| panic!("no evidence in {answer}"))
}

/// Start times, the mixture and the cap, against 50-digit arithmetic, from outside.
#[test]
fn a_replay_equals_the_reference_vector() {
    let slices = [(50, 0, 1, 0), (48, 0, 2, 1), (51, 1, 1, 0), (47, 0, 3, 3), (50, 0, 2, 2)];
    let want = [-0.67923, 1.40027, 0.532094, 3.537951, 6.538242];
    let why = ["requests", "suspicion", "requests", "suspicion", "err"];
    let mut session = started(&init());
    for (i, (n_s, e_s, n_c, e_c)) in (0..).zip(slices) {
        let answer = say(&mut session, &tick(i, [n_s, e_s], [n_c, e_c]));
        let at = usize::try_from(i).expect("small");
        assert!((log_e(&answer) - want[at]).abs() < 1e-6, "slice {i}: {answer}");
        assert_eq!(answer["why"], why[at]);
        assert_eq!(answer["verdict"], if at == 4 { "rollback" } else { "hold" });
    }
}

#[test]
fn an_answer_has_four_fields_in_order() {
    let mut session = started(&init());
    let answer = session.line(&tick(0, [50, 0], [1, 0]).to_string()).expect("an answer");
    let (head, tail) = answer.split_at(answer.find("-0.679").expect("the evidence"));
    assert_eq!(head, r#"{"verdict":"hold","log_e":"#);
    let tail = tail.split_once(',').expect("more fields").1;
    assert_eq!(tail, r#""why":"requests","inflight_limit_ms":40.0}"#);
}

#[test]
fn an_open_slice_has_no_evidence_and_a_step_drops_it() {
    let mut session = started(&init());
    let before = log_e(&say(&mut session, &tick(0, [50, 0], [1, 0])));
    let open = say(&mut session, &tick(1, [50, 0], [0, 0]));
    assert_eq!(log_e(&open), before);
    let dropped = say(&mut session, &with(tick(2, [0, 0], [3, 3]), "/stage", json!(1)));
    let injected = (before.exp() + 0.25_f64).ln();
    assert!((log_e(&dropped) - injected).abs() < 1e-12, "{dropped}: only the step's injection");
    let closed = say(&mut session, &with(tick(3, [50, 0], [0, 0]), "/stage", json!(1)));
    assert!(log_e(&closed) > injected + 1.0, "the open slice waited for stable: {closed}");
}

#[test]
fn keys_are_capped_after_twenty() {
    let keys = |line: Value, count: u64| {
        let mut keys: Vec<Value> = (0..count).map(|key| json!([format!("u{key}"), 1])).collect();
        keys.push(json!(["robot", 12]));
        with(line, "/canary/err_keys", json!(keys))
    };
    let evidence = |distinct: u64| {
        let mut session = started(&init());
        let errors = distinct - 1 + 12;
        let line = tick(0, [2_000, 500], [100, errors]);
        log_e(&say(&mut session, &keys(line, distinct - 1)))
    };
    let uncapped = |n: u64, errors: u64| {
        log_e(&say(&mut started(&init()), &tick(0, [2_000, 500], [n, errors])))
    };
    assert_eq!(evidence(19), uncapped(100, 30));
    assert_eq!(evidence(20), uncapped(90, 21), "ten of the robot's twelve are left out");
}

#[test]
fn every_part_of_a_tick_is_judged() {
    let all = with(init(), "/cfg/weights", json!({"err": 0.4, "route": 0.1, "res": 0.1}));
    let quiet = || tick(0, [100, 0], [5, 0]);
    let canary_hist = |line: Value| with(line, "/canary/hist", json!([[0, 5]]));
    let base = log_e(&say(&mut started(&all), &canary_hist(quiet())));
    let rows = [
        ("/routes", json!({"r0": {"stable": [100, 0], "canary": [5, 5]}})),
        ("/res", json!([[1.0, 2.0]])),
        ("/canary/inflight_slow", json!(2)),
        ("/canary/aborts", json!([[3, 2]])),
    ];
    for (path, value) in rows {
        let answer = say(&mut started(&all), &with(canary_hist(quiet()), path, value));
        assert!(log_e(&answer) > base, "{path}: {answer} is not above {base}");
    }
    let dead = with(quiet(), "/stable/healthy", json!(false));
    assert_eq!(say(&mut started(&all), &dead)["why"], "both-bad");
    let empty = with(quiet(), "/canary/healthy", json!(false));
    let answer = say(&mut started(&all), &empty);
    assert_eq!(
        (answer["verdict"].as_str(), answer["why"].as_str()),
        (Some("rollback"), Some("empty"))
    );
}

/// More routes than slots, and the first in the line are not the first in the alphabet.
#[test]
fn the_first_routes_of_a_line_are_tested() {
    let one = with(init(), "/cfg/max_routes", json!(1));
    let one =
        with(one, "/cfg/weights", json!({"err": 0.5, "route": 0.5, "res": 0, "lat": [0, 0, 0, 0]}));
    let mut session = started(&one);
    let mut why = String::new();
    for i in 0..4 {
        let line = format!(
            r#"{{"type":"tick","t":{},"stage":0,"stable":{{"n":90,"err":9}},"canary":{{"n":30,"err":4}},
            "routes":{{"z":{{"stable":[9,0],"canary":[3,3]}},"a":{{"stable":[9,0],"canary":[3,3]}}}}}}"#,
            0.25 * f64::from(i + 1)
        );
        why = session.line(&line).expect("an answer");
    }
    assert!(why.contains(r#""why":"route:z""#), "{why}");
}

#[test]
fn a_bad_line_is_named_and_the_replay_goes_on() {
    let rows = [
        (json!("x"), "line 2: expected an object"),
        (json!({"t": 1}), "line 2: type: is missing"),
        (json!({"type": "tack"}), "line 2: type: expected init, resume, tick, restart_step or end"),
        (with(tick(0, [9, 0], [1, 0]), "/stable", Value::Null), "line 2: stable: is missing"),
        (with(tick(0, [9, 0], [1, 0]), "/t", json!("1")), "line 2: t: expected a number"),
        (
            with(tick(0, [9, 0], [1, 0]), "/canary/n", json!(-1)),
            "line 2: canary.n: expected a whole number",
        ),
        (
            with(tick(0, [9, 0], [1, 0]), "/canary/err", json!(2)),
            "line 2: canary.err: 2 of 1 requests cannot fail",
        ),
        (
            with(tick(0, [9, 0], [1, 0]), "/stable/hist", json!([[0, 1], [4, 1]])),
            "line 2: stable.hist[1][0]: expected a bucket below 4",
        ),
        (
            with(tick(0, [9, 0], [1, 0]), "/routes", json!({"r0": {"stable": [1, 0]}})),
            "line 2: routes.r0.canary: is missing",
        ),
        (
            with(tick(0, [9, 0], [1, 0]), "/canary/err_keys", json!([["u", 1.5]])),
            "line 2: canary.err_keys[0][1]: expected a whole number",
        ),
        (
            with(tick(0, [9, 0], [1, 0]), "/res", json!([[1]])),
            "line 2: res[0]: expected a list of two",
        ),
    ];
    for (line, error) in rows {
        let mut session = started(&init());
        assert_eq!(say(&mut session, &line), json!({"error": error}));
        let want = log_e(&say(&mut started(&init()), &tick(0, [50, 0], [1, 0])));
        let next = say(&mut session, &tick(0, [50, 0], [1, 0]));
        assert_eq!(log_e(&next), want, "the bad line changed nothing");
    }
    let mut session = started(&init());
    let answer = session.line("{oops").expect("an answer");
    assert!(answer.starts_with(r#"{"error":"line 2: not JSON: "#), "{answer}");
}

#[test]
fn a_bad_init_is_named_and_leaves_no_judge() {
    let rows = [
        ("/stages", json!([]), "stages: expected at least one stage"),
        ("/stages", json!([2]), "stages[0]: expected a number from 0 to 1, not 2"),
        ("/edges_ms", json!([1, 1]), "edges_ms: expected edges in ascending order"),
        ("/dt", json!(0), "dt: expected a number above 0, not 0"),
        ("/baseline/hist", json!([[9, 1]]), "baseline.hist[0][0]: expected a bucket below 4"),
        ("/cfg/alpha", json!(1), "cfg.alpha: expected a number between 0 and 1"),
        ("/cfg/alhpa", json!(0.1), "cfg.alhpa: is not a parameter of the judge"),
        ("/cfg/levels", json!([0.5]), "cfg.weights.lat: expected one weight for each of 1 levels"),
        ("/cfg/weights/err", json!("1"), "cfg.weights.err: expected a number"),
        ("/cfg/weights/res", json!(0.1), "cfg.weights: expected weights of at most 1 together"),
        ("/cfg/weights/cpu", json!(0.1), "cfg.weights.cpu: expected err, route, res or lat"),
        (
            "/cfg/q_stage",
            json!(0.5),
            "cfg.q_start: expected q_start, q_stage and q_slice of at most 1 together",
        ),
        ("/cfg/err_grid", json!([]), "cfg.err_grid: expected at least one number"),
        ("/cfg/horizon_slices", json!(5e9), "cfg.horizon_slices: is too large"),
        ("/purpose", json!("x"), "purpose: expected canary, blue-green or watch, not x"),
        ("/steps", json!([]), "stages: expected at least one stage"),
        ("/steps", json!([{"requests": 1}]), "steps[0].weight: is missing"),
        (
            "/objectives",
            json!({"p99_ms": 0}),
            "objectives.p99_ms: expected a number above 0, not 0",
        ),
        ("/cfg/mode", json!("x"), "cfg.mode: expected sequential or threshold, not x"),
    ];
    for (path, value, error) in rows {
        let mut session = started(&init());
        let answer = say(&mut session, &with(init(), path, value));
        assert_eq!(answer, json!({"error": format!("line 2: {error}")}));
        let answer = say(&mut session, &tick(0, [9, 0], [1, 0]));
        assert_eq!(answer, json!({"error": "line 3: a tick before an init"}));
        assert_eq!(say(&mut session, &init())["why"], "start");
    }
}

/// What `steps` leave out is as in `cfg`; a share set by hand is watched.
#[test]
fn each_step_may_have_a_rule_of_its_own() {
    let rules = json!([{"weight": 0.02, "requests": 7}, {"weight": 0.5, "hold_s": 9}]);
    let mut session = started(&with(init(), "/steps", rules));
    assert_eq!(say(&mut session, &tick(0, [90, 0], [6, 0]))["why"], "requests");
    assert_eq!(say(&mut session, &tick(1, [90, 0], [1, 0]))["why"], "hold");
    assert_eq!(say(&mut session, &tick(3, [90, 0], [1, 0]))["why"], "evidence:err");
    let next = |i| with(tick(i, [90, 0], [9, 0]), "/stage", json!(1));
    assert_eq!(say(&mut session, &next(4))["why"], "hold", "5 requests and 9 s");
    assert_eq!(say(&mut session, &next(50))["why"], "evidence:err");
    assert_eq!(session.line(RESTART_STEP), None);
    assert_eq!(say(&mut session, &next(51))["why"], "hold", "the step is observed anew");
    let mut session = started(&with(init(), "/purpose", json!("watch")));
    assert_eq!(say(&mut session, &tick(0, [90, 0], [6, 0]))["why"], "watch");
    let mut session = Session::default();
    let answer = say(&mut session, &json!({"type": "restart_step"}));
    assert_eq!(answer["error"], "line 1: a restart before an init");
    let answer = say(&mut session, &json!({"type": "resume", "judge": {}}));
    let error = answer["error"].as_str().expect("an error");
    assert!(error.starts_with("line 2: judge: no state of a judge: missing field"), "{error}");
}

#[test]
fn a_tick_without_a_length_needs_one_from_init() {
    let mut session = started(&with(init(), "/dt", Value::Null));
    let answer = say(&mut session, &tick(0, [9, 0], [1, 0]));
    assert_eq!(answer["error"], "line 2: dt: is missing here and in init");
    let answer = say(&mut session, &with(tick(0, [9, 0], [1, 0]), "/dt", json!(0.25)));
    assert_eq!(answer["verdict"], "hold");
}

#[test]
fn every_parameter_is_known_by_its_short_name() {
    let numbers = [
        "alpha",
        "rho",
        "delta",
        "lat_margin",
        "max_routes",
        "key_cap",
        "cap",
        "slice_s",
        "ref_half_s",
        "warm_s",
        "warm_margin",
        "q_start",
        "q_stage",
        "q_slice",
        "horizon_slices",
        "alpha_adv",
        "harm",
        "adv_floor",
        "adv_rho",
        "adv_lat_mult",
        "min_requests",
        "stage_min_s",
        "suspicion",
        "res_margin",
        "res_block_s",
        "stable_dead",
        "max_harm",
    ];
    let before = format!("{:?}", Cfg::default().settings);
    for name in numbers {
        // Counts are whole; shares have to stay below 1 together.
        let whole = ["max_routes", "key_cap", "horizon_slices", "min_requests"].contains(&name);
        let value = if whole { json!(17) } else { json!(0.125) };
        let json = serde_json::from_value(json!({name: value})).expect("plain data");
        let cfg = Cfg::read(&json).unwrap_or_else(|wrong| panic!("{wrong}"));
        let changed = format!("{:?}", cfg.settings) != before;
        assert!(changed || cfg.requests == 17 || cfg.hold_s == 0.125, "{name} changes nothing");
    }
    for name in ["err_grid", "lat_grid", "adv_grid", "res_grid"] {
        let json = serde_json::from_value(json!({name: [0.5]})).expect("plain data");
        let cfg = Cfg::read(&json).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_ne!(format!("{:?}", cfg.settings), before, "{name} changes nothing");
    }
}

#[test]
fn nothing_is_said_to_blank_lines_and_the_end() {
    let mut session = started(&init());
    assert_eq!(session.line("  \n"), None);
    assert_eq!(session.line(r#"{"type":"end"}"#), None);
    let answer = say(&mut session, &tick(0, [9, 0], [1, 0]));
    assert_eq!(answer["error"], "line 4: a tick before an init");
}

#[test]
fn text_keys_are_hashed_as_published() {
    let hash = |text: &str| key(&Json::Text(text.into())).expect("a text is a key");
    assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(key(&Json::Whole(u64::MAX)), Ok(u64::MAX));
}

#[test]
fn the_documented_example_is_answered_as_documented() {
    let page = include_str!("../../../docs/judging.md");
    let (_, example) = page.split_once("serin judge < ticks.jsonl\n").expect("the example");
    let (questions, answers) = example.split_once(r#"{"type":"end"}"#).expect("its end");
    let mut session = Session::default();
    let lines = questions.lines().map(str::trim).filter(|line| !line.is_empty());
    let given: Vec<String> = lines.filter_map(|line| session.line(line)).collect();
    let lines = answers.lines().map(str::trim).skip_while(|line| line.is_empty());
    let documented: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    assert_eq!(given, documented);
    assert_eq!(given.len(), 6);
}
