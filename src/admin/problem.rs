//! Why a request got no answer, as `application/problem+json` (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE as CONTENT_TYPE_HEADER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::control::Refusal;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    /// One more member, such as the list of everything that is wrong with a file.
    more: Option<(&'static str, Value)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), more: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Adds a member.
    pub(super) fn with(self, name: &'static str, value: Value) -> Self {
        Self { more: Some((name, value)), ..self }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, why) = match refusal {
            Refusal::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Refusal::Conflict(why) => (StatusCode::CONFLICT, why),
            Refusal::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
            Refusal::Stale(why) => (StatusCode::PRECONDITION_FAILED, why),
            Refusal::Failed(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        Self::new(status, why)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some((name, value)), Some(body)) = (self.more, body.as_object_mut()) {
            body.insert(name.to_owned(), value);
        }
        let content_type = [(CONTENT_TYPE_HEADER, CONTENT_TYPE)];
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then_some([(WWW_AUTHENTICATE, "Bearer realm=\"serin\"")]);
        (self.status, content_type, challenge, body.to_string()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_status() {
        let table = [
            (Refusal::NotFound("because".into()), 404),
            (Refusal::Conflict("because".into()), 409),
            (Refusal::Invalid("because".into()), 422),
            (Refusal::Stale("because".into()), 412),
            (Refusal::Failed("because".into()), 503),
        ];
        for (refusal, status) in table {
            let problem = Problem::from(refusal);
            assert_eq!((problem.status.as_u16(), problem.detail.as_str()), (status, "because"));
        }
    }

    #[tokio::test]
    async fn a_problem_says_what_it_is() {
        let problem = Problem::invalid("no").with("problems", json!([1]));
        let response = problem.into_response();
        assert_eq!(response.headers()[CONTENT_TYPE_HEADER], CONTENT_TYPE);
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let want = json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
            "detail": "no", "problems": [1],
        });
        assert_eq!(body, want);
    }

    #[test]
    fn who_showed_no_token_is_told_how() {
        let response = Problem::new(StatusCode::UNAUTHORIZED, "no").into_response();
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
}
