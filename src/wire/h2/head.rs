//! Heads of HTTP/2, from and to the lines that everything above and beyond reads.

use bytes::Bytes;
use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use rand::RngExt;
use rand::distr::Alphanumeric;

use super::names;
use crate::wire::h1::fields::{Fields, Tag};
use crate::wire::h1::framing::{self, Asked, Framing, Refusal};
use crate::wire::h1::parse::{HeadLimits, RequestLine, Version};
use crate::wire::head::{Head, Taken};
use crate::wire::{ResponseHead, date};

/// Judges a request by the rules of HTTP/1.1. `has_body` where more than the head comes.
pub(super) fn take(
    request: &Parts,
    has_body: bool,
    limits: &HeadLimits,
    body_bytes_max: u64,
) -> Result<Taken, Refusal> {
    let is_tunnel = request.extensions.get::<Protocol>().is_some();
    let unmeasured = if has_body && !is_tunnel { Framing::Chunked } else { Framing::None };
    Head::of_http2(|fields| note(request, limits, fields), unmeasured, body_bytes_max)
}

/// Writes a request down as HTTP/1.1 would say it.
fn note(request: &Parts, limits: &HeadLimits, into: &mut Fields) -> Result<RequestLine, Refusal> {
    let Parts { method, uri, headers, extensions, .. } = request;
    if headers.len() > limits.fields {
        return Err(Refusal::MANY_FIELDS);
    }
    let tunnel = extensions.get::<Protocol>();
    let method = match tunnel {
        None => method.as_str(),
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => "GET",
        Some(_) => return Err(Refusal::UNKNOWN_PROTOCOL),
    };
    into.bytes.extend_from_slice(method.as_bytes());
    let method = 0..into.bytes.len();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits.target_bytes {
        return Err(Refusal::LONG_TARGET);
    }
    into.bytes.extend_from_slice(target.as_bytes());
    let target = method.end..into.bytes.len();
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority {
        into.add("host", authority);
    }
    let mut has_crumbs = false;
    for (name, value) in headers {
        match (name, authority) {
            (&header::HOST, Some(authority)) => {
                if !value.as_bytes().eq_ignore_ascii_case(authority) {
                    return Err(Refusal::OTHER_HOST);
                }
            }
            (&header::COOKIE, _) => has_crumbs = true,
            _ => into.add(name.as_str(), sound(value)?),
        }
    }
    if has_crumbs {
        // They are one again (RFC 9113 §8.2.3).
        let crumbs = headers.get_all(header::COOKIE).iter().map(sound);
        let crumbs: Vec<&[u8]> = crumbs.collect::<Result<_, _>>()?;
        into.add("cookie", &crumbs.join(&b"; "[..]));
    }
    if tunnel.is_some() {
        into.add("connection", b"upgrade");
        into.add("upgrade", b"websocket");
        into.add("sec-websocket-key", websocket_key().as_bytes());
    }
    Ok(RequestLine { method, target, version: Version::Http2, used: 0 })
}

/// No value begins or ends with a blank (RFC 9113 §8.2.1).
fn sound(value: &HeaderValue) -> Result<&[u8], Refusal> {
    let bytes = value.as_bytes();
    if bytes.trim_ascii().len() == bytes.len() { Ok(bytes) } else { Err(Refusal::BAD_FIELD) }
}

/// Sixteen bytes in base64, as RFC 6455 §4.1 wants them of a client. Over HTTP/2 there is no such
/// key: it only tells the upstream that the other end knows of WebSockets.
fn websocket_key() -> String {
    let digits = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from);
    digits.chain("A==".chars()).collect()
}

/// An answer as HTTP/2 says it, and whether a body follows.
pub(super) fn answer(head: &ResponseHead, asked: Asked, framing: Framing) -> (Response<()>, bool) {
    let sent = framing::sent(asked, head.status(), framing);
    let mut answer = interim(head);
    let is_tunnel = head.status() == 101;
    if is_tunnel {
        // RFC 8441 §5
        *answer.status_mut() = StatusCode::OK;
        answer.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    }
    if head.lacks_date()
        && let Ok(date) = date::with_now(HeaderValue::from_str)
    {
        answer.headers_mut().insert(header::DATE, date);
    }
    let length = match framing {
        _ if head.fields().has(Tag::ContentLength) => None,
        _ if is_tunnel || framing::has_no_body(head.status()) => None,
        Framing::Length(length) => Some(length),
        Framing::None if !asked.is_head => Some(0),
        _ => None,
    };
    if let Some(length) = length {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    (answer, is_tunnel || sent.framing != Framing::None)
}

/// An answer's status and fields, without those of its connection (RFC 9113 §8.2.2).
pub(super) fn interim(head: &ResponseHead) -> Response<()> {
    let fields = head.fields();
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(head.status()).unwrap_or_default();
    // One copy that all values share.
    let bytes = Bytes::copy_from_slice(&fields.bytes);
    let map = answer.headers_mut();
    map.reserve(fields.lines().count());
    for (name, value, tag) in fields.lines() {
        if matches!(tag, Tag::Connection | Tag::Upgrade) {
            continue;
        }
        let name = names::name(&fields.bytes[name]);
        let value = HeaderValue::from_maybe_shared(bytes.slice(value));
        if let (Some(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    answer
}

/// Trailers, from lines.
pub(super) fn map(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = names::name(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Some(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// Trailers, as lines.
pub(super) fn lines(map: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in map {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines
}

/// Whether a request is answered without its body.
pub(super) fn is_head(request: &Parts) -> bool {
    request.method == Method::HEAD
}
