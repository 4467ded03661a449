//! Answers, whole and broken, and what lasts.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{collect, connect, request};
use crate::support::frames::{
    DATA, END_STREAM, Fate, FrameClient, GET, HEADERS, RST_STREAM, WEBSOCKET, frame, head,
};
use crate::support::{
    LOOPBACK, RawUpstream, Then, assert_lines, came_to, eventually, proxy_before, read_head,
};
use crate::wire::OK;

#[tokio::test]
async fn an_answer_goes_on_without_what_is_of_its_connection() {
    let answer = "HTTP/1.1 200 Fine\r\nServer: x\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                  Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nX-Stays: 1\r\nX-Stays: 2\r\n\r\n\
                  2\r\nok\r\n0\r\nx-sum: 7\r\nset-cookie: a=b\r\n\r\n";
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let (answer, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    let (head, body) = answer.await.unwrap().into_parts();
    let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "server", "via", "x-stays"], "and the date that was missing");
    assert_eq!(head.headers.get_all("x-stays").iter().count(), 2);
    let (body, trailers) = collect(body).await;
    assert_eq!(body, "ok");
    let trailers = trailers.unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"7".parse().unwrap()));
    proxy.stop().await;
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for (method, answer, length) in [
        ("HEAD", "200 OK\r\ncontent-length: 99\r\n", Some("99")),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked\r\n", None),
        ("GET", "204 No Content\r\ncontent-length: 0\r\n", None),
        ("GET", "304 Not Modified\r\ncontent-length: 99\r\n", Some("99")),
        ("GET", "200 OK\r\ncontent-length: 0\r\n", Some("0")),
    ] {
        let upstream = RawUpstream::answering(format!("HTTP/1.1 {answer}\r\n"), Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let (mut client, _connection) = connect(proxy.address).await;
        for _ in 0..2 {
            let head = request(method, "/").body(()).unwrap();
            let (answer, _) = client.send_request(head, true).unwrap();
            let answer = answer.await.unwrap();
            let said = answer.headers().get("content-length").map(|value| value.to_str().unwrap());
            assert_eq!(said, length);
            assert!(answer.body().is_end_stream(), "a body follows {length:?}");
        }
        assert_eq!(upstream.seen().len(), 1, "{answer:?} cost the connection");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ] {
        let upstream = RawUpstream::answering(answer, Then::Close).await;
        let proxy = upstream.behind_proxy("", "").await;
        let (mut client, _connection) = connect(proxy.address).await;
        let (got, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
        let error = match got.await {
            Ok(got) => collect(got.into_body()).await.1.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{answer:?}");
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_502() {
    let interims = "HTTP/1.1 103 Early\r\n\r\n".repeat(17) + OK;
    for answer in [
        "<html>ok</html>",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        &interims,
    ] {
        let upstream = RawUpstream::answering(answer, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let (mut client, _connection) = connect(proxy.address).await;
        let (got, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
        assert_eq!(got.await.unwrap().status(), 502);
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn interim_answers_reach_the_client() {
    let answer = format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{OK}");
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let (mut got, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    let hints = std::future::poll_fn(|cx| got.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!(
        (hints.status().as_u16(), &hints.headers()["link"]),
        (103, &"</a>".parse().unwrap())
    );
    assert_eq!(got.await.unwrap().status(), 200);
    proxy.stop().await;

    // A 100 comes from whoever is to read the body, once.
    let answer = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{OK}");
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let expects = [(":method", "POST"), GET[1], GET[2], GET[3], ("expect", "100-continue")];
    client.send(head(1, &expects, false)).await;
    let mut heads = vec![client.until(HEADERS).await];
    client.send(frame(DATA, END_STREAM, 1, b"x")).await;
    while heads.last().unwrap().flags & END_STREAM == 0 {
        match client.next().await.unwrap() {
            frame if frame.kind == HEADERS => heads.push(frame),
            frame if frame.flags & END_STREAM != 0 => break,
            _ => {}
        }
    }
    assert_eq!(heads.len(), 2, "one 100 and the answer");
    proxy.stop().await;
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let proxy = proxy_before(listener.local_addr().unwrap(), "", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let (answer, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    // Whoever closes without having read resets.
    assert_ne!(upstream.read(&mut [0; 4096]).await.unwrap(), 0);
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        .await
        .unwrap();
    let mut body = answer.await.unwrap().into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.write_all(event.as_bytes()).await.unwrap();
        // It comes although nothing follows it.
        let piece = tokio::time::timeout(Duration::from_secs(5), body.data()).await;
        assert_eq!(piece.unwrap().unwrap().unwrap(), event);
    }
    drop(upstream);
    let (rest, end) = collect(body).await;
    assert_eq!((rest.as_str(), end.is_ok()), ("", true), "{end:?}");
    came_to(&proxy, "2xx", 1).await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_request_that_is_still_coming_goes_on_at_once() {
    let refusal = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig";
    let upstream = RawUpstream::answering_after("x", refusal, Then::Close).await;
    let proxy = upstream.behind_proxy("limits = { body_bytes = \"64MiB\" }", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let post = request("POST", "/").body(()).unwrap();
    let (answer, mut body) = client.send_request(post, false).unwrap();
    body.send_data(Bytes::from(vec![b'x'; 1 << 20]), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(collect(answer.into_body()).await.0, "big");
    proxy.stop().await;
}

#[tokio::test]
async fn whoever_goes_on_after_its_answer_is_told_that_nobody_wants_it() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { body_bytes = \"1KiB\" }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let post = [(":method", "POST"), GET[1], GET[2], GET[3], ("content-length", "99999")];
    client.send(head(1, &post, false)).await;
    // Some clients lose an answer that a reset comes together with.
    loop {
        let frame = client.next().await.unwrap();
        assert_ne!(frame.kind, RST_STREAM, "the answer is not read yet");
        if frame.stream == 1 && frame.flags & END_STREAM != 0 {
            break;
        }
    }
    client.send(frame(DATA, 0, 1, b"more")).await;
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, reset.payload), (1, vec![0; 4]));
    client.send(head(3, &GET, true)).await;
    assert_eq!(client.fate(3).await, Fate::Status(200));
    proxy.stop().await;
}

#[tokio::test]
async fn a_websocket_over_http_2_is_an_upgrade_upstream() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let limits = "timeouts = { body_idle = \"200ms\" }";
    let upstream = listener.local_addr().unwrap();
    let proxy = proxy_before(upstream, limits, "timeouts = { total = \"300ms\" }").await;
    let (mut client, _connection) = connect(proxy.address).await;
    eventually("it is allowed", || async { client.is_extended_connect_protocol_enabled() }).await;
    // A key of the client's means nothing here, and there is to be one.
    let mut open = request("CONNECT", "/chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    open.extensions_mut().unwrap().insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, mut out) = client.send_request(open.body(()).unwrap(), false).unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let got = read_head(&mut server).await.unwrap();
    assert!(got.starts_with("GET /chat HTTP/1.1\r\nhost: a.example\r\n"), "{got}");
    let lines = ["sec-websocket-version: 13", "connection: upgrade", "upgrade: websocket"];
    assert_lines(&got, &lines);
    assert!(!got.contains("AAAA") && got.matches("sec-websocket-key").count() == 1, "{got}");
    let key = got.split("sec-websocket-key: ").nth(1).unwrap().split('\r').next().unwrap();
    assert_eq!((key.len(), &key[22..]), (24, "=="));
    server
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\nhello",
        )
        .await
        .unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{name} goes on");
    }
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    tokio::time::sleep(Duration::from_millis(600)).await;
    out.send_data(Bytes::from_static(b"late"), false).unwrap();
    let mut late = [0; 4];
    server.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"late");
    out.send_data(Bytes::new(), true).unwrap();
    assert_eq!(server.read(&mut late).await.unwrap(), 0, "the end goes on");
    drop(server);
    assert_eq!(collect(body).await.0, "");
    came_to(&proxy, "2xx", 1).await;
    proxy.stop().await;
}

/// A success would say that there is a tunnel.
#[tokio::test]
async fn a_websocket_that_an_upstream_does_not_open_is_not_open() {
    for (status, want) in [("200 OK", 502), ("204 No Content", 502), ("403 Forbidden", 403)] {
        let length = if status.starts_with("204") { "" } else { "content-length: 2\r\n\r\nok" };
        let answer = format!("HTTP/1.1 {status}\r\n{length}");
        let answer = if length.is_empty() { format!("{answer}\r\n") } else { answer };
        let upstream = RawUpstream::answering(answer, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = FrameClient::connect(proxy.address).await;
        client.send(head(1, &WEBSOCKET, false)).await;
        assert_eq!(client.fate(1).await, Fate::Status(want), "{status}");
        // Anybody can ask for what an upstream does not have.
        assert_eq!(proxy.shop().await.stable.errors, 0, "{status}");
        proxy.stop().await;
    }
}

/// That it has ended is said although there is no window left, and none may be asked for.
#[tokio::test]
async fn an_answer_as_long_as_the_window_ends() {
    let (size, body) = (0xffff, "x".repeat(0xffff));
    let answer =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n");
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let proxy = proxy_before(listener.local_addr().unwrap(), "", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    let (mut server, _) = listener.accept().await.unwrap();
    read_head(&mut server).await.unwrap();
    server.write_all(answer.as_bytes()).await.unwrap();
    let mut left = size;
    while left > 0 {
        left -= client.until(DATA).await.payload.len();
    }
    server.write_all(b"0\r\n\r\n").await.unwrap();
    let end = client.until(DATA).await;
    assert!(end.payload.is_empty() && end.flags & END_STREAM != 0, "{end:?}");
    proxy.stop().await;
}
