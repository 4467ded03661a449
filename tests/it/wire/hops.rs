//! What the next hop is told of those before it, in both protocols.

use super::OK;
use crate::support::frames::{Fate, FrameClient, GET, HEADERS, head};
use crate::support::{RawUpstream, TestProxy, Then, assert_lines, closed_after};

type Fields = [(&'static str, &'static str)];

const CLAIMS: [(&str, &str); 8] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil"),
    ("forwarded", "for=6.6.6.6;proto=https"),
    ("x-real-ip", "6.6.6.6"),
    ("x_forwarded_proto", "https"),
    ("x_forwarded_host", "evil"),
    ("x_real_ip", "6.6.6.6"),
];

/// What an upstream gets of requests with `fields`, over HTTP/1.1 and over HTTP/2.
async fn seen(proxy: &TestProxy, upstream: &RawUpstream, fields: &Fields) -> [String; 2] {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let before = upstream.seen().concat().len();
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
    assert!(closed_after(proxy.address, request).await.starts_with("HTTP/1.1 200 "));
    let first = upstream.seen().concat()[before..].to_owned();
    let before = upstream.seen().concat().len();
    let mut client = FrameClient::connect(proxy.address).await;
    let all: Vec<_> = GET.iter().chain(fields).copied().collect();
    client.send(head(1, &all, true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    [first, upstream.seen().concat()[before..].to_owned()]
}

#[tokio::test]
async fn what_a_stranger_claims_is_replaced() {
    let upstream = RawUpstream::answering(OK, Then::Close).await;
    let proxy = upstream.behind_proxy("", "").await;
    for seen in seen(&proxy, &upstream, &CLAIMS).await {
        let lines = [
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-forwarded-host: a",
            "forwarded: for=127.0.0.1;proto=http",
            "x-real-ip: 127.0.0.1",
        ];
        assert_lines(&seen, &lines);
        for claim in ["6.6.6.6", "https", "evil", "_"] {
            assert!(!seen.contains(claim), "{claim} was believed: {seen}");
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_added_to() {
    let upstream = RawUpstream::answering(OK, Then::Close).await;
    let proxy = upstream.behind_proxy("trusted_proxies = [\"127.0.0.0/8\"]", "").await;
    for seen in seen(&proxy, &upstream, &CLAIMS).await {
        let lines = [
            "x-forwarded-for: 6.6.6.6, 127.0.0.1",
            "x-forwarded-proto: https",
            "x-forwarded-host: evil",
            "forwarded: for=6.6.6.6;proto=https, for=127.0.0.1;proto=http",
            "x-real-ip: 6.6.6.6",
        ];
        assert_lines(&seen, &lines);
        assert!(!seen.contains('_'), "a look-alike goes on: {seen}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_of_a_hop_ends_and_what_is_not_goes_on() {
    let upstream = RawUpstream::answering(OK, Then::Close).await;
    let proxy = upstream.behind_proxy("", "").await;
    let fields = [
        ("te", "trailers"),
        ("http2-settings", "AAMAAABk"),
        ("proxy-authorization", "x"),
        ("authorization", "Basic eA=="),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Tue, 24 Nov 2026 08:00:00 GMT"),
        ("via", "1.0 fred"),
    ];
    for (seen, version) in seen(&proxy, &upstream, &fields).await.into_iter().zip(["1.1", "2"]) {
        assert!(!seen.contains("http2-settings") && !seen.contains("proxy-auth"), "{seen}");
        let via = format!("via: 1.0 fred, {version} serin");
        let kept = fields[3..6].iter().map(|(name, value)| format!("{name}: {value}"));
        let kept: Vec<String> = kept.chain([via]).collect();
        assert_lines(&seen, &kept.iter().map(String::as_str).collect::<Vec<_>>());
        assert_lines(&seen, &["te: trailers", "connection: te"]);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn answers_say_that_they_passed_here_unless_they_are_not_to() {
    let answer = "HTTP/1.1 200 OK\r\nvia: 1.0 fred\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for (listener, is_told) in [("", true), ("via = false", false)] {
        let proxy = upstream.behind_proxy(listener, "").await;
        let got = closed_after(proxy.address, last).await;
        assert!(got.contains("\r\nvia: 1.0 fred\r\n"), "{got}");
        assert_eq!(got.contains("\r\nvia: 1.1 serin\r\n"), is_told, "{got}");
        let mut client = FrameClient::connect(proxy.address).await;
        client.send(head(1, &GET, true)).await;
        let head = client.until(HEADERS).await.payload;
        let head = String::from_utf8_lossy(&head);
        assert!(head.contains("1.0 fred"), "{head}");
        assert_eq!(head.contains("1.1 serin"), is_told, "{head}");
        // What goes upstream always says so, or two proxies could send it in circles for ever.
        assert!(upstream.seen().concat().contains("\r\nvia: 1.1 serin\r\n"));
        proxy.stop().await;
    }
}
