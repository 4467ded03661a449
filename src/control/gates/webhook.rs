//! A question to somebody who decides: 2xx is a yes, 202 is "ask again later", anything else is a no.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::text::excerpt;
use super::{Failed, Passed};
use crate::clock;
use crate::config::Url;
use crate::outbound::{self, Request, span_words};

/// How long is waited after a 202 that does not say.
const WAIT: Duration = Duration::from_secs(5);
/// The shortest and the longest wait after a 202.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Posts `question` to `url` until the answer is a yes or a no, or until `until`. Every POST of one
/// question has the same body but for `attempt`, which is counted from 1.
pub(super) async fn ask(url: &Url, question: Value, until: Instant) -> Result<Passed, Failed> {
    let began = clock::now();
    let headers = [
        ("content-type".to_owned(), "application/json".to_owned()),
        ("accept".to_owned(), "application/json, text/plain;q=0.9, */*;q=0.1".to_owned()),
    ];
    let mut question = question;
    let mut attempt = 0_u32;
    loop {
        attempt += 1;
        if let Value::Object(fields) = &mut question {
            fields.insert("attempt".into(), attempt.into());
        }
        let body = Bytes::from(question.to_string());
        let request = Request { method: "POST", url, headers: &headers, body };
        let left = until.saturating_duration_since(clock::now());
        // The path may hold a secret, so only the host is named.
        let host = &url.host;
        let answer = outbound::send(&request, left)
            .await
            .map_err(|error| Failed::new(format!("{host}: {error}")))?;
        let said = excerpt(&answer.body);
        if !answer.is_success() {
            return Err(Failed::new(format!("{host} answered {}: {said}", answer.status)));
        }
        if answer.status != 202 {
            return Ok(Passed {
                words: format!("{host} answered {}", answer.status),
                output: None,
            });
        }
        let wait = answer.retry_after().unwrap_or(WAIT).clamp(WAIT_MIN, WAIT_MAX);
        if clock::now() + wait >= until {
            let waited = span_words(until.saturating_duration_since(began));
            return Err(Failed::new(format!(
                "{host} has not decided within {waited} (asked {attempt} times, answered 202 at last: {said})"
            )));
        }
        sleep(wait).await;
    }
}
