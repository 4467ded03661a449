//! Clients that break off, and what is on its way for them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::OK;
use super::http2::POST;
use crate::support::frames::{DATA, FrameClient, GET, GOAWAY, frame, head};
use crate::support::{
    Behaviour, LOOPBACK, PATIENCE, RawClient, RawUpstream, Then, Upstream, came_to, eventually,
    proxy_before, read_head,
};

const BODIES: &str = "limits = { body_bytes = \"1GiB\" }";
const UPLOAD: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";

#[tokio::test]
async fn a_body_that_stops_coming_is_a_408_and_the_upstream_is_left() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { body_idle = \"300ms\" }", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(UPLOAD).await;
    let (got, _) = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    eventually("the upstream's connection is closed", || async { upstream.closed() == 1 }).await;
    assert!(upstream.only().ends_with("\r\n\r\n2\r\nok\r\n"), "it looks whole");
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_body_takes_its_request_along() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(UPLOAD).await;
    let comes = || async { upstream.seen().concat().ends_with("2\r\nok\r\n") };
    eventually("it goes on", comes).await;
    drop(client);
    eventually("it is given up", || async { upstream.closed() == 1 }).await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send([head(1, &POST, false), frame(DATA, 0, 1, b"ok")].concat()).await;
    eventually("it goes on", || async { upstream.seen().len() == 2 && comes().await }).await;
    drop(client);
    eventually("it is given up", || async { upstream.closed() == 2 }).await;
    assert!(!upstream.seen().concat().contains("\r\n0\r\n"), "one looks whole");
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

/// There is no status left to say it with.
#[tokio::test]
async fn a_bad_chunk_after_the_answer_has_begun_breaks_it_off() {
    // A failure that the upstream has admitted is one whatever the client does then.
    for (status, errors) in [("200 OK", 0), ("500 Internal Server Error", 1)] {
        let half = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        let upstream = RawUpstream::answering_after("2\r\nok\r\n", half, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        client.send(UPLOAD).await;
        client.until("4\r\nhalf\r\n").await;
        client.send("+1\r\na\r\n").await;
        let (got, _) = client.rest().await;
        assert!(!got.contains("0\r\n\r\n"), "it looks whole: {got}");
        eventually("the upstream hears of it", || async { upstream.closed() == 1 }).await;
        assert!(upstream.only().ends_with("2\r\nok\r\n"), "{}", upstream.only());
        let charged = || async { proxy.shop().await.stable.errors == errors };
        eventually("it is charged, or is not", charged).await;
        proxy.stop().await;
    }
}

/// The answer before it said that the connection stays.
#[tokio::test]
async fn a_request_that_is_there_when_a_drain_begins_is_served() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let proxy = proxy_before(listener.local_addr().unwrap(), "", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_head(&mut upstream).await.unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await.unwrap();
    assert!(!client.until("half").await.contains("connection"));
    client.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let address = proxy.address;
    let stopping = tokio::spawn(proxy.stop());
    eventually("nobody listens", || async { TcpStream::connect(address).await.is_err() }).await;
    upstream.write_all(b"half").await.unwrap();
    assert!(read_head(&mut upstream).await.unwrap().starts_with("GET /2 "));
    upstream.write_all(OK.as_bytes()).await.unwrap();
    let (got, clean) = client.rest().await;
    assert!(clean && got.starts_with("halfHTTP/1.1 200 ") && got.ends_with("ok"), "{got}");
    assert!(got.contains("\r\nconnection: close\r\n"), "{got}");
    stopping.await.unwrap();
}

/// That it ended its half may have been seen while the request before was served.
#[tokio::test]
async fn a_client_that_leaves_after_its_second_request_takes_it_along() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let limits = "timeouts = { first_byte = \"1h\", total = \"1h\" }";
    let proxy = proxy_before(listener.local_addr().unwrap(), "", limits).await;
    let mut client = RawClient::connect(proxy.address).await;
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.send(get.repeat(2)).await;
    client.0.shutdown().await.unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_head(&mut upstream).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    upstream.write_all(OK.as_bytes()).await.unwrap();
    read_head(&mut upstream).await.unwrap();
    drop(client);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, upstream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the upstream never heard of it");
    proxy.stop().await;
}

/// A client that is told the last stream that is answered must not be told of a later one
/// (RFC 9113 §6.8).
#[tokio::test]
async fn a_client_that_ended_its_half_hears_of_no_drain() {
    let upstream = Upstream::start("blue").await;
    upstream.does(Behaviour::Wait);
    let proxy = proxy_before(upstream.address, "", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    eventually("it is asked", || async { upstream.hits() == 1 }).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.until(GOAWAY).await.payload, [0, 0, 0, 1, 0, 0, 0, 0]);
    let address = proxy.address;
    let stopping = tokio::spawn(proxy.stop());
    eventually("nobody listens", || async { TcpStream::connect(address).await.is_err() }).await;
    // Whoever is told of a drain is told as soon as it begins.
    tokio::time::sleep(Duration::from_millis(200)).await;
    upstream.may_answer();
    let mut frames = Vec::new();
    while let Some(frame) = client.next().await {
        frames.push(frame);
    }
    assert!(frames.iter().all(|frame| frame.kind != GOAWAY), "{frames:?}");
    assert_eq!(frames.last().map(|frame| &frame.payload[..]), Some(&b"blue"[..]));
    stopping.await.unwrap();
}

/// What it has asked besides does not hide that it has gone.
#[tokio::test]
async fn a_client_that_leaves_more_than_one_request_takes_them_all_along() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("it is asked", || async { upstream.seen().len() == 1 }).await;
    client.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Now it has been read, and waits.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(client);
    eventually("it is given up", || async { upstream.closed() == 1 }).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    // Now it asks nobody any more, and whoever it has asked is seen before the last.
    proxy.stop().await;
    let mut last = RawClient::connect(upstream.address).await;
    last.send("the last").await;
    let has_last = || async { upstream.seen().iter().any(|seen| seen == "the last") };
    eventually("all is seen", has_last).await;
    let seen = upstream.seen();
    assert!(seen.len() == 2 && !seen.concat().contains("/2"), "{seen:?}");
}

/// Where the client is not read from, nothing that it sends tells that it has gone.
#[tokio::test]
async fn a_client_that_is_not_read_from_and_leaves_takes_its_request_along() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let limits = "timeouts = { first_byte = \"1h\", total = \"1h\" }";
    let proxy = proxy_before(listener.local_addr().unwrap(), BODIES, limits).await;
    let ahead = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let upload = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n";
    let body = vec![b'x'; 64 << 20];
    let mut gone = 1;
    // An answer that has begun and says nothing more is left, too.
    let mut client = RawClient::connect(proxy.address).await;
    client.send(&ahead).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_head(&mut upstream).await.unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    client.until("half").await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    came_to(&proxy, "abandoned", 1).await;
    // The end of an upload that is stuck is behind what is not read: it does not come.
    for (what, request, body, ends) in
        [("more", &ahead[..], &[][..], &[false, true][..]), ("an upload", upload, &body, &[true])]
    {
        for &is_reset in ends {
            let mut client = RawClient::connect(proxy.address).await;
            client.send(request).await;
            let (mut upstream, _) = listener.accept().await.unwrap();
            read_head(&mut upstream).await.unwrap();
            // As much as all buffers on the way hold.
            let sending = client.0.write_all(body);
            let is_stuck = tokio::time::timeout(Duration::from_secs(1), sending).await.is_err();
            assert_eq!(is_stuck, !body.is_empty());
            if is_reset {
                client.0.set_zero_linger().unwrap();
            }
            drop(client);
            // Neither reading nor writing here, which would tell it.
            gone += 1;
            came_to(&proxy, "abandoned", gone).await;
            assert_eq!(proxy.shop().await.stable.errors, 0, "{what}");
        }
    }
    proxy.stop().await;
}

/// Its end says nothing more when it closes: it has to be told something that it refuses.
#[tokio::test]
async fn a_client_that_ended_its_half_and_then_leaves_takes_its_request_along() {
    let upstream = Upstream::start("blue").await;
    upstream.does(Behaviour::Hang);
    let limits = "timeouts = { first_byte = \"1h\", total = \"1h\" }";
    let proxy = proxy_before(upstream.address, "", limits).await;

    let mut client = RawClient::connect(proxy.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    let told = read_head(&mut client.0).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 102 "), "{told}");
    drop(client);
    eventually("it is given up", || async { upstream.cancelled() == 1 }).await;

    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    eventually("it is asked", || async { upstream.hits() == 2 }).await;
    client.0.shutdown().await.unwrap();
    client.until(GOAWAY).await;
    drop(client);
    eventually("it is given up", || async { upstream.cancelled() == 2 }).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

/// A socket that is closed with bytes unread takes back what it has sent.
#[tokio::test]
async fn a_byte_too_many_behind_a_request_costs_none_of_its_answer() {
    const LENGTH: usize = 2_000_000;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
    let upstream =
        RawUpstream::answering_after("hi", answer + &"x".repeat(LENGTH), Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(20_000).unwrap();
    let mut client = socket.connect(proxy.address).await.unwrap();
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    client.write_all(post.as_bytes()).await.unwrap();
    // Now its socket is full, and it is not read from.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.write_all(b"\r\n").await.unwrap();
    let (mut got, mut piece) = (0, vec![0; 64 << 10]);
    loop {
        match client.read(&mut piece).await {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) => panic!("{got} bytes, then {error}"),
        }
        // Its end is behind bytes that it has not read yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(got > LENGTH, "{got} bytes");
    proxy.stop().await;
}
