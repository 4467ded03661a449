//! Heads of requests, from fields to the lines that everything above and beyond reads. Pure, but for
//! the key of a WebSocket.

use std::ops::Range;

use rand::RngExt;
use rand::distr::Alphanumeric;

use super::hpack::{Corrupt, Decoder, OVERHEAD};
use crate::wire::h1::fields::{Fields, Tag, text};
use crate::wire::h1::framing::{self, Framing, Refusal};
use crate::wire::h1::parse::{HeadLimits, RequestLine, Version};
use crate::wire::head::{Head, Taken};
use crate::wire::server::Rules;
use crate::wire::stock::forget_large;

/// Why a head is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Every later one would be misread.
    Corrupt,
    /// It breaks a rule of HTTP/2; its stream is reset.
    Malformed,
    /// It is answered.
    Refused(Refusal),
}

impl From<Corrupt> for Fault {
    fn from(Corrupt: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A request's head, as far as there is one.
pub(super) struct Came {
    pub(super) is_head: bool,
    pub(super) taken: Result<Taken, Refusal>,
}

/// Reads the head of a request, and judges it by the rules of HTTP/1.1. `ends` where no body comes.
/// `crumbs` is used again and again.
pub(super) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    ends: bool,
    rules: &Rules,
    crumbs: &mut Vec<u8>,
) -> Result<Came, Fault> {
    crumbs.clear();
    let mut is_head = false;
    let note = |fields: &mut Fields| {
        let mut scribe = Scribe::new(rules.head_limits(), fields, crumbs);
        decoder.decode(block, |name, value| scribe.field(name, value))?;
        is_head = scribe.is_method(b"HEAD");
        scribe.finish(ends)
    };
    let taken = match Head::of_http2(note, rules.body_bytes) {
        Ok(taken) => Ok(taken),
        Err(Fault::Refused(refusal)) => Err(refusal),
        Err(fault) => return Err(fault),
    };
    forget_large(crumbs);
    Ok(Came { is_head, taken })
}

/// Reads trailers, as whole lines.
pub(super) fn trailers(
    decoder: &mut Decoder,
    block: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, Fault> {
    let (mut lines, mut is_sound) = (Vec::new(), true);
    decoder.decode(block, |name, value| {
        is_sound = is_sound
            && lines.len() + name.len() + value.len() <= bytes_max
            && is_name(name)
            && is_value(value)
            && !is_of_connection(Tag::of(name), value);
        if is_sound {
            for part in [name, b": ", value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
    })?;
    if is_sound { Ok(lines) } else { Err(Fault::Malformed) }
}

/// Writes a request down as HTTP/1.1 would say it.
struct Scribe<'a> {
    limits: HeadLimits,
    fields: &'a mut Fields,
    /// Cookies come in crumbs and are one again (RFC 9113 §8.2.3).
    crumbs: &'a mut Vec<u8>,
    method: Option<Range<usize>>,
    path: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    has_scheme: bool,
    /// What a CONNECT is for (RFC 8441 §4), and whether that is a WebSocket.
    protocol: Option<bool>,
    /// Whether a field has come that stands for no part of the first line.
    has_fields: bool,
    count: usize,
    bytes: usize,
    length: Option<u64>,
    is_malformed: bool,
    refusal: Option<Refusal>,
}

impl<'a> Scribe<'a> {
    const fn new(limits: HeadLimits, fields: &'a mut Fields, crumbs: &'a mut Vec<u8>) -> Self {
        Self {
            limits,
            fields,
            crumbs,
            method: None,
            path: None,
            authority: None,
            has_scheme: false,
            protocol: None,
            has_fields: false,
            count: 0,
            bytes: 0,
            length: None,
            is_malformed: false,
            refusal: None,
        }
    }

    fn is_method(&self, method: &[u8]) -> bool {
        self.method.clone().is_some_and(|span| self.fields.bytes[span] == *method)
    }

    /// Notes the next field. What is too much is not noted, but it is read to the end: later blocks
    /// may name it.
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.is_malformed {
            return;
        }
        self.bytes += name.len() + value.len() + OVERHEAD;
        let is_long_target = name == b":path" && value.len() > self.limits.target_bytes;
        if is_long_target {
            self.refusal.get_or_insert(Refusal::LONG_TARGET);
        } else if self.bytes > self.limits.bytes {
            // What follows is not looked at.
            self.refusal.get_or_insert(Refusal::LONG_HEAD);
            return;
        }
        let is_noted = match name {
            [b':', ..] => !self.has_fields && self.part_of_line(name, value),
            _ => is_name(name) && is_value(value) && self.line(name, value),
        };
        self.is_malformed |= !is_noted;
    }

    /// False where it is malformed (RFC 9113 §8.3).
    fn part_of_line(&mut self, name: &[u8], value: &[u8]) -> bool {
        let place = match name {
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":scheme" => {
                let is_first = !std::mem::replace(&mut self.has_scheme, true);
                return is_first && is_scheme(value);
            }
            b":protocol" => {
                let is_websocket = value.eq_ignore_ascii_case(b"websocket");
                return self.protocol.replace(is_websocket).is_none();
            }
            _ => return false,
        };
        let start = self.fields.bytes.len();
        if self.refusal.is_none() {
            self.fields.bytes.extend_from_slice(value);
        }
        let is_first = place.replace(start..self.fields.bytes.len()).is_none();
        is_first
            && match name {
                b":method" => !value.is_empty() && value.iter().all(|b| framing::is_token_byte(*b)),
                b":path" => {
                    matches!(value, [b'/', ..] | b"*")
                        && !value.iter().any(|byte| *byte <= b' ' || *byte == 0x7f)
                }
                _ => is_value(value),
            }
    }

    /// False where it is malformed (§8.2).
    fn line(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !self.has_fields {
            self.has_fields = true;
            self.add_host();
        }
        self.count += 1;
        if self.count > self.limits.fields {
            self.refusal.get_or_insert(Refusal::MANY_FIELDS);
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            // No value begins or ends with a blank (§8.2.1).
            self.refusal.get_or_insert(Refusal::BAD_FIELD);
        }
        match Tag::of(name) {
            tag if is_of_connection(tag, value) => return false,
            Tag::ContentLength => match framing::number(value) {
                Some(length) => self.length = Some(length),
                None => return false,
            },
            Tag::Host => {
                if let Some(authority) = self.authority.clone() {
                    if !value.eq_ignore_ascii_case(&self.fields.bytes[authority]) {
                        self.refusal.get_or_insert(Refusal::OTHER_HOST);
                    }
                    return true;
                }
            }
            Tag::Other if name == b"cookie" => {
                if self.refusal.is_none() {
                    if !self.crumbs.is_empty() {
                        self.crumbs.extend_from_slice(b"; ");
                    }
                    self.crumbs.extend_from_slice(value);
                }
                return true;
            }
            _ => {}
        }
        if self.refusal.is_none() {
            self.fields.add(text(name), value);
        }
        true
    }

    /// The line that comes first: for which host.
    fn add_host(&mut self) {
        if let Some(authority) = self.authority.clone() {
            self.fields.add_copy("host", authority);
        }
    }

    /// All has come: the request line, and how a body of no given length is framed.
    fn finish(mut self, ends: bool) -> Result<(RequestLine, Framing), Fault> {
        if !self.has_fields {
            self.add_host();
        }
        let is_connect = self.is_method(b"CONNECT");
        let has_line = match self.protocol {
            Some(_) => is_connect && self.has_scheme && self.path.is_some(),
            None => is_connect || self.has_scheme && self.path.is_some(),
        };
        // A tunnel has no length (RFC 8441 §4).
        let is_measured = self.protocol.is_some() && self.length.is_some();
        // A body that is announced has to come.
        let lacks_body = ends && self.length.is_some_and(|length| length > 0);
        if self.is_malformed {
            return Err(Fault::Malformed);
        }
        // What came after it was not looked at, so nothing is said of what is missing.
        if let Some(refusal) = self.refusal {
            return Err(refusal.into());
        }
        let Some(mut method) = self.method.take() else { return Err(Fault::Malformed) };
        if !has_line || is_measured || lacks_body {
            return Err(Fault::Malformed);
        }
        if !self.crumbs.is_empty() {
            self.fields.add("cookie", self.crumbs);
        }
        match self.protocol {
            None => {}
            Some(false) => return Err(Refusal::UNKNOWN_PROTOCOL.into()),
            Some(true) => {
                let start = self.fields.bytes.len();
                self.fields.bytes.extend_from_slice(b"GET");
                method = start..self.fields.bytes.len();
                self.fields.add("connection", b"upgrade");
                self.fields.add("upgrade", b"websocket");
                // One of the client's means nothing in HTTP/2 (RFC 8441 §5).
                self.fields.remove("sec-websocket-key");
                self.fields.add("sec-websocket-key", websocket_key().as_bytes());
            }
        }
        let target = self.path.unwrap_or_default();
        let has_body = !ends && self.protocol.is_none();
        let unmeasured = if has_body { Framing::Chunked } else { Framing::None };
        Ok((RequestLine { method, target, version: Version::Http2, used: 0 }, unmeasured))
    }
}

/// Whether a field is about the connection, and has no place in HTTP/2 (§8.2.2).
const fn is_of_connection(tag: Tag, value: &[u8]) -> bool {
    match tag {
        Tag::Connection
        | Tag::KeepAlive
        | Tag::ProxyConnection
        | Tag::TransferEncoding
        | Tag::Upgrade => true,
        Tag::Te => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    }
}

/// Whether a name is a token in lower case (§8.2.1).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| IN_NAME[usize::from(*byte)])
}

/// What a name is made of.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = framing::is_token_byte(byte) && !byte.is_ascii_uppercase();
        byte += 1;
    }
    table
};

/// Whether a value has no control character.
fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t')
}

/// RFC 3986 §3.1
fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Sixteen bytes in base64, as RFC 6455 §4.1 wants them of a client. Over HTTP/2 there is no such
/// key: it only tells the upstream that the other end knows of WebSockets.
fn websocket_key() -> String {
    let digits = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from);
    digits.chain("A==".chars()).collect()
}
