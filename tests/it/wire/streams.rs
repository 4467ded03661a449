//! What lasts: tunnels, streams of events, and how connections end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::OK;
use crate::support::frames::{DATA, FrameClient, HEADERS, WEBSOCKET, frame, head};
use crate::support::{LOOPBACK, RawClient, RawUpstream, Then, came_to, eventually, read_head};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: x\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: y\r\n\r\nhello";

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_until_one_side_ends_it() {
    let upstream = RawUpstream::answering(SWITCHES, Then::Keep).await;
    // Neither of these is for tunnels.
    let limits = "timeouts = { body_idle = \"1s\" }";
    let proxy = upstream.behind_proxy(limits, "timeouts = { total = \"1s\" }").await;
    let mut client = RawClient::connect(proxy.address).await;
    // What is sent along with the request belongs to the tunnel.
    client.send(format!("{UPGRADE}early")).await;
    let got = client.until("hello").await;
    assert!(got.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{got}");
    for field in
        ["connection: upgrade\r\n", "upgrade: websocket\r\n", "Sec-WebSocket-Accept: y\r\n"]
    {
        assert!(got.contains(field), "{field} is missing: {got}");
    }
    assert!(!got.contains("chunked") && !got.contains("content-length"), "{got}");
    eventually("what came early goes on", || async { upstream.only().ends_with("early") }).await;
    assert!(upstream.only().contains("\r\nupgrade: websocket\r\n"), "{}", upstream.only());
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    client.send("late\r\n\r\n").await;
    assert!(
        client.until("hello").await.starts_with("HTTP/1.1 101"),
        "the upstream's second answer"
    );
    assert!(upstream.only().ends_with("earlylate\r\n\r\n"), "{}", upstream.only());
    client.0.shutdown().await.unwrap();
    eventually("the upstream hears of the end", || async { upstream.closed() == 1 }).await;
    assert_eq!(client.rest().await.0, "");
    came_to(&proxy, "2xx", 1).await;
    proxy.stop().await;
}

/// What a request may wait for is no limit of what it became.
#[tokio::test]
async fn a_tunnel_may_be_silent_from_the_beginning() {
    let switches = SWITCHES.trim_end_matches("hello");
    let upstream = RawUpstream::answering(switches, Then::Keep).await;
    let limits = "timeouts = { first_byte = \"1s\", total = \"1s\" }";
    let proxy = upstream.behind_proxy("", limits).await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(UPGRADE).await;
    client.until("\r\n\r\n").await;
    let mut stream = FrameClient::connect(proxy.address).await;
    stream.send(head(1, &WEBSOCKET, false)).await;
    stream.until(HEADERS).await;
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    client.send("late\r\n\r\n").await;
    assert_eq!(client.until("y\r\n\r\n").await, switches, "the upstream's second answer");
    stream.send(frame(DATA, 0, 1, b"late\r\n\r\n")).await;
    assert_eq!(stream.until(DATA).await.payload, switches.as_bytes());
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_is_not_granted_is_a_request_like_any_other() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client
        .send(format!("{UPGRADE}GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
        .await;
    let (got, _) = client.rest().await;
    assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 2, "{got}");
    assert!(upstream.only().contains("GET /next HTTP/1.1\r\n"));
    proxy.stop().await;
}

#[tokio::test]
async fn nobody_is_upgraded_to_what_nobody_asked_for() {
    for upgrade in ["Upgrade: tea\r\n", ""] {
        let answer = SWITCHES.replace("Upgrade: websocket\r\n", upgrade);
        let upstream = RawUpstream::answering(answer, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        client.send(UPGRADE).await;
        assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 502 "));
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn nobody_is_upgraded_to_what_hides_requests() {
    let upstream = RawUpstream::answering(SWITCHES, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(UPGRADE.replace("websocket", "h2c")).await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 502 "));
    assert!(!upstream.only().to_lowercase().contains("upgrade"), "{}", upstream.only());
    proxy.stop().await;
}

#[tokio::test]
async fn events_pass_one_by_one_and_a_client_that_leaves_ends_them() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    let events = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            .await
            .unwrap();
        for number in 0.. {
            let event = format!("data: {number}\n\n");
            if stream.write_all(event.as_bytes()).await.is_err() {
                return number;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("the range has no end")
    });
    let proxy = crate::support::proxy_before(address, "", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for number in 0..5 {
        client.until(&format!("data: {number}\n\n\r\n")).await;
    }
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(20), events).await;
    ended.expect("the upstream never heard of it").unwrap();
    came_to(&proxy, "abandoned", 1).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_answer_takes_its_request_along() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let proxy = crate::support::proxy_before(listener.local_addr().unwrap(), "", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    upstream.write_all(head).await.unwrap();
    client.until("\r\n\r\n").await;
    drop(client);
    // Nothing is sent any more that the client could refuse.
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), upstream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the upstream never heard of it");
    came_to(&proxy, "abandoned", 1).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_is_told_to_go_when_the_proxy_is_about_to() {
    let upstream = crate::support::Upstream::start("blue").await;
    upstream.does(crate::support::Behaviour::Slow(Duration::from_millis(300)));
    let text = crate::support::config(&[&upstream], &[&upstream], "", "");
    let proxy = crate::support::TestProxy::start(&text).await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it goes on", || async { upstream.hits() == 1 }).await;
    let (stopped, rest) = tokio::join!(proxy.stop(), client.rest());
    let (got, clean) = rest;
    assert!(clean && got.contains("\r\nconnection: close\r\n") && got.ends_with("blue"), "{got}");
    drop(stopped);
}

/// Large bodies are moved by the kernel, so what comes out is looked at byte by byte.
#[tokio::test]
async fn a_large_answer_arrives_as_it_is_and_one_that_breaks_off_is_short_and_charged() {
    const SIZE: usize = 5 << 20;
    let body: Vec<u8> = (0..SIZE).map(|at| (at % 251).to_le_bytes()[0]).collect();
    for missing in [0, 1, SIZE - (300 << 10)] {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").into_bytes();
        answer.extend_from_slice(&body[..SIZE - missing]);
        let then = if missing == 0 { Then::Keep } else { Then::Close };
        let upstream = RawUpstream::answering(answer, then).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        for _ in 0..if missing == 0 { 2 } else { 1 } {
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut got = Vec::new();
            let whole =
                |got: &[u8]| got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4 + SIZE);
            while whole(&got[..got.len().min(1000)]) != Some(got.len()) {
                match client.0.read_buf(&mut got).await {
                    Ok(1..) => {}
                    _ => break,
                }
            }
            let start = whole(&got[..1000]).unwrap() - SIZE;
            assert!(body.starts_with(&got[start..]), "it was changed on its way");
            assert_eq!(got.len() - start, SIZE - missing);
        }
        let errors = u64::from(missing > 0);
        eventually("it is charged", || async { proxy.shop().await.stable.errors == errors }).await;
        assert_eq!(upstream.seen().len(), 1);
        proxy.stop().await;
    }
}
