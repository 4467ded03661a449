//! What an answer must look like, and what is said when it does not. Pure.

use std::time::Duration;

use serde_json::Value;

use super::text::{bounded, excerpt};
use crate::config::Expect;
use crate::outbound::{Answer, BODY_BYTES_MAX, span_words};

/// The most bytes of a wanted or found value that are shown.
const VALUE_BYTES_MAX: usize = 120;

/// Compares `answer`, which took `took`, with what is wanted.
///
/// # Errors
/// With all that was wanted and did not come, and the beginning of the body.
pub(super) fn meets(expect: &Expect, answer: &Answer, took: Duration) -> Result<String, String> {
    let wrong: Vec<String> = [
        status(expect, answer),
        header(expect, answer),
        json(expect, answer),
        contains(expect, answer),
        within(expect, took),
    ]
    .into_iter()
    .flatten()
    .collect();
    if wrong.is_empty() {
        return Ok(format!("status {} in {}", answer.status, span_words(took)));
    }
    Err(format!(
        "{}; the answer was {}: {}",
        wrong.join("; "),
        answer.status,
        excerpt(&answer.body)
    ))
}

fn status(expect: &Expect, answer: &Answer) -> Option<String> {
    match expect.status {
        Some(status) if status == answer.status => None,
        Some(status) => Some(format!("wanted status {status}, came {}", answer.status)),
        None if answer.is_success() => None,
        None => Some(format!("wanted a status of 200 to 299, came {}", answer.status)),
    }
}

fn header(expect: &Expect, answer: &Answer) -> Option<String> {
    let (name, wanted) = expect.header.as_ref()?;
    let mut values = answer.headers.iter().filter(|(known, _)| known == name).peekable();
    let Some((_, first)) = values.peek().copied() else {
        return Some(format!("wanted the header `{name}`, which did not come"));
    };
    let wanted = wanted.as_ref()?;
    if values.any(|(_, value)| value.contains(wanted.as_str())) {
        return None;
    }
    let came = bounded(first, VALUE_BYTES_MAX);
    Some(format!("wanted `{wanted}` in the header `{name}`, came `{came}`"))
}

fn json(expect: &Expect, answer: &Answer) -> Option<String> {
    let (pointer, wanted) = expect.json.as_ref()?;
    let wants = match wanted {
        Some(wanted) => format!("wanted {} at `{pointer}`", shown(wanted)),
        None => format!("wanted something at `{pointer}`"),
    };
    if answer.cut {
        let mib = BODY_BYTES_MAX / 1024 / 1024;
        return Some(format!("{wants}, but the body is longer than {mib} MiB"));
    }
    let body: Value = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(error) => return Some(format!("{wants}, but the body is no JSON: {error}")),
    };
    match (body.pointer(pointer), wanted) {
        (None, _) => Some(format!("{wants}, where there is nothing")),
        (Some(came), Some(wanted)) if !same(came, wanted) => {
            Some(format!("{wants}, came {}", shown(came)))
        }
        (Some(_), _) => None,
    }
}

fn contains(expect: &Expect, answer: &Answer) -> Option<String> {
    let wanted = expect.contains.as_ref()?;
    // Bytes, not text: a broken character elsewhere in the body must not hide what is there.
    let found = wanted.is_empty()
        || answer.body.windows(wanted.len()).any(|window| window == wanted.as_bytes());
    (!found).then(|| {
        let wanted = bounded(wanted, VALUE_BYTES_MAX);
        let cut = if answer.cut { ", as far as it was read" } else { "" };
        format!("wanted `{wanted}` in the body, where it is not{cut}")
    })
}

fn within(expect: &Expect, took: Duration) -> Option<String> {
    let limit = expect.within.filter(|limit| took > *limit)?;
    Some(format!("wanted the answer within {}, took {}", span_words(limit), span_words(took)))
}

/// Whether two values are the same for people: `1` is `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

fn shown(value: &Value) -> String {
    bounded(&value.to_string(), VALUE_BYTES_MAX)
}

#[cfg(test)]
mod tests;
