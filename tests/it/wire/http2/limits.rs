//! Clients that are slow, silent, or send what is worth nothing, and connections that end.

use std::time::Duration;

use h2::Reason;
use tokio::io::AsyncReadExt;

use super::{collect, connect, request};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, FrameClient, GET, GOAWAY, HEADERS, PING,
    PREFACE, RST_STREAM, SETTINGS, block, frame, head, word,
};
use crate::support::{
    Behaviour, PATIENCE, RawClient, RawUpstream, Serin, Then, Upstream, came_to, eventually,
};
use crate::wire::OK;

const CALM: u32 = 11;

#[tokio::test]
async fn whoever_says_half_of_what_it_wants_is_left() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let limits = "timeouts = { first_byte = \"300ms\", head = \"300ms\", idle = \"60s\" }";
    let proxy = upstream.behind_proxy(limits, "").await;
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let half_a_head = frame(HEADERS, END_STREAM, 1, &block(&GET)[..20]);
    let half_a_frame = &head(1, &GET, true)[..12];
    for (what, bytes) in [
        ("nothing", vec![]),
        ("half a preface", PREFACE[..20].to_vec()),
        ("a preface and no settings", PREFACE.to_vec()),
        ("half a frame", [&hello[..], half_a_frame].concat()),
        ("a head that goes on for ever", [&hello[..], &half_a_head].concat()),
    ] {
        let mut client = RawClient::connect(proxy.address).await;
        client.send(&bytes).await;
        let mut got = Vec::new();
        let end = tokio::time::timeout(PATIENCE, client.0.read_to_end(&mut got)).await;
        end.expect("it stays open").unwrap();
        // Whoever speaks HTTP/2 is told.
        let is_told = frame_of(&got, GOAWAY).is_some();
        assert_eq!(is_told, bytes.starts_with(PREFACE), "{what}");
        assert_eq!(upstream.seen(), [""; 0], "{what}");
    }
    proxy.stop().await;
}

/// Each of what it says is in time, though there is always half of the next.
#[tokio::test]
async fn whoever_speaks_slowly_without_a_pause_is_heard() {
    const REQUESTS: u32 = 20;
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { head = \"2s\" }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let all: Vec<u8> = (0..REQUESTS).flat_map(|number| head(2 * number + 1, &GET, true)).collect();
    let each = all.len() / REQUESTS as usize;
    client.send(&all[..each / 2]).await;
    for rest in all[each / 2..].chunks(each) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(rest).await;
    }
    assert_eq!(client.fate(2 * REQUESTS - 1).await, Fate::Status(200));
    proxy.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_told_before_it_is_closed() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { idle = \"300ms\" }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    // A ping is no request.
    client.send(frame(PING, 0, 0, &[0; 8])).await;
    assert_eq!(client.fate(3).await, Fate::Goaway(0));
    while client.next().await.is_some() {}
    proxy.stop().await;
}

#[tokio::test]
async fn whoever_floods_us_is_told_to_calm_down_and_fills_no_memory() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let (_dir, serin) = Serin::before(upstream.address, "");
    let before = serin.peak_kb();
    let open = head(1, &GET[..], false);
    let reset = |stream: u32| {
        [head(stream, &GET, true), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let resets: Vec<u8> = (0..2000).flat_map(|number| reset(2 * number + 1)).collect();
    let make = |stream: u32| [head(stream, &GET, false), frame(8, 0, stream, &[0; 4])].concat();
    let made: Vec<u8> = (0..2000).flat_map(|number| make(2 * number + 1)).collect();
    let floods = [
        ("pings", vec![], frame(PING, 0, 0, &[0; 8]).repeat(20), 1000),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(20), 1000),
        ("priorities", vec![], frame(2, 0, 1, &[0, 0, 0, 3, 7]).repeat(20), 1000),
        ("empty data", open, frame(DATA, 0, 1, &[]).repeat(20), 1000),
        ("settings with many settings", vec![], frame(SETTINGS, 0, 0, &[0; 16_380]), 50),
        ("unknown frames", vec![], frame(0xbe, 0, 0, &[]).repeat(20), 1000),
        ("resets", vec![], resets, 1),
        ("streams that we are made to reset", vec![], made, 1),
        (
            "a head without an end",
            frame(HEADERS, END_STREAM, 1, &block(&GET)),
            frame(CONTINUATION, 0, 1, &[b'x'; 1000]),
            1000,
        ),
        (
            "continuations",
            frame(HEADERS, END_STREAM, 1, &block(&GET)),
            frame(CONTINUATION, 0, 1, &[]).repeat(20),
            1000,
        ),
    ];
    for (what, first, bytes, times) in floods {
        let client = FrameClient::connect(serin.address).await;
        let (mut reads, mut writes) = client.0.into_split();
        let flooding = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let _ = writes.write_all(&first).await;
            for _ in 0..times {
                if writes.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            writes
        });
        let mut got = Vec::new();
        let reading = reads.read_to_end(&mut got);
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect(what);
        flooding.abort();
        let calm = frame_of(&got, GOAWAY).map(|payload| word(&payload[4..]));
        assert_eq!(calm, Some(CALM), "{what}: {} bytes came", got.len());
        let grown = serin.peak_kb() - before;
        assert!(grown < 4 << 10, "{what}: {grown} KB");
    }
}

/// Each byte of it stands for 4 KB (RFC 7541 §7.3).
#[tokio::test]
async fn a_head_that_unpacks_to_megabytes_ends_the_connection() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let entry = [&block(&GET)[..], &[0x40, 1, b'a', 0x7f, 0xe0, 0x1e], &[b'x'; 4063]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &entry)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    let bomb = [block(&GET), vec![0xbe; 16_000]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, &bomb)).await;
    assert_eq!(client.fate(3).await, Fate::Goaway(Reason::COMPRESSION_ERROR.into()));
    assert_eq!(upstream.only().matches("HTTP/1.1").count(), 1);
    proxy.stop().await;
}

/// The payload of the first frame of `kind`.
fn frame_of(mut bytes: &[u8], kind: u8) -> Option<&[u8]> {
    while bytes.len() >= 9 {
        let length = usize::try_from(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])).ok()?;
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == kind {
            return Some(payload);
        }
        bytes = &bytes[9 + length..];
    }
    None
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_cancelled_and_the_others_are_not() {
    let big = format!("HTTP/1.1 200 OK\r\ncontent-length: 8388608\r\n\r\n{}", "x".repeat(8 << 20));
    let upstream = RawUpstream::answering(big, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { stream_idle = \"400ms\" }", "").await;
    // A window of one byte for each stream (RFC 9113 §6.5.2).
    let mut client = FrameClient::with_settings(proxy.address, &[0, 4, 0, 0, 0, 1]).await;
    client.send(head(1, &GET, true)).await;
    loop {
        let frame = client.next().await.expect("it ended");
        if frame.kind == RST_STREAM {
            assert_eq!((frame.stream, word(&frame.payload)), (1, u32::from(Reason::CANCEL)));
            break;
        }
    }
    eventually("the upstream is left too", || async { upstream.closed() == 1 }).await;
    client.send(head(3, &[(":method", "HEAD"), GET[1], GET[2], GET[3]], true)).await;
    assert_eq!(client.fate(3).await, Fate::Status(200));
    assert_eq!(proxy.shop().await.stable.errors, 0, "a client that does not read is its own fault");
    proxy.stop().await;
}

#[tokio::test]
async fn a_short_answer_that_no_window_is_open_for_is_cancelled_too() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { stream_idle = \"300ms\" }", "").await;
    let mut client = FrameClient::with_settings(proxy.address, &[0, 4, 0, 0, 0, 1]).await;
    client.send(head(1, &GET, true)).await;
    assert_eq!(client.until(DATA).await.payload, b"o");
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, word(&reset.payload)), (1, u32::from(Reason::CANCEL)));
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_a_408() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("timeouts = { body_idle = \"300ms\" }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &[(":method", "POST"), GET[1], GET[2], GET[3]], false)).await;
    client.send(frame(DATA, 0, 1, b"half")).await;
    assert_eq!(client.fate(1).await, Fate::Status(408));
    eventually("the upstream's connection is closed", || async { upstream.closed() == 1 }).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn more_streams_than_agreed_are_refused() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { h2_streams = 2 }", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    for stream in [1, 3, 5] {
        client.send(head(stream, &GET, true)).await;
    }
    assert_eq!(client.fate(5).await, Fate::Reset(Reason::REFUSED_STREAM.into()));
    eventually("two are asked", || async { upstream.seen().len() == 2 }).await;
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_drain_names_the_last_request_and_answers_it() {
    let upstream = Upstream::start("blue").await;
    upstream.does(Behaviour::Wait);
    let proxy = crate::support::proxy_before(upstream.address, "", "").await;
    let (mut client, connection) = connect(proxy.address).await;
    let (answer, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    eventually("it is asked", || async { upstream.hits() == 1 }).await;
    let stopping = tokio::spawn(proxy.stop());
    // It is said first that nothing more is taken.
    let is_told = || async { client.clone().ready().await.is_err() };
    eventually("another request is refused", is_told).await;
    upstream.may_answer();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(collect(answer.into_body()).await.0, "blue");
    drop(client);
    connection.await.unwrap().unwrap();
    stopping.await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_the_client_knew_of_the_drain_is_answered() {
    let upstream = Upstream::start("blue").await;
    let proxy = crate::support::proxy_before(upstream.address, "", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    // Longer than a client has that was told to go and asks for nothing.
    upstream.does(Behaviour::Slow(Duration::from_millis(1500)));
    let stopping = tokio::spawn(proxy.stop());
    let first = client.until(GOAWAY).await;
    assert_eq!(word(&first.payload), u32::MAX >> 1, "nothing is turned away yet");
    client.send(head(3, &GET, true)).await;
    // That it knows, it says by answering a ping (RFC 9113 §6.8).
    let ping = client.until(PING).await;
    client.send(frame(PING, 1, 0, &ping.payload)).await;
    assert_eq!(client.fate(3).await, Fate::Status(200));
    stopping.await.unwrap();
}

#[tokio::test]
async fn requests_at_the_same_time_are_answered_each_with_its_own() {
    let upstream = Upstream::start("blue").await;
    upstream.does(Behaviour::Echo);
    let proxy = crate::support::proxy_before(upstream.address, "", "").await;
    let (client, _connection) = connect(proxy.address).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut client = client.clone().ready().await.unwrap();
        asking.spawn(async move {
            let body = vec![number; 1000 * usize::from(number)];
            let post = request("POST", "/").body(()).unwrap();
            let (answer, mut out) = client.send_request(post, false).unwrap();
            out.send_data(body.clone().into(), true).unwrap();
            let got = collect(answer.await.unwrap().into_body()).await;
            assert!(got.1.is_ok());
            assert_eq!(got.0.as_bytes(), String::from_utf8_lossy(&body).as_bytes());
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    came_to(&proxy, "2xx", 100).await;
    proxy.stop().await;
}
