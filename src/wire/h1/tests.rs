//! Whatever is accepted is read as the same one request by a second, independent server: hyper's.
//! What two servers read alike cannot smuggle anything past one of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;

use super::parse::{self, HeadLimits};
use super::side::{Shared, Side};
use super::slab::Slab;
use super::upload::Upload;
use crate::wire::{Body, Head};

const LIMITS: HeadLimits = HeadLimits { fields: 20, bytes: 4 << 10, target_bytes: 1 << 10 };
const BODY_MAX: u64 = 1 << 10;

/// A request as a server reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    line: String,
    host: String,
    body: Vec<u8>,
}

/// What we read in `bytes`, and what we would send to an upstream; `None` where it is refused or
/// has not ended.
async fn ours(bytes: &[u8]) -> Option<(Seen, Vec<u8>)> {
    let (mut client, io) = tokio::io::duplex(1 << 16);
    client.write_all(&bytes[parse::blank(bytes)..]).await.ok()?;
    client.shutdown().await.ok()?;
    let side: Shared = Rc::new(RefCell::new(Side::new(io)));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(1..)) = side.borrow_mut().poll_read(&mut cx) else { return None };
    let taken = {
        let mut side = side.borrow_mut();
        let slab = side.inbox.as_mut()?;
        let taken = Head::take(slab.data(), &LIMITS, BODY_MAX).ok()??;
        slab.advance(taken.used);
        side.inbox.take_if(|slab| slab.is_empty());
        side.begin(taken.framing, BODY_MAX);
        taken
    };
    if taken.is_for_us {
        return None;
    }
    let head = taken.head;
    let mut sent = Slab::new();
    head.write("10.0.0.1:80", &mut sent);
    let chunked = head.framing() == super::framing::Framing::Chunked;
    let mut upload = Upload::default();
    upload.begin(sent, Body::of_client(Rc::clone(&side)), chunked);
    let mut upstream = Vec::new();
    upload.poll(std::pin::Pin::new(&mut upstream), &mut cx).ok()?;
    if !upload.is_over() {
        return None;
    }
    let target = match head.query() {
        Some(query) => format!("{}?{query}", head.path()),
        None => head.path().to_owned(),
    };
    let line = format!("{} {target}", head.method());
    let host = if head.authority().is_empty() { "10.0.0.1:80" } else { head.authority() };
    let body = body_of(bytes)?;
    Some((Seen { line, host: host.to_owned(), body }, upstream))
}

/// The body, read over again from the client's bytes.
fn body_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = &bytes[parse::blank(bytes)..];
    let taken = Head::take(bytes, &LIMITS, BODY_MAX).ok()??;
    let mut reader = super::reader::Reader::new(taken.framing);
    let mut slab = Slab::of(&bytes[taken.used..]);
    reader.take(&mut slab).ok()?;
    let body = if reader.is_done() { slab.data().to_vec() } else { return None };
    Some(if taken.framing == super::framing::Framing::None { Vec::new() } else { body })
}

/// What hyper reads in `bytes`.
async fn theirs(bytes: &[u8]) -> Vec<Seen> {
    let (mut client, io) = tokio::io::duplex(1 << 16);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let seen = RefCell::new(Vec::new());
    let service = hyper::service::service_fn(async |request: hyper::Request<_>| {
        let (parts, body): (_, hyper::body::Incoming) = request.into_parts();
        let line = format!("{} {}", parts.method, parts.uri);
        let host = parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
        let body = body.collect().await?.to_bytes().to_vec();
        seen.borrow_mut().push(Seen { line, host: host.unwrap_or_default(), body });
        Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::new())))
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    let _ = serving.await;
    seen.into_inner()
}

/// Good requests, of which some are spoiled.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let methods = select(vec!["GET", "POST", "PUT", "HEAD", "OPTIONS", "get"]);
    let targets = select(vec![
        "/",
        "/a?b=c",
        "/a//b/../c",
        "/%00",
        "*",
        "http://b/x",
        "HTTP://B:80?q",
        "//evil/",
        "/\\",
        "/a;b",
    ]);
    let versions = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let extra = select(vec![
        "connection: close",
        "connection: content-length",
        "connection: transfer-encoding, host",
        "connection: upgrade",
        "upgrade: websocket",
        "te: trailers",
        "expect: 100-continue",
        "x: y",
        "x:",
        "x: \u{e9}",
        "content_length: 7",
        "max-forwards: 1",
        "keep-alive: x",
        "cookie: a=b",
    ]);
    let framed = select(vec![
        ("", ""),
        ("", "GET /x HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("content-length: 5\r\n", "hello"),
        ("Content-Length:  05 \r\n", "helloGET /x HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding:Chunked\r\n", "5;x=y\r\nhello\r\n00\r\na: b\r\nhost: c\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "0\r\n\r\nGET /x HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "05\r\nhello\r\n0\r\ncontent-length: 9\r\n\r\n"),
    ]);
    let good = (methods, targets, versions, prop::collection::vec(extra, 0..4), framed).prop_map(
        |(method, target, version, extra, (framing, body))| {
            let extra: String = extra.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{method} {target} {version}\r\nhost: a\r\n{framing}{extra}\r\n{body}")
                .into_bytes()
        },
    );
    let spoils = select(vec![
        "\r",
        "\n",
        "\r\n",
        " ",
        "\t",
        "\0",
        ":",
        ",",
        "0",
        "+",
        "\x0b",
        "content-length: 5\r\n",
        "chunked",
        "transfer-encoding: chunked\r\n",
        "host: b\r\n",
        " folded\r\n",
        "\u{e9}",
        "#",
        "0x",
    ]);
    let spoiling =
        prop::collection::vec((any::<prop::sample::Index>(), spoils, any::<bool>()), 0..2);
    (good, spoiling).prop_map(|(mut bytes, spoiling)| {
        for (at, spoil, replaces) in spoiling {
            let at = at.index(bytes.len());
            bytes.splice(at..at + usize::from(replaces), spoil.bytes());
        }
        bytes
    })
}

#[test]
fn what_is_accepted_is_the_same_one_request_to_another_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let accepted = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 8_000, failure_persistence: None, ..Default::default() };
    let result = TestRunner::new(config).run(&requests(), |bytes| {
        runtime.block_on(async {
            let Some((seen, upstream)) = ours(&bytes).await else { return Ok(()) };
            accepted.set(accepted.get() + 1);
            let sent = String::from_utf8_lossy(&upstream).into_owned();
            prop_assert_eq!(theirs(&upstream).await, vec![seen], "sent {:?}", sent);
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.get() > 2_000, "{} accepted: this proves little", accepted.get());
}

#[test]
fn requests_of_every_framing_are_accepted() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (bytes, body) in [
        ("GET http://b/x HTTP/1.1\r\nhost: a\r\n\r\n", ""),
        ("POST / HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        (
            "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            "hello",
        ),
    ] {
        runtime.block_on(async {
            let (seen, upstream) = ours(bytes.as_bytes()).await.expect(bytes);
            assert_eq!(seen.body, body.as_bytes());
            assert_eq!(theirs(&upstream).await, [seen]);
        });
    }
}
