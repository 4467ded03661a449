use bytes::Bytes;
use serde_json::json;

use super::*;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Answer { status, headers, body: Bytes::from(body.to_owned()), cut: false }
}

/// What is wrong, without the excerpt of the answer.
fn wrong(expect: &Expect, answer: &Answer) -> Option<String> {
    let words = meets(expect, answer, Duration::from_millis(12)).err()?;
    Some(words.split("; the answer was ").next().unwrap().to_owned())
}

#[test]
fn without_a_word_any_2xx_is_good() {
    let expect = Expect::default();
    for status in [200, 204, 299] {
        assert_eq!(wrong(&expect, &answer(status, &[], "")), None);
    }
    for status in [199, 300, 404, 503] {
        let want = format!("wanted a status of 200 to 299, came {status}");
        assert_eq!(wrong(&expect, &answer(status, &[], "")), Some(want));
    }
    let words = meets(&expect, &answer(200, &[], "x"), Duration::from_millis(12));
    assert_eq!(words, Ok("status 200 in 12 ms".into()));
}

#[test]
fn a_status_that_is_named_is_the_only_good_one() {
    let expect = Expect { status: Some(404), ..Expect::default() };
    assert_eq!(wrong(&expect, &answer(404, &[], "")), None);
    let bad = wrong(&expect, &answer(200, &[], ""));
    assert_eq!(bad.as_deref(), Some("wanted status 404, came 200"));
}

#[test]
fn a_header_is_there_and_holds_the_text() {
    let headers = [("x-app", "shop"), ("x-app", "version=4.2; canary"), ("etag", "")];
    let answer = answer(200, &headers, "");
    let wants = |name: &str, text: Option<&str>| {
        let header = Some((name.to_owned(), text.map(str::to_owned)));
        wrong(&Expect { header, ..Expect::default() }, &answer)
    };
    assert_eq!(wants("x-app", None), None);
    assert_eq!(wants("x-app", Some("version=4.2")), None);
    assert_eq!(wants("etag", Some("")), None);
    assert_eq!(
        wants("x-app", Some("4.3")).as_deref(),
        Some("wanted `4.3` in the header `x-app`, came `shop`")
    );
    assert_eq!(
        wants("x-b", Some("1")).as_deref(),
        Some("wanted the header `x-b`, which did not come")
    );
}

#[test]
fn what_json_points_at_is_compared_as_people_compare() {
    let body = r#"{"status": "ok", "n": 1.0, "list": [1, {"a/b": null}], "m~n": true}"#;
    let wants = |pointer: &str, value: Option<Value>| {
        let json = Some((pointer.to_owned(), value));
        wrong(&Expect { json, ..Expect::default() }, &answer(200, &[], body))
    };
    for (pointer, value) in [
        ("/status", Some(json!("ok"))),
        ("/status", None),
        ("/n", Some(json!(1))),
        ("/list", Some(json!([1.0, {"a/b": null}]))),
        ("/list/1/a~1b", Some(json!(null))),
        ("/list/1/a~1b", None),
        ("/m~0n", Some(json!(true))),
        ("", None),
    ] {
        assert_eq!(wants(pointer, value.clone()), None, "{pointer} {value:?}");
    }
    for (pointer, value, want) in [
        ("/status", Some(json!("down")), r#"wanted "down" at `/status`, came "ok""#),
        ("/n", Some(json!("1")), r#"wanted "1" at `/n`, came 1.0"#),
        ("/list", Some(json!([1])), r#"wanted [1] at `/list`, came [1,{"a/b":null}]"#),
        ("/list/0", Some(json!({})), "wanted {} at `/list/0`, came 1"),
        ("/gone", Some(json!(1)), "wanted 1 at `/gone`, where there is nothing"),
        ("/gone", None, "wanted something at `/gone`, where there is nothing"),
    ] {
        assert_eq!(wants(pointer, value.clone()).as_deref(), Some(want), "{pointer} {value:?}");
    }
}

#[test]
fn a_body_that_is_no_json_or_not_whole_is_not_compared() {
    let expect = Expect { json: Some(("/a".into(), Some(json!(1)))), ..Expect::default() };
    let words = wrong(&expect, &answer(200, &[], "<html>")).unwrap();
    assert!(words.starts_with("wanted 1 at `/a`, but the body is no JSON: "), "{words}");
    let cut = Answer { cut: true, ..answer(200, &[], r#"{"a": 1}"#) };
    let words = wrong(&expect, &cut);
    assert_eq!(words.as_deref(), Some("wanted 1 at `/a`, but the body is longer than 1 MiB"));
}

#[test]
fn a_text_is_found_beside_broken_bytes() {
    let wants = |text: &str, body: &[u8], cut| {
        let expect = Expect { contains: Some(text.into()), ..Expect::default() };
        let answer = Answer { body: body.to_vec().into(), cut, ..answer(200, &[], "") };
        wrong(&expect, &answer)
    };
    assert_eq!(wants("ok", b"\xff\xfeok", false), None);
    assert_eq!(wants("", b"", false), None);
    let bad = wants("ok", b"O", false);
    assert_eq!(bad.as_deref(), Some("wanted `ok` in the body, where it is not"));
    let bad = wants("ok", b"O", true).unwrap();
    assert!(bad.ends_with("where it is not, as far as it was read"), "{bad}");
}

#[test]
fn an_answer_may_take_as_long_as_it_says_and_no_longer() {
    let limit = Duration::from_millis(500);
    let expect = Expect { within: Some(limit), ..Expect::default() };
    let good = answer(200, &[], "");
    assert!(meets(&expect, &good, limit).is_ok());
    let words = meets(&expect, &good, limit + Duration::from_millis(1)).unwrap_err();
    assert!(words.starts_with("wanted the answer within 500 ms, took 501 ms; "), "{words}");
}

#[test]
fn all_that_is_wrong_is_said_once_with_the_beginning_of_the_body() {
    let expect = Expect {
        status: Some(200),
        contains: Some("ok".into()),
        header: Some(("x-a".into(), None)),
        ..Expect::default()
    };
    let body = format!("upstream\n is down {}", "x".repeat(5_000));
    let words = meets(&expect, &answer(502, &[], &body), Duration::ZERO).unwrap_err();
    assert!(
        words.starts_with(
            "wanted status 200, came 502; wanted the header `x-a`, which did not come; wanted `ok` \
             in the body, where it is not; the answer was 502: upstream is down xxx"
        ),
        "{words}"
    );
    assert!(words.len() < 600, "{}", words.len());
}
