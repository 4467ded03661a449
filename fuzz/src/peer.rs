//! A server and a client that know nothing of ours: hyper's.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, Request, Response, Uri, Version, client, server};
use hyper_util::rt::TokioIo;
use serin::wire::raw::{Client, Framing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request as a server reads it.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub host: String,
    /// What the head says of the body's length; `None` for chunks.
    pub length: Option<u64>,
    pub body: Content,
    /// The first value of each field, and how many lines there were in all.
    pub fields: (BTreeMap<String, Vec<u8>>, usize),
}

/// A body as it was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Content {
    pub bytes: BytesMut,
    /// In the order of their names.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether it ended as it should.
    pub is_whole: bool,
}

/// An answer as a client reads it.
#[derive(Debug, Eq, PartialEq)]
pub struct Answered {
    pub status: u16,
    /// What the head says of the body's length; `None` where only its end tells.
    pub length: Option<u64>,
    pub body: Content,
    /// The status of the next answer on the same connection.
    pub next: Option<u16>,
}

/// The greatest length that hyper takes: it has other uses for the two beyond. We take all that fit
/// 64 bits, for nobody ever sends so much.
pub const LENGTH_MAX: u64 = u64::MAX - 2;

/// Whether hyper takes this target. It does not where RFC 3986 has no such character, as in `/<`;
/// we pass on whatever is visible, as other proxies do, for there is no second way to read it.
pub fn takes_target(target: &str) -> bool {
    target.parse::<Uri>().is_ok()
}

/// The length that a head with this framing gives.
pub const fn length(framing: Framing) -> Option<u64> {
    match framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    }
}

/// The trailers in `lines`, in the order of their names.
pub fn trailers(lines: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    let mut trailers: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a line has a colon");
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            (name, line[colon + 1..].trim_ascii_start().to_vec())
        })
        .collect();
    trailers.sort_by(|a, b| a.0.cmp(&b.0));
    trailers
}

/// Every request that hyper's server reads in `bytes`, after which the connection ends.
pub async fn requests(bytes: &[u8]) -> Vec<Seen> {
    let (mut client, io) = tokio::io::duplex(bytes.len().max(1) + ROOM);
    client.write_all(bytes).await.expect("there is room for all");
    client.shutdown().await.expect("memory can be shut");
    let seen = RefCell::new(Vec::new());
    let service = hyper::service::service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let host = head.headers.get("host").map(|host| host.as_bytes().to_vec());
        seen.borrow_mut().push(Seen {
            method: head.method.to_string(),
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            host: String::from_utf8(host.unwrap_or_default()).expect("a host is text"),
            length: body.size_hint().exact(),
            body: Content::default(),
            fields: fields(&head.headers),
        });
        let content = content(body).await;
        if let Some(last) = seen.borrow_mut().last_mut() {
            last.body = content;
        }
        Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let mut server = server::conn::http1::Builder::new();
    let serving = server.half_close(true).serve_connection(TokioIo::new(io), service);
    // That it ends badly shows in what was seen.
    let _ = serving.await;
    seen.into_inner()
}

/// For what hyper answers.
const ROOM: usize = 64 << 10;
/// An answer that cannot be taken for another.
const NEXT: &[u8] = b"HTTP/1.1 299 Next\r\ncontent-length: 0\r\n\r\n";

/// What hyper's client reads of `answer`, as `asker` asks for it; `None` where it takes it for no
/// answer. Where `keep`, another request follows.
pub async fn answer(answer: &[u8], asker: Client, keep: bool) -> Option<Answered> {
    let (io, mut upstream) = tokio::io::duplex(answer.len() + ROOM);
    let mut builder = client::conn::http1::Builder::new();
    let (mut sender, connection) =
        builder.max_headers(300).handshake(TokioIo::new(io)).await.expect("nothing is asked yet");
    let ask = || {
        let version = if asker.is_1_1 { Version::HTTP_11 } else { Version::HTTP_10 };
        let method = if asker.is_head { "HEAD" } else { "GET" };
        let connection = if asker.keep { "keep-alive" } else { "close" };
        let request = Request::builder().method(method).uri("/").version(version);
        request.header("connection", connection).body(Empty::<Bytes>::new()).expect("it is sound")
    };
    let asking = async {
        let response = sender.send_request(ask()).await.ok()?;
        let status = response.status().as_u16();
        let length = response.body().size_hint().exact();
        let body =
            if status == 101 { Content::default() } else { content(response.into_body()).await };
        let next = if keep && sender.ready().await.is_ok() {
            sender.send_request(ask()).await.ok().map(|next| next.status().as_u16())
        } else {
            None
        };
        drop(sender);
        Some(Answered { status, length, body, next })
    };
    let answering = async {
        let mut asked = [0; 256];
        let _ = upstream.read(&mut asked).await;
        let _ = upstream.write_all(answer).await;
        if keep && matches!(upstream.read(&mut asked).await, Ok(1..)) {
            let _ = upstream.write_all(NEXT).await;
        }
        let _ = upstream.shutdown().await;
    };
    tokio::join!(asking, connection, answering).0
}

async fn content(mut body: Incoming) -> Content {
    let mut content = Content::default();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return content };
        match frame.into_data() {
            Ok(data) => content.bytes.extend_from_slice(&data),
            Err(other) => {
                let trailers = other.into_trailers().unwrap_or_default();
                let named = trailers.iter();
                content.trailers = named
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                    .collect();
                content.trailers.sort_by(|a, b| a.0.cmp(&b.0));
            }
        }
    }
    content.is_whole = true;
    content
}

fn fields(headers: &HeaderMap) -> (BTreeMap<String, Vec<u8>>, usize) {
    let first = headers.keys().map(|name| (name.to_string(), headers[name].as_bytes().to_vec()));
    (first.collect(), headers.len())
}
