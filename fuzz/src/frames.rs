//! Connections of HTTP/2: what our server makes of any frames.
//!
//! Three have to agree: the server with its service, hyper as the upstream, and the h2 crate as
//! another server, which shares no code with ours. An input is a list of frames, each with a byte for
//! its kind, its flags, its stream and its length, and then its payload.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method};
use serin::wire::raw;
use serin::wire::server::{Protocol, Rules, Server};
use serin::wire::{Body, Client, Request, Response, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connections::Nobody;
use super::{RULES, UPSTREAM, block_on, peer};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// The clock jumps where all wait for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A whole request.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Whole {
    method: String,
    target: String,
    host: String,
    body: BytesMut,
}

/// The frames of a client.
pub fn http2(bytes: &[u8]) {
    let (frames, whole) = frames(bytes);
    let ours = block_on(ours(&frames));
    let Some(mut theirs) = block_on(theirs(&frames[..whole])) else { return };
    for whole in ours {
        let at = theirs.iter().position(|other| *other == whole);
        let at = at.unwrap_or_else(|| panic!("h2 does not see {whole:?} but {theirs:?}"));
        theirs.remove(at);
    }
}

/// The input as a client would send it, and how long it is without half a header block at its end:
/// h2 judges what has come of that, and we do not.
fn frames(mut bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut frames = [PREFACE, SETTINGS].concat();
    let mut whole = frames.len();
    while let [kind, flags, stream, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min((*length).into()));
        let length = u8::try_from(payload.len()).expect("it is at most what a byte can say");
        frames.extend_from_slice(&[0, 0, length, *kind, *flags, 0, 0, 0, *stream]);
        frames.extend_from_slice(payload);
        if !matches!(*kind, HEADERS | CONTINUATION) || flags & END_HEADERS != 0 {
            whole = frames.len();
        }
        bytes = rest;
    }
    (frames, whole)
}

/// What our server passes on whole, as hyper reads it.
async fn ours(frames: &[u8]) -> Vec<Whole> {
    let (client, io) = tokio::io::duplex(frames.len() + 1);
    let sent: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let shared = Rc::clone(&sent);
    let service = tower::service_fn(move |Request { head, body, .. }: Request| {
        let shared = Rc::clone(&shared);
        async move {
            let mut upstream = Vec::new();
            let all = raw::forward(&head, body, UPSTREAM, Pin::new(&mut upstream)).await;
            if all.is_ok() {
                shared.borrow_mut().push(upstream);
            }
            let body = Body::of(Bytes::from_static(b"ok"));
            let head = ResponseHead::new(200);
            Ok::<_, Infallible>(Response { head, body, watch: Some(Nobody) })
        }
    });
    let server = Server::new(Rules { http2: true, ..RULES }, service);
    let from = Client::new("192.0.2.1:5000".parse().expect("it is an address"), false);
    let serving = server.serve(io, from, Some(Protocol::Http2), std::future::pending());
    let (mut reader, mut writer) = tokio::io::split(client);
    let sending = async {
        // It may be told to go before it has sent all.
        let _ = writer.write_all(frames).await;
        let _ = writer.shutdown().await;
    };
    let mut answers = Vec::new();
    let _ = tokio::join!(biased; serving, sending, reader.read_to_end(&mut answers));
    let mut all = Vec::new();
    for bytes in sent.take() {
        all.extend(read(&bytes).await);
    }
    all
}

/// The one request that `bytes` are to hyper; none where hyper and h2 have no word for its target or
/// its host.
async fn read(bytes: &[u8]) -> Option<Whole> {
    let what = || String::from_utf8_lossy(bytes);
    let text = what();
    let target = text.split(' ').nth(1).expect("a request line has three parts");
    if !peer::takes_target(target) {
        return None;
    }
    let mut seen = peer::requests(bytes).await;
    assert_eq!(seen.len(), 1, "hyper sees another request: {:?}", what());
    let seen = seen.remove(0);
    assert!(seen.body.is_whole, "it is not whole: {:?}", what());
    let peer::Seen { method, target, host, body, .. } = seen;
    host.parse::<Authority>().ok()?;
    Some(Whole { method, target, host, body: body.bytes })
}

/// What h2 sees whole; `None` where it ended the connection: it is stricter about frames that mean
/// nothing.
async fn theirs(frames: &[u8]) -> Option<Vec<Whole>> {
    let (mut client, io) = tokio::io::duplex(frames.len().max(64 << 10));
    client.write_all(frames).await.expect("there is room for all");
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol().max_concurrent_streams(RULES.h2_streams);
    let mut connection = builder.handshake::<_, Bytes>(io).await.ok()?;
    let mut requests = Vec::new();
    // All has come, so whoever waits longer waits for nothing.
    while let Ok(Some(came)) = timeout(PATIENCE, connection.accept()).await {
        requests.push(came.ok()?);
    }
    let mut all = Vec::new();
    for (request, _respond) in requests {
        let (head, mut body) = request.into_parts();
        let whole = async {
            let mut bytes = BytesMut::new();
            while let Some(piece) = body.data().await {
                bytes.extend_from_slice(&piece.ok()?);
            }
            body.trailers().await.ok()?;
            Some(bytes)
        };
        // What a tunnel carries is no body, and nobody waits for its end.
        let is_tunnel = head.method == Method::CONNECT;
        let body =
            if is_tunnel { Some(BytesMut::new()) } else { timeout(PATIENCE, whole).await.ok()? };
        let field =
            |headers: &HeaderMap| String::from_utf8(headers.get("host")?.as_bytes().to_vec()).ok();
        let authority = head.uri.authority().map(ToString::to_string);
        all.extend(body.map(|body| Whole {
            // RFC 8441 §5
            method: if is_tunnel { "GET".to_owned() } else { head.method.to_string() },
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            host: authority.or_else(|| field(&head.headers)).unwrap_or_default(),
            body,
        }));
    }
    Some(all)
}
