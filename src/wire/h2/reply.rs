//! Heads of answers, from lines to fields.

use super::hpack;
use crate::wire::ResponseHead;
use crate::wire::date;
use crate::wire::h1::fields::Tag;
use crate::wire::h1::framing::{self, Asked, Framing};
use crate::wire::response::decimal;

/// Writes an answer's head; tells whether a body follows it.
pub(super) fn answer(
    head: &ResponseHead,
    asked: Asked,
    framing: Framing,
    block: &mut Vec<u8>,
) -> bool {
    let is_tunnel = head.status() == 101;
    // RFC 8441 §5
    hpack::status(block, if is_tunnel { 200 } else { head.status() });
    fields(head, block, is_tunnel);
    if head.lacks_date() {
        date::with_now(|date| hpack::field(block, b"date", date.as_bytes()));
    }
    if let Some(length) = head.missing_length(asked, framing) {
        hpack::field(block, b"content-length", decimal(length, &mut [0; 20]));
    }
    is_tunnel || framing::sent(asked, head.status(), framing).framing != Framing::None
}

/// Writes the head of an interim answer.
pub(super) fn interim(head: &ResponseHead, block: &mut Vec<u8>) {
    hpack::status(block, head.status());
    fields(head, block, false);
}

/// An answer's fields, without those of its connection (RFC 9113 §8.2.2).
fn fields(head: &ResponseHead, block: &mut Vec<u8>, is_tunnel: bool) {
    let fields = head.fields();
    for (name, value, tag) in fields.lines() {
        let name = &fields.bytes[name];
        let is_of_hop = matches!(tag, Tag::Connection | Tag::Upgrade)
            || is_tunnel && name.eq_ignore_ascii_case(b"sec-websocket-accept");
        if !is_of_hop {
            hpack::field(block, name, &fields.bytes[value]);
        }
    }
}

/// Writes trailers that came as lines.
pub(super) fn trailers(lines: &[u8], block: &mut Vec<u8>) {
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            hpack::field(block, &line[..colon], line[colon + 1..].trim_ascii());
        }
    }
}
