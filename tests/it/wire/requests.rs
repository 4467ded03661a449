//! Requests: what is refused, and what goes upstream of those that are not.

use super::OK;
use crate::support::{RawClient, RawUpstream, Then, came_to, closed_after, eventually};

#[tokio::test]
async fn nothing_of_a_bad_request_is_ever_forwarded() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { body_bytes = \"1KiB\" }", "").await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(9 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    let big = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(40 << 10));
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}");
    let get = |line: &str, fields: &str| format!("{line}\r\nhost: a\r\n{fields}\r\n");
    #[rustfmt::skip]
    let table: Vec<(String, u16)> = vec![
        (post("content-length: 3\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: chunked\r\ncontent-length: 3\r\n", "0\r\n\r\n"), 400),
        (post("content-length: 3\r\ncontent-length: 3\r\n", "abc"), 400),
        (post("content-length: 3, 3\r\n", "abc"), 400),
        (post("content-length: +3\r\n", "abc"), 400),
        (post("content-length: -1\r\n", ""), 400),
        (post("content-length: 0x3\r\n", "abc"), 400),
        (post("content-length:\r\n", ""), 400),
        (post("content-length: 99999999999999999999\r\n", ""), 400),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        (post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding:\tchunked\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: chunked\t\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400),
        (post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        (post("transfer-encoding: identity\r\n", ""), 501),
        (get("GET / HTTP/1.1", "x : y\r\n"), 400),
        (get("GET / HTTP/1.1", ": y\r\n"), 400),
        (get("GET / HTTP/1.1", "x\r\n"), 400),
        (get("GET / HTTP/1.1", "x@: y\r\n"), 400),
        (get("GET / HTTP/1.1", "x: a\0b\r\n"), 400),
        (get("GET / HTTP/1.1", "x: a\rb\r\n"), 400),
        (get("GET / HTTP/1.1", "x: a\r\n b\r\n"), 400),
        ("GET / HTTP/1.1\nhost: a\n\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        (get("GET / HTTP/1.1", "host: b\r\n"), 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: u@a\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: a,b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n".into(), 400),
        (get("GET x HTTP/1.1", ""), 400),
        (get("GET * HTTP/1.1", ""), 400),
        (get("GET /#a HTTP/1.1", ""), 400),
        (get("GET /a b HTTP/1.1", ""), 400),
        (get("GET /\x01 HTTP/1.1", ""), 400),
        (get("GET /\u{e9} HTTP/1.1", ""), 400),
        (get("CONNECT a:80 HTTP/1.1", ""), 405),
        (get("TRACE / HTTP/1.1", ""), 405),
        ("GET /\r\n".into(), 400),
        (get("GET / HTTP/0.9", ""), 400),
        (get("GET / HTTP/1.10", ""), 400),
        (get("GET / http/1.1", ""), 400),
        (get("GET / HTTQ/1.1", ""), 400),
        (get("GET / HTTP/1.2", ""), 505),
        (get("GET / HTTP/2.0", ""), 505),
        (get("GET / HTTP/1.1", "expect: tea\r\n"), 417),
        (post("content-length: 1025\r\n", ""), 413),
        (long, 414),
        (many, 431),
        (big, 431),
    ];
    for (bytes, status) in table {
        let what = bytes.chars().take(80).collect::<String>();
        // A second request rides along: it must not be served either.
        let answer =
            closed_after(proxy.address, bytes + "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = answer.await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what:?} got {answer:?}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{what:?} got {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what:?} got {answer:?}");
    }
    assert_eq!(upstream.seen(), [""; 0], "something was forwarded");
    proxy.stop().await;
}

#[tokio::test]
async fn a_good_request_goes_on_byte_for_byte_but_for_what_ends_here() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    let kept = "Host: A.example:80\r\nRange: bytes=0-1\r\nIf-None-Match:  \"x\"  \r\nX-Empty:\r\n\
                ACCEPT-encoding: br\r\nAuthorization: Basic eA==\r\nCookie: a=b; c=d\r\n\
                X-Latin: caf\u{e9}\r\n";
    let dropped = "Connection: X-Mine, host, x-forwarded-for\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
                   Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\
                   TE: gzip\r\nProxy-Authorization: x\r\nX-Forwarded_For: 6.6.6.6\r\n\
                   x_real_ip: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n";
    client.send(format!("\r\n\r\nGET /a%20b?c=d&e HTTP/1.1\r\n{kept}{dropped}\r\n")).await;
    client.until("ok").await;
    let ours = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\
                x-forwarded-host: A.example:80\r\nvia: 1.1 serin\r\n";
    assert_eq!(upstream.only(), format!("GET /a%20b?c=d&e HTTP/1.1\r\n{kept}{ours}\r\n"));
    proxy.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = RawUpstream::answering_after("\r\n\r\n", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    let requests: String =
        ["/1", "/2", "/3"].map(|path| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).concat();
    client.send(requests + "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let (got, _) = client.rest().await;
    let statuses: Vec<_> =
        got.match_indices("HTTP/1.1 ").map(|(at, _)| &got[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "200", "204"], "{got}");
    let seen = upstream.only();
    let order = ["/1", "/2", "/3"].map(|path| seen.find(path).unwrap());
    assert!(order.is_sorted(), "{seen}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_request_that_is_answered_here_costs_the_connection_only_with_its_body_unread() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "paths = [\"/shop\"]").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
    client.send("GET /shop HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let got = client.until("\r\n\r\nok").await;
    assert!(got.starts_with("HTTP/1.1 404 ") && !got.contains("connection: close"), "{got}");
    client.send("POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo").await;
    let (got, clean) = client.rest().await;
    assert!(clean && got.contains("\r\nconnection: close\r\n"), "{got}");
    assert_eq!(upstream.only().matches("HTTP/1.1").count(), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn options_go_as_far_as_they_say() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let options = |forwards| {
        format!(
            "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: {forwards}\r\nconnection: close\r\n\r\n"
        )
    };
    let answer = closed_after(proxy.address, options(0)).await;
    assert!(answer.starts_with("HTTP/1.1 204 ") && answer.contains("allow: GET"), "{answer}");
    assert!(upstream.seen().is_empty());
    let answer = closed_after(proxy.address, options(3)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(upstream.only().contains("\r\nmax-forwards: 2\r\n"));
    proxy.stop().await;
}

#[tokio::test]
async fn http_1_0_is_served_without_chunks_and_kept_only_where_asked() {
    let chunked = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let upstream = RawUpstream::answering(chunked, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let answer = closed_after(proxy.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ndate: x\r\nvia: 1.1 serin\r\nconnection: close\r\n\r\nok"
    );
    let seen = upstream.only();
    assert!(seen.starts_with("GET / HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nhost: {}\r\n", upstream.address)), "{seen}");
    assert!(!seen.contains("x-forwarded-host"), "none was named: {seen}");
    proxy.stop().await;

    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    for _ in 0..2 {
        let expects = "expect: 100-continue\r\nconnection: keep-alive";
        client.send(format!("GET / HTTP/1.0\r\nhost: a\r\n{expects}\r\n\r\n")).await;
        let answer = client.until("\r\n\r\nok").await;
        assert!(answer.contains("\r\nconnection: keep-alive\r\n"), "{answer}");
    }
    assert!(upstream.only().contains("via: 1.0 serin"));
    assert!(!upstream.only().contains("expect"), "a 1.0 client expects nothing");
    proxy.stop().await;
}

#[tokio::test]
async fn a_bad_chunk_is_the_clients_fault_and_aborts_the_request() {
    let long = format!("1;{}\r\na\r\n", "x".repeat(5 << 10));
    for bad in
        ["+1\r\na\r\n", "0x1\r\na\r\n", "fffffffffffffffff\r\n", "1\na\r\n", "1\r\nab", &long]
    {
        let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        client
            .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            .await;
        eventually("it goes on", || async { upstream.seen().concat().ends_with("2\r\nok\r\n") })
            .await;
        client.send(bad).await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?} got {answer:?}");
        eventually("the upstream hears of it", || async { upstream.closed() == 1 }).await;
        assert!(upstream.only().ends_with("2\r\nok\r\n"), "{bad:?}: {}", upstream.only());
        came_to(&proxy, "bad_request", 1).await;
        assert_eq!(proxy.shop().await.stable.errors, 0, "charged for {bad:?}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn chunks_are_written_anew_and_trailers_that_frame_or_route_are_dropped() {
    let upstream = RawUpstream::answering_after("0\r\nx-sum: 7\r\n\r\n", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
             003;sign=\"x\"\r\nabc\r\n1\r\nd\r\n0\r\ncontent-length: 9\r\nHost: evil\r\nx-sum: 7\r\n\
             transfer_encoding: x\r\nauthorization: x\r\nset-cookie: x\r\n\r\n",
        )
        .await;
    client.until("\r\n\r\nok").await;
    let seen = upstream.only();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.matches("transfer-encoding: chunked").count(), 1, "{head}");
    assert_eq!(body, "4\r\nabcd\r\n0\r\nx-sum: 7\r\n\r\n");
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_that_ends_its_half_is_answered_and_one_that_has_gone_is_not_waited_for() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let gone = RawClient::connect(proxy.address).await;
    let mut gone = gone;
    gone.send("GET /gone HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it goes on", || async { upstream.seen().concat().contains("/gone") }).await;
    drop(gone);
    eventually("it is given up", || async { upstream.closed() == 1 }).await;
    came_to(&proxy, "abandoned", 1).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;

    // Longer than it takes to look after a client.
    let upstream = crate::support::Upstream::start("blue").await;
    upstream.does(crate::support::Behaviour::Slow(std::time::Duration::from_millis(900)));
    let text = crate::support::config(&[&upstream], &[&upstream], "", "");
    let proxy = crate::support::TestProxy::start(&text).await;
    let mut half = RawClient::connect(proxy.address).await;
    half.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    tokio::io::AsyncWriteExt::shutdown(&mut half.0).await.unwrap();
    let (answer, clean) = half.rest().await;
    assert!(clean && answer.contains("HTTP/1.1 200 ") && answer.ends_with("blue"), "{answer}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_hundred_is_passed_on_once_and_only_to_who_asked() {
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                  HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client
        .send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let interim = client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    let got = interim + &client.rest().await.0;
    assert_eq!(got.matches(" 100 ").count(), 1, "{got}");
    assert!(upstream.only().contains("\r\nExpect: 100-continue\r\n"));
    // Without it an upstream would wait for a body, and nobody for it.
    let fields = "host: a\r\nconnection: close, expect\r\nexpect: 100-continue\r\n";
    closed_after(proxy.address, format!("PUT / HTTP/1.1\r\n{fields}content-length: 4\r\n\r\nbody"))
        .await;
    assert!(upstream.seen().concat().contains("\r\nexpect: 100-continue\r\n"));
    let got =
        closed_after(proxy.address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(got.contains("HTTP/1.1 200 ") && !got.contains(" 100 "), "{got}");
    proxy.stop().await;
}
