//! Which request heads are refused, and with what status. Pure.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Version};

/// Bounds on a request, set by its listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of the target.
    pub(super) target_bytes: usize,
    /// Bytes of the body.
    pub(super) body_bytes: u64,
}

/// A refused request: the status, and what the client is told.
pub(super) type Refusal = (u16, &'static str);

/// Checks what the parser does not.
pub(super) fn check(parts: &Parts, bounds: Bounds) -> Result<(), Refusal> {
    match parts.method {
        Method::CONNECT => return Err((405, "this is no forward proxy")),
        Method::TRACE => return Err((405, "TRACE is not served")),
        _ => {}
    }
    let fields = &parts.headers;
    if fields.contains_key(TRANSFER_ENCODING) {
        if fields.contains_key(CONTENT_LENGTH) {
            return Err((400, "both Content-Length and Transfer-Encoding"));
        }
        if parts.version == Version::HTTP_10 {
            return Err((400, "Transfer-Encoding in HTTP/1.0"));
        }
    }
    if fields.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err((400, "more than one Content-Length"));
    }
    check_host(parts)?;
    check_target(parts, bounds)?;
    if let Some(expect) = fields.get(EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err((417, "only 100-continue can be expected"));
    }
    let length = fields.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > bounds.body_bytes) {
        return Err((413, "the body is longer than this listener takes"));
    }
    Ok(())
}

fn check_host(parts: &Parts) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err((400, "more than one Host")),
        (Some(host), None) if !is_authority(host.as_bytes()) => Err((400, "a bad Host")),
        (None, None) if parts.uri.authority().is_none() => Err((400, "no Host")),
        _ => match parts.uri.authority() {
            Some(authority) if !is_authority(authority.as_str().as_bytes()) => {
                Err((400, "a bad authority in the target"))
            }
            _ => Ok(()),
        },
    }
}

/// `host[:port]` without userinfo (RFC 9110 §7.2). Empty is refused: our choice.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = if text.first() == Some(&b'[') {
        let Some(end) = text.iter().position(|b| *b == b']') else { return false };
        let inside = &text[1..end];
        let valid = !inside.is_empty()
            && inside.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        (if valid { inside } else { &[][..] }, &text[end + 1..])
    } else {
        let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
        (&text[..end], &text[end..])
    };
    let host_is_good = !host.is_empty()
        && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:".contains(b));
    let port_is_good = match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            digits.is_empty()
                || std::str::from_utf8(digits)
                    .is_ok_and(|d| d.len() <= 5 && d.bytes().all(|b| b.is_ascii_digit()))
        }
        Some(_) => false,
    };
    host_is_good && port_is_good
}

fn check_target(parts: &Parts, bounds: Bounds) -> Result<(), Refusal> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    if target.len() > bounds.target_bytes {
        return Err((414, "the target is longer than this listener takes"));
    }
    if target == "*" && parts.method == Method::OPTIONS {
        return Ok(());
    }
    if !target.starts_with('/') {
        return Err((400, "a target must begin with a slash"));
    }
    if target.bytes().any(|b| b == b'#' || !b.is_ascii_graphic()) {
        return Err((400, "a byte that no target may have"));
    }
    Ok(())
}
