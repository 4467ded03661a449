//! The file: what it says, whether another would do, and reading it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Admin;
use super::input::read;
use super::problem::Problem;
use super::redact::{redacted, without_values};
use super::services;
use crate::config::Config;

type Answer = Result<Response, Problem>;

/// What a file is called that has no name yet.
const UNNAMED: &str = "proxy.toml";

/// `GET /v1/config`.
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Answer {
    let Some(path) = admin.config_path.clone() else {
        return Err(Problem::not_found("this serin runs on no file"));
    };
    let text = load(path).await?;
    let shown = redacted(&text).ok_or_else(|| {
        Problem::unavailable(
            "the file is no TOML now, so its secrets cannot be told apart; see `serin check`",
        )
    })?;
    Ok(([(CONTENT_TYPE, "application/toml")], shown).into_response())
}

async fn load(path: PathBuf) -> Result<String, Problem> {
    let shown = path.display().to_string();
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let why = match text {
        Ok(Ok(text)) => return Ok(text),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Problem::unavailable(format!("cannot read {shown}: {why}")))
}

/// `POST /v1/config/check`: whether the text in the body could be loaded.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(&headers, body).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::bad_request("the body is no text in UTF-8"))?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let path = admin.config_path.as_deref().unwrap_or_else(|| Path::new(UNNAMED));
    let warnings = checked(text, path, &environment)?;
    services::json(StatusCode::OK, &json!({ "ok": true, "warnings": warnings }))
}

/// The warnings about `text`, or all that is wrong with it.
fn checked(
    text: &str,
    path: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Value>, Problem> {
    let hide = |text_of: &str| without_values(text_of, text, environment);
    match Config::parse(text, path, environment) {
        Ok(config) => Ok(config
            .warnings
            .iter()
            .map(|w| told(w.line, w.column, &hide(&w.message), w.hint.as_deref().map(hide)))
            .collect()),
        Err(errors) => {
            let problems: Vec<Value> = errors
                .problems()
                .iter()
                .map(|p| told(p.line, p.column, &hide(&p.message), p.hint.as_deref().map(hide)))
                .collect();
            let plural = if problems.len() == 1 { "" } else { "s" };
            let detail = format!("{} problem{plural} in this file", problems.len());
            Err(Problem::invalid(detail).with("problems", Value::Array(problems)))
        }
    }
}

fn told(line: usize, column: usize, message: &str, hint: Option<String>) -> Value {
    json!({ "line": line, "column": column, "message": message, "hint": hint })
}

/// `POST /v1/config/reload`.
pub(super) async fn reload(State(admin): State<Arc<Admin>>) -> Answer {
    services::json(StatusCode::OK, &admin.ask(admin.handle.reload()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once_and_repeat_no_variable() {
        let text = "version = 1\nworkers = 1\n[admin]\nbind = \"${SECRET}\"\n";
        let environment = BTreeMap::from([("SECRET".to_owned(), "s3cret".to_owned())]);
        let problem = checked(text, Path::new("proxy.toml"), &environment).unwrap_err();
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        let response = format!("{problem:?}");
        assert!(response.contains("\"line\": Number(4)"), "{response}");
        assert!(response.contains("${SECRET}"), "{response}");
        assert!(!response.contains("s3cret"), "{response}");
    }
}
