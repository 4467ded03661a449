//! The client against a small server of its own.

mod tls;

use std::time::Duration;

use super::sink::{Reply, Sink, reply};
use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn request(url: &Url) -> Request<'_> {
    Request { method: "GET", url, headers: &[], body: Bytes::new() }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_asked() {
    let sink = Sink::answering(reply(200, &[("X-Kind", "test")], "fine")).await;
    let headers = [
        ("x-mine".to_owned(), "a b".to_owned()),
        ("Content-Length".to_owned(), "99".to_owned()),
        ("transfer-encoding".to_owned(), "chunked".to_owned()),
        ("connection".to_owned(), "keep-alive".to_owned()),
    ];
    let url = sink.url("/path?query=1");
    let body = Bytes::from("hello");
    let request = Request { method: "POST", url: &url, headers: &headers, body };
    let answer = send(&request, LIMIT).await.unwrap();
    assert_eq!((answer.status, &answer.body[..], answer.cut), (200, &b"fine"[..], false));
    assert_eq!(answer.header("x-kind"), Some("test"));
    let [seen] = &sink.seen()[..] else { panic!("{:?}", sink.seen()) };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/path?query=1"));
    assert_eq!(seen.body, "hello");
    assert_eq!(seen.header("x-mine"), Some("a b"));
    assert_eq!(seen.header("content-length"), Some("5"));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("connection"), Some("close"));
    assert_eq!(seen.header("user-agent"), Some(AGENT));
    assert_eq!(seen.header("host"), Some(sink.address.to_string().as_str()));
}

#[tokio::test]
async fn host_and_agent_of_the_caller_replace_our_own() {
    let sink = Sink::answering(reply(204, &[], "")).await;
    let headers = [("Host".to_owned(), "shop".to_owned()), ("User-Agent".to_owned(), "me".into())];
    let url = sink.url("/");
    send(&Request { headers: &headers, ..request(&url) }, LIMIT).await.unwrap();
    let seen = &sink.seen()[0];
    let values = |name| seen.headers.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
    assert_eq!(values("host"), [&("host".to_owned(), "shop".to_owned())]);
    assert_eq!(values("user-agent"), [&("user-agent".to_owned(), "me".to_owned())]);
}

#[tokio::test]
async fn one_endpoint_is_asked_whatever_its_name_resolves_to() {
    let sink = Sink::answering(reply(200, &[], "")).await;
    let url = Url { tls: false, host: "app-green".into(), port: 3000, target: "/".into() };
    assert_eq!(send_to(sink.address, &request(&url), LIMIT).await.unwrap().status, 200);
    assert_eq!(sink.seen()[0].header("host"), Some("app-green:3000"));
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // Where `localhost` is `::1` first, nobody listens there.
    let sink = Sink::answering(reply(200, &[], "")).await;
    let url = Url { host: "localhost".into(), ..sink.url("/") };
    assert_eq!(send(&request(&url), LIMIT).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_long_body_is_cut_and_says_so() {
    for (length, cut) in [(BODY_BYTES_MAX, false), (BODY_BYTES_MAX + 1, true)] {
        let sink = Sink::answering(reply(200, &[], &"x".repeat(length))).await;
        let answer = send(&request(&sink.url("/")), LIMIT).await.unwrap();
        assert_eq!((answer.body.len(), answer.cut), (BODY_BYTES_MAX, cut), "{length}");
    }
    // One that never ends must not be waited for.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(BODY_BYTES_MAX + 1));
    let sink = Sink::answering(Reply::Bytes(endless.into())).await;
    assert!(send(&request(&sink.url("/")), LIMIT).await.unwrap().cut);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_in_time() {
    let sink = Sink::answering(Reply::Silence).await;
    let began = clock::now();
    let error = send(&request(&sink.url("/")), Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 100 ms");
    assert!(clock::now().duration_since(began) < Duration::from_secs(5));
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url =
        Url { tls: false, host: "127.0.0.1".into(), port: address.port(), target: "/".into() };
    let error = send(&request(&url), LIMIT).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}: connection refused"));
    assert_eq!(get(address, "x", "/").await, Err(error));
}

#[tokio::test]
async fn what_is_no_http_is_said_to_be_none() {
    let sink = Sink::answering(Reply::Bytes(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec())).await;
    let error = send(&request(&sink.url("/")), LIMIT).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("no HTTP answer from {}: ", sink.address)), "{error}");
    let sink = Sink::answering(Reply::Bytes(Vec::new())).await;
    let error = send(&request(&sink.url("/")), LIMIT).await.unwrap_err().to_string();
    assert!(error.ends_with(": the connection was closed"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer_but_tells_a_check_its_status() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec();
    let sink = Sink::answering(Reply::Bytes(half)).await;
    let error = send(&request(&sink.url("/")), LIMIT).await.unwrap_err();
    assert!(matches!(&error, Error::BrokeOff { status: 200, .. }), "{error:?}");
    assert_eq!(get(sink.address, "app", "/health").await, Ok(200));
    let seen = sink.seen();
    assert_eq!((seen[1].target.as_str(), seen[1].header("host")), ("/health", Some("app")));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_without_its_path() {
    let url = Url { tls: false, host: "x".into(), port: 80, target: "/secret path".into() };
    let error = message(&request(&url)).unwrap_err().to_string();
    assert!(error.starts_with("no such request can be sent: "), "{error}");
    assert!(!error.contains("secret"), "{error}");
    let url = Url { target: "/".into(), ..url };
    let headers = [("x y".to_owned(), String::new())];
    let error = message(&Request { headers: &headers, ..request(&url) }).unwrap_err().to_string();
    assert_eq!(error, "no such request can be sent: `x y` is not the name of a header");
    let headers = [("x".to_owned(), "a\r\nb: c".to_owned())];
    let error = message(&Request { headers: &headers, ..request(&url) }).unwrap_err().to_string();
    assert_eq!(error, "no such request can be sent: header `x` cannot have this value");
}

#[test]
fn the_host_field_names_the_port_only_where_it_is_unusual() {
    let table = [
        (false, "app", 80, "app"),
        (false, "app", 443, "app:443"),
        (true, "app", 443, "app"),
        (true, "app", 8443, "app:8443"),
        (false, "::1", 80, "[::1]"),
        (true, "::1", 9, "[::1]:9"),
    ];
    for (tls, host, port, want) in table {
        let url = Url { tls, host: host.into(), port, target: "/".into() };
        assert_eq!(connect::authority(&url), want);
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
    let seconds = |value| retry::after(value, now).map(|wait| wait.as_secs());
    assert_eq!(seconds("120"), Some(120));
    assert_eq!(seconds(" 0 "), Some(0));
    assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
    for bad in ["", "soon", "-1", "1.5", "Sun, 06 Nov"] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
}

#[test]
fn a_span_is_as_exact_as_people_need_it() {
    let table = [
        (0, "0 ms"),
        (340, "340 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_540, "1.5 s"),
        (2_999, "3 s"),
        (9_949, "9.9 s"),
        (9_999, "10 s"),
        (10_900, "11 s"),
        (90_000, "90 s"),
    ];
    for (ms, want) in table {
        assert_eq!(span_words(Duration::from_millis(ms)), want);
    }
}
