use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower::ServiceExt;

use super::*;
use crate::config::AdminBind;

fn config(token_file: Option<PathBuf>) -> Admin {
    let bind = AdminBind::Tcp(SocketAddr::from(([127, 0, 0, 1], 9900)));
    let hosts = vec!["serin.internal".to_owned()];
    Admin { bind, token_file, read_token_file: None, metrics_bind: None, hosts }
}

/// What a request with `headers` comes to before a handler that always answers 200.
async fn answer(config: &Admin, door: Door, path: &str, headers: &[(&str, &str)]) -> Response {
    let handler = get(|| async { "ok" });
    let router = Router::new()
        .route("/healthz", handler.clone())
        .route("/v1/services", handler)
        .layer(from_fn_with_state(Guard::new(config, door), guard))
        .layer(from_fn(tidy));
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn status(door: Door, headers: &[(&str, &str)]) -> u16 {
    answer(&config(None), door, "/v1/services", headers).await.status().as_u16()
}

#[tokio::test]
async fn only_known_hosts_are_served() {
    let table = [
        ("localhost", 200),
        ("LocalHost:9900", 200),
        ("127.0.0.1:9900", 200),
        ("10.1.2.3", 200),
        ("[::1]:9900", 200),
        ("[::1]", 200),
        ("serin.internal", 200),
        ("SERIN.internal:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.localhost", 421),
        ("127.0.0.1.evil.example:9900", 421),
        ("serin.internal.evil.example", 421),
        ("localhost:9900:1", 421),
        ("localhost:evil", 421),
        ("", 400),
    ];
    for (host, want) in table {
        assert_eq!(status(Door::Tcp, &[("host", host)]).await, want, "{host}");
    }
    assert_eq!(status(Door::Tcp, &[]).await, 400, "no host");
    assert_eq!(status(Door::Tcp, &[("host", "localhost"), ("host", "evil")]).await, 400, "two");
}

#[tokio::test]
async fn the_target_names_the_host_before_the_header() {
    let headers = [("host", "localhost")];
    let target = "http://evil.example/v1/services";
    let response = answer(&config(None), Door::Tcp, target, &headers).await;
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_unix_socket_asks_for_no_host() {
    assert_eq!(status(Door::Unix, &[]).await, 200);
    assert_eq!(status(Door::Unix, &[("host", "anything")]).await, 200);
}

#[tokio::test]
async fn pages_of_another_origin_are_refused() {
    let table = [
        ("http://localhost:9900", 200),
        ("https://LOCALHOST:9900", 200),
        ("http://localhost", 403),
        ("http://localhost:9901", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ];
    for (origin, want) in table {
        let headers = [("host", "localhost:9900"), ("origin", origin)];
        assert_eq!(status(Door::Tcp, &headers).await, want, "{origin}");
    }
}

#[tokio::test]
async fn a_token_is_needed_for_all_but_probes() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "secret\n").unwrap();
    let config = config(Some(token_file));
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let headers = [&[("host", "localhost")], headers].concat();
        answer(&config, Door::Tcp, path, &headers).await.status().as_u16()
    };
    assert_eq!(ask("/healthz", &[]).await, 200);
    assert_eq!(ask("/v1/services", &[]).await, 401);
    assert_eq!(ask("/anything", &[]).await, 401);
    assert_eq!(ask("/v1/services", &[("authorization", "Bearer guess")]).await, 401);
    assert_eq!(ask("/v1/services", &[("authorization", "Bearer secret")]).await, 200);
}

#[tokio::test]
async fn errors_of_the_router_become_problems() {
    let headers = [("host", "localhost")];
    let lost = answer(&config(None), Door::Tcp, "/lost", &headers).await;
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
    assert_eq!(lost.headers()[CONTENT_TYPE], problem::CONTENT_TYPE);
    assert_eq!(lost.headers()[CACHE_CONTROL], "no-store");
}
