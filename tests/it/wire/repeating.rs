//! Upstreams that cannot be reached, say nothing, or never end: who else is asked, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::OK;
use super::http2::{connect, request};
use crate::support::{
    LOOPBACK, RawClient, RawUpstream, TestProxy, Then, closed_after, config, eventually,
    proxy_before, read_head,
};

const LAST_GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A proxy whose stable pool has these endpoints, which nothing checks and which take turns.
async fn proxy_between(endpoints: &[SocketAddr], timeouts: &str) -> TestProxy {
    let quoted: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    let pool = format!("balance = \"round-robin\"\nendpoints = [{}]", quoted.join(", "));
    let keys = format!("health = {{ off = true }}\ntimeouts = {{ {timeouts} }}");
    let text = config(&[], &[], &keys, "").replacen("endpoints = []", &pool, 1);
    let text = text.replace("endpoints = []", &format!("endpoints = [\"{}\"]", endpoints[0]));
    TestProxy::start(&text).await
}

#[tokio::test]
async fn a_request_is_repeated_once_however_many_could_be_asked() {
    let mute = || RawUpstream::answering("", Then::Close);
    let upstreams = [mute().await, mute().await, mute().await, mute().await];
    let proxy = proxy_between(&upstreams.each_ref().map(|one| one.address), "").await;
    for number in 1..=3 {
        let got = closed_after(proxy.address, LAST_GET).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
        let asked: usize = upstreams.iter().map(|upstream| upstream.seen().len()).sum();
        assert_eq!(asked, 2 * number);
    }
    proxy.stop().await;
}

/// Takes no connection, and refuses none: its queue is full.
async fn deaf() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(LOOPBACK).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(200);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connection_costs_no_request_while_another_does() {
    let (address, _listener, _waiting) = deaf().await;
    let refused = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let upstream = RawUpstream::answering_after("body", OK, Then::Keep).await;
    let endpoints = [address, refused, upstream.address];
    let proxy = proxy_between(&endpoints, "connect = \"200ms\"").await;
    for number in 0..4 {
        // A body may go to another, too, while none of it was sent.
        if number % 2 == 0 {
            let post =
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
            let got = closed_after(proxy.address, post).await;
            assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        } else {
            let (mut client, _connection) = connect(proxy.address).await;
            let post = request("POST", "/").header("content-length", "4").body(()).unwrap();
            let (answer, mut body) = client.send_request(post, false).unwrap();
            body.send_data("body".into(), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_504() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let keys = "timeouts = { total = \"300ms\" }";
    let proxy = upstream.behind_proxy("", keys).await;
    let got = closed_after(proxy.address, LAST_GET).await;
    assert!(got.starts_with("HTTP/1.1 504 "), "{got}");
    eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
    proxy.stop().await;
}

/// Neither by silence nor drop by drop.
#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_broken_off() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dripping = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let proxy = proxy_before(address, "", "timeouts = { total = \"1500ms\" }").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(LAST_GET).await;
    // All of it would take five minutes.
    let ended = tokio::time::timeout(Duration::from_secs(10), client.rest()).await;
    let (got, _) = ended.expect("it goes on");
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with('x'), "{got}");
    eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
    proxy.stop().await;
    dripping.await.unwrap();
}
