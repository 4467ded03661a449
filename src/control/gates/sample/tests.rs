use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(status: u16, body: impl ToString) -> Answer {
    let body = Bytes::from(body.to_string());
    Answer { status, headers: Vec::new(), body, cut: false }
}

fn vector(samples: &[&str]) -> Answer {
    let sample = |value: &&str| json!({ "metric": { "a": "b" }, "value": [1435781451.781, value] });
    let result: Vec<_> = samples.iter().map(sample).collect();
    answer(
        200,
        json!({ "status": "success", "data": { "resultType": "vector", "result": result } }),
    )
}

#[test]
fn one_sample_is_a_value() {
    assert_eq!(read(&vector(&["0.25"])), Ok(0.25));
    assert_eq!(read(&vector(&["-1e-3"])), Ok(-0.001));
    let scalar = json!({
        "status": "success", "warnings": ["x"],
        "data": { "resultType": "scalar", "result": [1435781451, "7"] },
    });
    assert_eq!(read(&answer(200, scalar)), Ok(7.0));
}

#[test]
fn what_is_no_one_number_is_missing_and_says_why() {
    let of = |kind: &str, result: Value| {
        answer(
            200,
            json!({ "status": "success", "data": { "resultType": kind, "result": result } }),
        )
    };
    let refused = json!({ "status": "error", "errorType": "bad_data", "error": "parse error" });
    let table = [
        (vector(&[]), "the query gave no sample"),
        (
            vector(&["1", "2"]),
            "the query gave 2 samples where one is needed: aggregate it, as with sum(...)",
        ),
        (vector(&["NaN"]), "the value is NaN"),
        (vector(&["+Inf"]), "the value is +Inf"),
        (vector(&["-Inf"]), "the value is -Inf"),
        (vector(&["many"]), "`many` is no number"),
        (
            of("vector", json!([{ "metric": {}, "histogram": [1, {}] }])),
            "the sample is no number; is it a histogram?",
        ),
        (of("vector", json!([{ "value": [1, 5] }])), "the sample is no number; is it a histogram?"),
        (of("matrix", json!([])), "the query gave matrix, not a vector or a scalar"),
        (
            answer(200, json!({ "status": "success" })),
            "the query gave nothing known, not a vector or a scalar",
        ),
        (answer(400, refused), "Prometheus refused the query (status 400, bad_data): parse error"),
        (
            answer(502, "<h1>Bad Gateway</h1>"),
            "status 502, but no answer of Prometheus: <h1>Bad Gateway</h1>",
        ),
        (
            Answer { cut: true, ..vector(&["1"]) },
            "status 200, but no answer of Prometheus: \
             {\"data\":{\"result\":[{\"metric\":{\"a\":\"b\"},\"value\":[1435781451.781,\"1\"]}],\
             \"resultType\":\"vector\"},\"status\":\"success\"}",
        ),
    ];
    for (answer, why) in table {
        assert_eq!(read(&answer), Err(why.to_owned()));
    }
}

#[test]
fn a_bound_is_kept_or_not() {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let table = [
        (Less, [true, false, false]),
        (LessOrEqual, [true, true, false]),
        (Greater, [false, false, true]),
        (GreaterOrEqual, [false, true, true]),
        (Equal, [false, true, false]),
        (NotEqual, [true, false, true]),
    ];
    for (operator, wants) in table {
        for (value, want) in [0.5, 1.0, 1.5].into_iter().zip(wants) {
            let bound = Compare { operator, number: 1.0, times_stable: false };
            let kept = matches!(compare("q", bound, value, None), Finding::Kept(_));
            assert_eq!(kept, want, "{value} {operator:?} 1");
            let bound = Compare { operator, number: 0.5, times_stable: true };
            let kept = matches!(compare("q", bound, value, Some(2.0)), Finding::Kept(_));
            assert_eq!(kept, want, "{value} {operator:?} 0.5 * 2");
        }
    }
}

#[test]
fn a_finding_says_what_came_and_what_was_wanted() {
    let bound = Compare { operator: Operator::Less, number: 0.01, times_stable: false };
    let kept = compare("errors", bound, 0.000_123_456_789, None);
    assert_eq!(kept, Finding::Kept("errors: 0.000123457 is < 0.01".into()));
    let broken = compare("errors", bound, 1.0 / 3.0, None);
    assert_eq!(broken, Finding::Broken("errors: 0.333333, wanted < 0.01".into()));
    let bound = Compare { operator: Operator::GreaterOrEqual, number: 0.9, times_stable: true };
    let broken = compare("orders", bound, 8.0, Some(10.0));
    assert_eq!(broken, Finding::Broken("orders: 8, wanted >= 0.9 * stable (stable has 10)".into()));
    let bound = Compare { number: 1.0, ..bound };
    assert_eq!(words(bound), ">= stable");
    let missing = compare("orders", bound, 8.0, None);
    assert_eq!(missing, Finding::Missing("orders: stable's value is not known".into()));
}

proptest! {
    #[test]
    fn what_is_not_known_is_never_kept(value: f64, number: f64, stable in proptest::option::of(any::<f64>()), times_stable: bool) {
        let bound = Compare { operator: Operator::NotEqual, number, times_stable };
        let known = value.is_finite()
            && if times_stable { stable.is_some_and(|s| (s * number).is_finite()) } else { number.is_finite() };
        let finding = compare("q", bound, value, stable);
        prop_assert_eq!(!known, matches!(finding, Finding::Missing(_)));
    }

    #[test]
    fn no_answer_can_break_the_reader(status: u16, body in ".{0,200}") {
        let _ = read(&answer(status, body));
    }
}
