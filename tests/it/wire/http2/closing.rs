//! How streams and connections end, and what that does to others.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::{POST, collect, connect, request};
use crate::support::frames::{
    DATA, Fate, FrameClient, GET, GOAWAY, PING, RST_STREAM, frame, head, word,
};
use crate::support::{
    Behaviour, LOOPBACK, RawUpstream, Then, Upstream, came_to, eventually, proxy_before, read_head,
};
use crate::wire::OK;

const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

/// The resets that come before the answer to a ping, by stream and reason.
async fn resets(client: &mut FrameClient) -> Vec<(u32, u32)> {
    client.send(frame(PING, 0, 0, b"what now")).await;
    let mut resets = Vec::new();
    loop {
        let frame = client.next().await.expect("it ended");
        match frame.kind {
            RST_STREAM => resets.push((frame.stream, word(&frame.payload))),
            PING => return resets,
            GOAWAY => panic!("it was told to go"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn whoever_ends_its_half_gets_its_answers() {
    let upstream = Upstream::start("blue").await;
    upstream.does(Behaviour::Wait);
    let proxy = proxy_before(upstream.address, "", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send([head(1, &GET, true), head(3, &GET, true), head(5, &POST, false)].concat()).await;
    eventually("all are asked", || async { upstream.hits() == 3 }).await;
    client.0.shutdown().await.unwrap();
    // What was not said whole never will be.
    assert_eq!(client.fate(5).await, Fate::Reset(8));
    let last = client.until(GOAWAY).await;
    assert_eq!((word(&last.payload), word(&last.payload[4..])), (5, 0));
    upstream.may_answer();
    let mut answered = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == DATA {
            answered.push(frame.stream);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 3]);
    came_to(&proxy, "2xx", 2).await;
    came_to(&proxy, "abandoned", 1).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_request_that_is_taken_back_makes_room_at_once() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { h2_streams = 1 }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let reset = frame(RST_STREAM, 0, 1, &CANCEL);
    client.send([head(1, &GET, true), reset, head(3, &GET, true)].concat()).await;
    assert_eq!(client.fate(3).await, Fate::Status(200));
    proxy.stop().await;
}

/// A client of gRPC takes a call back that was answered before it had ended its half.
#[tokio::test]
async fn taking_back_what_was_answered_is_no_flood() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    for number in 0..300 {
        let stream = 2 * number + 1;
        client.send(head(stream, &POST, false)).await;
        assert_eq!(client.fate(stream).await, Fate::Status(200));
        client.send(frame(RST_STREAM, 0, stream, &CANCEL)).await;
    }
    assert_eq!(resets(&mut client).await, []);
    proxy.stop().await;
}

#[tokio::test]
async fn whoever_goes_on_with_an_answered_request_is_told_once_to_stop() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    for stream in [1, 3] {
        client.send(head(stream, &POST, false)).await;
        assert_eq!(client.fate(stream).await, Fate::Status(200));
    }
    client.send(frame(DATA, 0, 1, b"more").repeat(5)).await;
    // This one ends by itself.
    client.send(frame(DATA, 1, 3, b"end")).await;
    assert_eq!(resets(&mut client).await, [(1, 0)]);
    // There is an end to what is remembered.
    for number in 0..51 {
        let stream = 5 + 2 * number;
        client.send(head(stream, &POST, false)).await;
        assert_eq!(client.fate(stream).await, Fate::Status(200));
    }
    assert_eq!(resets(&mut client).await, [(5, 0)], "it is told when another takes its place");
    client.send([frame(DATA, 0, 5, b"more"), frame(DATA, 0, 7, b"more")].concat()).await;
    assert_eq!(resets(&mut client).await, [(7, 0)]);
    proxy.stop().await;
}

/// Each may fill its window, and none takes another's.
#[tokio::test]
async fn uploads_to_an_upstream_that_hangs_do_not_stop_others() {
    // More than the kernel takes for an upstream.
    const BYTES: usize = 4 << 20;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(LOOPBACK).unwrap();
    let listener = socket.listen(64).unwrap();
    let proxy = proxy_before(listener.local_addr().unwrap(), "", "").await;
    let upstream = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                if read_head(&mut stream).await.unwrap().starts_with("POST /hangs") {
                    return std::future::pending().await;
                }
                let mut body = vec![0; BYTES];
                stream.read_exact(&mut body).await.unwrap();
                stream.write_all(OK.as_bytes()).await.unwrap();
            });
        }
    });
    let (mut client, _connection) = connect(proxy.address).await;
    let upload = bytes::Bytes::from(vec![b'x'; BYTES]);
    let mut under_way = Vec::new();
    for path in std::iter::repeat_n("/hangs", 24).chain(["/reads"]) {
        client = client.ready().await.unwrap();
        let post = request("POST", path).header("content-length", BYTES).body(()).unwrap();
        let (answer, mut body) = client.send_request(post, false).unwrap();
        body.send_data(upload.clone(), true).unwrap();
        under_way.push((answer, body));
    }
    let (answer, _) = under_way.pop().unwrap();
    // Long before the proxy gives the others up.
    let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
    let answer = answer.expect("it waits for the others").unwrap();
    assert_eq!(collect(answer.into_body()).await.0, "ok");
    drop(under_way);
    proxy.stop().await;
    upstream.abort();
}
