//! What a request brings: who asks, what they have seen, and a body of JSON.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::control::Asker;

/// The header that says who asks.
pub const ACTOR: &str = "x-serin-actor";
/// Who asks, where nobody says.
const NOBODY: &str = "api";
/// The longest name of an actor.
const ACTOR_CHARS: usize = 64;
/// The longest reason.
const WHY_CHARS: usize = 1000;
/// The largest body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How much of a larger one is read before it is refused: who is still sending misses the answer.
const DISCARD_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Who asks, and why.
pub(super) fn asker(headers: &HeaderMap, why: Option<String>) -> Result<Asker, Problem> {
    if let Some(why) = &why {
        let control = why.chars().any(|c| c.is_control() && !c.is_whitespace());
        if control || why.chars().count() > WHY_CHARS {
            let detail = format!("`why` must have at most {WHY_CHARS} printable characters");
            return Err(Problem::invalid(detail));
        }
    }
    let why = why.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
    Ok(Asker { actor: actor(headers), why, if_generation: if_match(headers)? })
}

/// Who asks. A name is for the record; what one may do depends on the token alone.
fn actor(headers: &HeaderMap) -> String {
    let given = headers.get(ACTOR).and_then(|name| std::str::from_utf8(name.as_bytes()).ok());
    let given = given.map(str::trim).filter(|name| {
        let length = name.chars().count();
        (1..=ACTOR_CHARS).contains(&length) && !name.chars().any(char::is_control)
    });
    given.unwrap_or(NOBODY).to_owned()
}

/// The generation that the asker has seen: `"12"` or `12`; `*` is any.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
    match (number.flatten(), values.next()) {
        (Some(generation), None) => Ok(Some(generation)),
        _ => Err(Problem::bad_request(
            "`If-Match` takes one generation, such as \"12\": the `ETag` of the service",
        )),
    }
}

/// Reads a body, all of it or a problem.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > DISCARD_BYTES_MAX) {
        return Err(too_large());
    }
    let whole = tokio::time::timeout(BODY_LIMIT, collect(body));
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
    whole.await.map_err(slow)??.ok_or_else(too_large)
}

/// The body, or nothing when it is too large.
async fn collect(mut body: Body) -> Result<Option<Bytes>, Problem> {
    let (mut whole, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Problem::bad_request(format!("the body broke: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= BODY_BYTES_MAX {
            whole.extend_from_slice(data);
        } else if length > DISCARD_BYTES_MAX {
            break;
        }
    }
    Ok((length <= BODY_BYTES_MAX).then(|| whole.into()))
}

/// Reads a JSON object; nothing at all is an empty one.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| refused(&error))
}

/// Gives `object` its type.
pub(super) fn shaped<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(object)).map_err(|error| refused(&error))
}

/// What is no JSON is a bad request; what has the wrong shape is invalid.
fn refused(error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => Problem::invalid(error.to_string()),
        _ => Problem::bad_request(format!("the body is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use serde::Deserialize;

    use super::*;

    fn with(name: &'static str, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value).unwrap(),
        )])
    }

    #[test]
    fn an_actor_is_a_short_printable_name() {
        let long = "x".repeat(65);
        let table: [(&[u8], &str); 7] = [
            (b" anna ", "anna"),
            ("Jürgen".as_bytes(), "Jürgen"),
            (b"", "api"),
            (b"   ", "api"),
            (b"a\tb", "api"),
            (b"\xff", "api"),
            (long.as_bytes(), "api"),
        ];
        for (value, want) in table {
            assert_eq!(actor(&with(ACTOR, value)), want, "{value:?}");
        }
        assert_eq!(actor(&HeaderMap::new()), "api");
    }

    #[test]
    fn if_match_takes_a_generation() {
        let table: [(&[u8], Option<Option<u64>>); 9] = [
            (b"\"12\"", Some(Some(12))),
            (b"12", Some(Some(12))),
            (b"*", Some(None)),
            (b"", None),
            (b"\"\"", None),
            (b"W/\"12\"", None),
            (b"\"1\", \"2\"", None),
            (b"+12", None),
            (b"99999999999999999999999", None),
        ];
        for (value, want) in table {
            assert_eq!(if_match(&with("if-match", value)).ok(), want, "{value:?}");
        }
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_reason_is_bounded() {
        let none = HeaderMap::new();
        let why = |text: &str| asker(&none, Some(text.to_owned())).map(|asker| asker.why);
        assert_eq!(why(" ticket 12\nsecond line "), Ok(Some("ticket 12\nsecond line".into())));
        assert_eq!(why("  "), Ok(None));
        assert_eq!(why("\u{1b}[2J").unwrap_err().status, 422);
        assert_eq!(why(&"x".repeat(1001)).unwrap_err().status, 422);
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "only its type matters")]
        n: Option<u8>,
    }

    #[test]
    fn bad_syntax_and_a_bad_shape_differ() {
        let table: [(&[u8], u16); 8] = [
            (b"{", 400),
            (b"{} x", 400),
            (b"\xff", 400),
            (b"{\"n\": 300}", 422),
            (b"{\"m\": 1}", 422),
            (b"[7]", 422),
            (b"{\"n\": 7}", 200),
            (b" \n", 200),
        ];
        for (body, want) in table {
            let got = object(body).and_then(shaped::<Shape>);
            let got = got.err().map_or(200, |problem| problem.status.as_u16());
            assert_eq!(got, want, "{}", String::from_utf8_lossy(body));
        }
    }

    #[tokio::test]
    async fn a_large_body_is_refused() {
        let read = async |bytes: usize| read(&HeaderMap::new(), vec![0; bytes].into()).await;
        assert_eq!(read(BODY_BYTES_MAX).await.map(|body| body.len()), Ok(BODY_BYTES_MAX));
        assert_eq!(read(BODY_BYTES_MAX + 1).await.unwrap_err().status, 413);
        assert_eq!(read(DISCARD_BYTES_MAX + 1).await.unwrap_err().status, 413);
    }
}
