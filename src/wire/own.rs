//! Answers that no request went further for.

use bytes::Bytes;

use super::h1::framing::Refusal;
use super::{Body, Response, ResponseHead};

/// Tells a client why nobody above gets to see its request.
pub(super) fn refusal<W>(refusal: Refusal) -> Response<W> {
    let mut head = ResponseHead::new(refusal.status);
    head.set_static("content-type", "text/plain; charset=utf-8");
    Response { head, body: Body::of(Bytes::from_static(refusal.reason.as_bytes())), watch: None }
}

/// Tells a client what may be asked of the server as a whole (RFC 9110 §9.3.7).
pub(super) fn allowed<W>() -> Response<W> {
    let mut head = ResponseHead::new(204);
    head.set_static("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    Response { head, body: Body::empty(), watch: None }
}
