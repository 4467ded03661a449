//! What stands before every handler: a page of a stranger must not act through a browser that
//! happens to reach this port, by its own name (DNS rebinding) or across origins.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Tokens;
use super::problem::{self, Problem};
use crate::config::Admin;

/// Paths that need no token: whoever probes a process holds none.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// The kind of socket that a request came through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    Tcp,
    Unix,
}

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    door: Door,
    hosts: Vec<String>,
    tokens: Option<Tokens>,
}

impl Guard {
    pub(super) fn new(config: &Admin, door: Door) -> Arc<Self> {
        let tokens = config
            .token_file
            .clone()
            .map(|operate| Tokens { operate, read: config.read_token_file.clone() });
        Arc::new(Self { door, hosts: config.hosts.clone(), tokens })
    }

    async fn check(&self, request: &Parts) -> Result<(), Problem> {
        let headers = &request.headers;
        let host = host(headers, &request.uri);
        if self.door == Door::Tcp {
            self.check_host(host)?;
        }
        check_origin(headers, host.unwrap_or_default())?;
        match &self.tokens {
            Some(tokens) if !OPEN.contains(&request.uri.path()) => {
                tokens.check(&request.method, headers).await
            }
            _ => Ok(()),
        }
    }

    /// An address is no name that a stranger's DNS could point here, so every address will do.
    fn check_host(&self, host: Option<&str>) -> Result<(), Problem> {
        let Some(host) = host else {
            return Err(Problem::bad_request("a request has exactly one `Host`"));
        };
        let name = without_port(host);
        let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let known = name.eq_ignore_ascii_case("localhost")
            || inner.unwrap_or(name).parse::<IpAddr>().is_ok()
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host));
        if known {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host is not served here: ask by address or as localhost, or add it to `hosts` in [admin]",
        ))
    }
}

/// Lets a request pass, or answers it.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    match guard.check(&head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(problem) => problem.into_response(),
    }
}

/// Gives every answer the headers that it needs, and every error the shape of a problem.
pub(super) async fn tidy(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(problem) = untold(&response, &method, &path) {
        let allow = response.headers_mut().remove(ALLOW);
        response = problem.into_response();
        response.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The problem behind an error of the router's own, which is plain text or nothing.
fn untold(response: &Response, method: &Method, path: &str) -> Option<Problem> {
    let status = response.status();
    let told = response.headers().get(CONTENT_TYPE).is_some_and(|t| t == problem::CONTENT_TYPE);
    if told || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => format!("{path} does not take {method}"),
        _ => format!("{method} {path} makes no sense"),
    };
    Some(Problem::new(status, detail))
}

/// The host that is asked for: of the target where it has one (RFC 9112 §3.2.2), else the header.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut values = headers.get_all(HOST).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let header = only.to_str().ok().filter(|host| !host.is_empty())?;
    Some(uri.authority().map_or(header, |authority| authority.as_str()))
}

/// A browser says where a page came from when the page acts; only our own pages may.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let same = headers.get_all(ORIGIN).iter().all(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    if same {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "pages of another origin may not ask here"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && !name.ends_with(':') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            if digits { name } else { host }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests;
