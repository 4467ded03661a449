//! The head of a request, without the fields that end at this hop.

use std::fmt;
use std::ops::Range;
use std::thread::LocalKey;

use super::caller::Caller;
use super::field::{Field, Kind, Value};
use super::h1::fields::{Fields, Tag, text, tokens};
use super::h1::framing::{self, Asked, Framing, Refusal};
use super::h1::parse::{self, HeadLimits, RequestLine, Version};
use super::h1::slab::Slab;
use super::h1::target::{self, Target};
use super::response::ResponseHead;
use super::stock::{Reuse, Stock, Stocked, is_large};

/// A request's method, target and fields. Cloning it copies nothing.
#[derive(Clone)]
pub struct Head(Stocked<Inner>);

/// Everything is a span in the buffer of the fields.
#[derive(Clone, Default)]
struct Inner {
    fields: Fields,
    method: Range<usize>,
    /// Path and query.
    target: Range<usize>,
    /// Where the path ends.
    path_end: usize,
    authority: Range<usize>,
    /// The host without its port, in lower case.
    host: Range<usize>,
    version: Version,
    framing: Framing,
    upgrade: bool,
    awaits_100: bool,
    trailers: bool,
    /// Where interim answers go.
    caller: Option<Caller>,
}

thread_local! {
    static STOCK: Stock<Inner> = const { Stock::new(Vec::new()) };
}

impl Reuse for Inner {
    fn stock() -> &'static LocalKey<Stock<Self>> {
        &STOCK
    }

    fn reset(&mut self) {
        self.caller = None;
        if is_large(&self.fields.bytes) {
            *self = Self::default();
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method(), self.authority(), text(self.target()))
    }
}

/// A request's head, taken off the bytes of a connection.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) head: Head,
    /// How many bytes it took.
    pub(super) used: usize,
    pub(super) framing: Framing,
    pub(super) asked: Asked,
    /// Whether it is answered here.
    pub(super) is_for_us: bool,
}

impl Head {
    /// Takes a head off `bytes`; `None` where more of it must come.
    pub(super) fn take(
        bytes: &[u8],
        limits: &HeadLimits,
        body_bytes_max: u64,
    ) -> Result<Option<Taken>, Refusal> {
        let mut head = Self(Stocked::new());
        let inner = &mut *head.0;
        let Some(line) = parse::request(bytes, limits, &mut inner.fields)? else {
            return Ok(None);
        };
        head.accept(&line, Framing::None, body_bytes_max).map(Some)
    }

    /// A request's head whose lines `note` writes down, telling how a body of no given length is
    /// framed; the rules are those of HTTP/1.1.
    pub(super) fn of_http2<E: From<Refusal>>(
        note: impl FnOnce(&mut Fields) -> Result<(RequestLine, Framing), E>,
        body_bytes_max: u64,
    ) -> Result<Taken, E> {
        let mut head = Self(Stocked::new());
        head.0.fields.clear();
        let (line, unmeasured) = note(&mut head.0.fields)?;
        Ok(head.accept(&line, unmeasured, body_bytes_max)?)
    }

    /// Judges a head whose lines are noted; `unmeasured` frames a body of no given length.
    fn accept(
        mut self,
        line: &RequestLine,
        unmeasured: Framing,
        body_bytes_max: u64,
    ) -> Result<Taken, Refusal> {
        let inner = &mut *self.0;
        let accepted = framing::request(line, &inner.fields, unmeasured, body_bytes_max)?;
        inner.fields.drop_hop_by_hop();
        if line.version == Version::Http10 {
            // Whoever does not know of interim answers expects none (RFC 9110 §10.1.1).
            inner.fields.drop_tagged(Tag::Expect);
        }
        inner.method = line.method.clone();
        inner.version = line.version;
        inner.framing = accepted.framing;
        inner.upgrade = accepted.upgrade;
        inner.awaits_100 = accepted.awaits_100;
        inner.trailers = accepted.trailers;
        inner.aim(accepted.target);
        inner.add_hops();
        let asked = Asked {
            is_head: self.is_head(),
            is_1_1: line.version != Version::Http10,
            keep: accepted.keep,
            trailers: accepted.trailers,
        };
        Ok(Taken {
            used: line.used,
            framing: accepted.framing,
            asked,
            is_for_us: accepted.is_for_us,
            head: self,
        })
    }

    /// Where interim answers go.
    pub(super) fn set_caller(&mut self, caller: Caller) {
        self.0.caller = Some(caller);
    }

    /// Where interim answers go, for a client that understands them.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.0.caller.as_ref().filter(|_| self.0.version != Version::Http10)
    }

    /// How the request's body is framed.
    pub(super) fn framing(&self) -> Framing {
        self.0.framing
    }

    /// Whether the client asks for another protocol.
    pub(super) fn wants_upgrade(&self) -> bool {
        self.0.upgrade
    }

    /// Whether `answer` switches to what the client has asked for.
    pub(super) fn has_asked_for(&self, answer: &ResponseHead) -> bool {
        let asked = || self.0.fields.tagged(Tag::Upgrade).flat_map(tokens);
        let mut switched = answer.fields().tagged(Tag::Upgrade);
        switched.any(|to| asked().any(|protocol| protocol.eq_ignore_ascii_case(to)))
    }

    /// Whether the client waits for 100 before it sends its body.
    pub(super) fn awaits_100(&self) -> bool {
        self.0.awaits_100
    }

    /// Writes the head as an upstream gets it. `host` is for a request that names none.
    pub(super) fn write(&self, host: &str, out: &mut Slab) {
        let inner = &*self.0;
        out.push(&inner.fields.bytes[inner.method.clone()]);
        out.push(b" ");
        out.push(self.target());
        out.push(b" HTTP/1.1\r\n");
        inner.fields.write(|run| out.push(run));
        if inner.authority.is_empty() {
            out.push(b"host: ");
            out.push(host.as_bytes());
            out.push(b"\r\n");
        }
        out.push(match inner.framing {
            Framing::Chunked => b"transfer-encoding: chunked\r\n\r\n",
            _ => b"\r\n",
        });
    }

    /// The method.
    pub fn method(&self) -> &str {
        text(&self.0.fields.bytes[self.0.method.clone()])
    }

    /// Whether it is answered without a body.
    pub(super) fn is_head(&self) -> bool {
        self.0.fields.bytes[self.0.method.clone()] == *b"HEAD"
    }

    /// Whether sending it twice is the same as sending it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        let method = &self.0.fields.bytes[self.0.method.clone()];
        matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE" | b"TRACE")
    }

    fn target(&self) -> &[u8] {
        &self.0.fields.bytes[self.0.target.clone()]
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        text(&self.0.fields.bytes[self.0.target.start..self.0.path_end])
    }

    /// The query, without the question mark.
    pub fn query(&self) -> Option<&str> {
        let from = self.0.path_end + 1;
        (from <= self.0.target.end).then(|| text(&self.0.fields.bytes[from..self.0.target.end]))
    }

    /// Whether it names a host.
    pub fn has_authority(&self) -> bool {
        !self.0.authority.is_empty()
    }

    /// Host and port, as the client wrote them.
    pub fn authority(&self) -> &str {
        text(&self.0.fields.bytes[self.0.authority.clone()])
    }

    /// The host without its port, in lower case.
    pub fn host(&self) -> &str {
        text(&self.0.fields.bytes[self.0.host.clone()])
    }

    /// `1.0`, `1.1` or `2`, as `Via` wants it (RFC 9110 §7.6.3).
    pub fn version(&self) -> &'static str {
        match self.0.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }

    /// The first value of field `name`.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.0.fields.first(name)
    }

    /// Whether `byte` is in the name of a field.
    pub fn is_in_a_name(&self, byte: u8) -> bool {
        self.0.fields.is_in_a_name(byte)
    }

    /// The name of every field that was sent.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.0.fields.names()
    }

    /// Host and port as a value of another field of this head.
    pub const fn authority_value(&self) -> Value {
        Value(Kind::Authority)
    }

    /// Whether there is a field `field`.
    pub fn has(&self, field: &Field) -> bool {
        self.0.fields.first(field.name()).is_some()
    }

    /// Every value of `field`.
    pub fn values<'a>(&'a self, field: &Field) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.fields.all(field.name())
    }

    /// Makes `value` the only value of `field`.
    pub fn set(&mut self, field: &Field, value: Value) {
        let Inner { fields, authority, .. } = &mut *self.0;
        fields.remove(field.name());
        match value.0 {
            Kind::Authority => fields.add_copy(field.name(), authority.clone()),
            _ => fields.add(field.name(), value.bytes()),
        }
    }

    /// Removes field `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.fields.remove(name);
    }
}

impl Inner {
    /// Finds path, authority and host.
    fn aim(&mut self, target: Target) {
        let fields = &mut self.fields;
        (self.target, self.authority) = match target {
            Target::Origin { path, host } => (path, host.unwrap_or(0..0)),
            Target::Absolute { path, authority } => {
                // It wins over Host and is what goes upstream (RFC 9112 §3.2.2).
                fields.drop_tagged(Tag::Host);
                fields.add_copy("host", authority.clone());
                let start = fields.bytes.len();
                if fields.bytes.get(path.start) != Some(&b'/') || path.is_empty() {
                    fields.bytes.push(b'/');
                }
                fields.bytes.extend_from_within(path);
                (start..fields.bytes.len(), authority)
            }
            Target::Server => (0..0, 0..0),
        };
        let query = fields.bytes[self.target.clone()].iter().position(|byte| *byte == b'?');
        self.path_end = query.map_or(self.target.end, |at| self.target.start + at);
        let length = target::host_length(&fields.bytes[self.authority.clone()]);
        self.host = self.authority.start..self.authority.start + length;
        if fields.bytes[self.host.clone()].iter().any(u8::is_ascii_uppercase) {
            let start = fields.bytes.len();
            fields.bytes.extend_from_within(self.host.clone());
            fields.bytes[start..].make_ascii_lowercase();
            self.host = start..fields.bytes.len();
        }
    }

    /// What the next hop is told of this one.
    fn add_hops(&mut self) {
        let fields = &mut self.fields;
        let forwards = fields.tagged(Tag::MaxForwards).next().and_then(framing::number);
        if fields.bytes[self.method.clone()] == *b"OPTIONS"
            && let Some(forwards) = forwards
        {
            fields.drop_tagged(Tag::MaxForwards);
            fields.add("max-forwards", forwards.saturating_sub(1).to_string().as_bytes());
        }
        let upgrade = fields.span(Tag::Upgrade).filter(|_| self.upgrade);
        match (&upgrade, self.trailers) {
            (Some(_), _) => fields.add("connection", b"upgrade"),
            (None, true) => {
                fields.add("connection", b"te");
                fields.add("te", b"trailers");
            }
            (None, false) => {}
        }
        if let Some(upgrade) = upgrade {
            fields.add_copy("upgrade", upgrade);
        }
    }
}

#[cfg(test)]
mod tests;
