//! The head of a response, without the fields that end at this hop.

use std::fmt;
use std::ops::Range;
use std::thread::LocalKey;

use super::date;
use super::field::{Field, Value};
use super::h1::fields::{Fields, Tag};
use super::h1::framing::{self, Answered, Asked, Framing, Sent};
use super::h1::parse::{self, Malformed};
use super::h1::slab::Slab;
use super::stock::{Reuse, Stock, Stocked, is_large};

/// How many bytes of head an upstream may send.
pub(super) const HEAD_BYTES_MAX: usize = 256 << 10;
/// How many fields an upstream may send.
const FIELDS_MAX: usize = 256;

/// A response's status and fields.
pub struct ResponseHead(Stocked<Inner>);

#[derive(Clone, Default)]
struct Inner {
    fields: Fields,
    status: u16,
    /// What stands behind the status, with its space; ours where there is nothing.
    reason: Option<Range<usize>>,
    /// Whether the client's connection must not be kept.
    close: bool,
}

thread_local! {
    static STOCK: Stock<Inner> = const { Stock::new(Vec::new()) };
}

impl Reuse for Inner {
    fn stock() -> &'static LocalKey<Stock<Self>> {
        &STOCK
    }

    fn reset(&mut self) {
        if is_large(&self.fields.bytes) {
            *self = Self::default();
        }
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status())
    }
}

/// An answer's head, taken off the bytes of a connection.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) head: ResponseHead,
    /// How many bytes it took.
    pub(super) used: usize,
    pub(super) answered: Answered,
}

impl ResponseHead {
    /// A head with `status` and no fields; 500 where `status` is none.
    pub fn new(status: u16) -> Self {
        let mut head = Self(Stocked::new());
        let inner = &mut *head.0;
        inner.fields.clear();
        inner.status = if (100..1000).contains(&status) { status } else { 500 };
        (inner.reason, inner.close) = (None, false);
        head
    }

    /// Takes a head off `bytes`; `None` where more of it must come.
    pub(super) fn take(bytes: &[u8], to_head: bool) -> Result<Option<Taken>, Malformed> {
        let mut head = Self::new(200);
        let inner = &mut *head.0;
        let parsed = parse::response(bytes, HEAD_BYTES_MAX, FIELDS_MAX, &mut inner.fields)?;
        let Some(line) = parsed else { return Ok(None) };
        let fields = &mut inner.fields;
        let answered = match line.status {
            // An interim answer ends with its head whatever it says.
            100..200 => Answered { framing: Framing::None, keep: true },
            _ => framing::response(&line, fields, to_head).ok_or(Malformed)?,
        };
        inner.status = line.status;
        inner.reason = Some(line.reason);
        let upgrade = fields.span(Tag::Upgrade).filter(|_| line.status == 101);
        fields.drop_hop_by_hop();
        if matches!(line.status, 100..=204) && framing::has_no_body(line.status) {
            fields.drop_tagged(Tag::ContentLength);
        }
        if let Some(upgrade) = upgrade {
            fields.add("connection", b"upgrade");
            fields.add_copy("upgrade", upgrade);
        }
        Ok(Some(Taken { used: line.used, answered, head }))
    }

    /// Decides how a body that is `framing` is sent to a client that asked `asked`, and writes the
    /// head that says so.
    pub(super) fn write(&self, asked: Asked, framing: Framing, out: &mut Slab) -> Sent {
        let inner = &*self.0;
        let mut sent = framing::sent(asked, inner.status, framing);
        sent.keep &= !inner.close;
        self.write_lines(out);
        if self.lacks_date() {
            date::with_now(|date| {
                for part in ["date: ", date, "\r\n"] {
                    out.push(part.as_bytes());
                }
            });
        }
        if let Some(length) = self.missing_length(asked, framing) {
            content_length(length, out);
        }
        if sent.framing == Framing::Chunked {
            out.push(b"transfer-encoding: chunked\r\n");
        }
        if inner.status != 101 && !sent.keep && !inner.close {
            out.push(b"connection: close\r\n");
        } else if sent.keep && !asked.is_1_1 {
            out.push(b"connection: keep-alive\r\n");
        }
        out.push(b"\r\n");
        sent
    }

    /// The length that whoever passes it on, with a body that is `framing`, has to tell.
    pub(super) fn missing_length(&self, asked: Asked, framing: Framing) -> Option<u64> {
        let inner = &*self.0;
        match framing {
            _ if inner.fields.has(Tag::ContentLength) => None,
            _ if framing::has_no_body(inner.status) => None,
            Framing::Length(length) => Some(length),
            // What an answer to HEAD would have carried is not known.
            Framing::None if !asked.is_head => Some(0),
            _ => None,
        }
    }

    /// Whether whoever passes it on has to say when it came. A tunnel is no answer.
    pub(super) fn lacks_date(&self) -> bool {
        self.0.status != 101 && self.0.fields.first("date").is_none()
    }

    /// Writes an interim answer.
    pub(super) fn write_interim(&self, out: &mut Slab) {
        self.write_lines(out);
        out.push(b"\r\n");
    }

    fn write_lines(&self, out: &mut Slab) {
        let inner = &*self.0;
        let [a, b, c] =
            [100, 10, 1].map(|unit| b"0123456789"[usize::from(inner.status / unit % 10)]);
        out.push(b"HTTP/1.1 ");
        out.push(&[a, b, c]);
        match &inner.reason {
            Some(reason) => out.push(&inner.fields.bytes[reason.clone()]),
            None => {
                out.push(b" ");
                let status = http::StatusCode::from_u16(inner.status).ok();
                let reason = status.and_then(|status| status.canonical_reason());
                out.push(reason.unwrap_or_default().as_bytes());
            }
        }
        out.push(b"\r\n");
        inner.fields.write(|run| out.push(run));
    }

    /// The fields that go on.
    pub(super) fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Every value of `field`.
    pub fn values<'a>(&'a self, field: &Field) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.fields.all(field.name())
    }

    /// Adds a value to `field`.
    pub fn append(&mut self, field: &Field, value: Value) {
        self.0.fields.add(field.name(), value.bytes());
    }

    /// Makes `value` the only value of `field`.
    pub fn set(&mut self, field: &Field, value: Value) {
        let fields = &mut self.0.fields;
        fields.remove(field.name());
        fields.add(field.name(), value.bytes());
    }

    /// Makes `value` the only value of field `name`, without a copy. `connection: close` is obeyed.
    pub fn set_static(&mut self, name: &'static str, value: &'static str) {
        let inner = &mut *self.0;
        inner.close |= name == "connection" && value == "close";
        inner.fields.remove(name);
        inner.fields.add(name, value.as_bytes());
    }
}

fn content_length(length: u64, out: &mut Slab) {
    out.push(b"content-length: ");
    out.push(decimal(length, &mut [0; 20]));
    out.push(b"\r\n");
}

/// A number as text, at the end of `digits`.
pub(super) fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
        rest /= 10;
        if rest == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Asked = Asked { is_head: false, is_1_1: true, keep: true, trailers: false };
    const OLD: Asked = Asked { is_1_1: false, ..NEW };

    fn passed_on(bytes: &str, asked: Asked, draining: bool) -> String {
        let taken = ResponseHead::take(bytes.as_bytes(), asked.is_head).unwrap().unwrap();
        let mut out = Slab::new();
        let asked = Asked { keep: asked.keep && !draining, ..asked };
        taken.head.write(asked, taken.answered.framing, &mut out);
        dateless(&out)
    }

    /// What was written, but for the date, which has to be there.
    fn dateless(out: &Slab) -> String {
        let text = String::from_utf8(out.data().to_vec()).unwrap();
        if text.starts_with("HTTP/1.1 101") {
            return text;
        }
        let at = text.find("date: ").expect("a date");
        let end = at + text[at..].find("\r\n").unwrap() + 2;
        [&text[..at], &text[end..]].concat()
    }

    #[test]
    fn an_answers_head_goes_on_as_it_came_but_for_what_ends_here() {
        for (came, asked, want) in [
            (
                "HTTP/1.1 200 Fine\r\nServer: x\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n",
                NEW,
                "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 5\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nconnection: x-a\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n",
                NEW,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
                OLD,
                "HTTP/1.1 200 OK\r\nconnection: close\r\n",
            ),
            ("HTTP/1.0 200\r\n", NEW, "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
                OLD,
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n",
            ),
            (
                "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n",
                NEW,
                "HTTP/1.1 204 No Content\r\n",
            ),
            (
                "HTTP/1.1 304 X\r\ncontent-length: 9\r\n",
                NEW,
                "HTTP/1.1 304 X\r\ncontent-length: 9\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
                Asked { is_head: true, ..NEW },
                "HTTP/1.1 200 OK\r\n",
            ),
            (
                "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nUpgrade: websocket\r\n",
                NEW,
                "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
            ),
        ] {
            assert_eq!(passed_on(&format!("{came}\r\n"), asked, false), format!("{want}\r\n"));
        }
        let closing = passed_on("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", NEW, true);
        assert!(closing.ends_with("content-length: 0\r\nconnection: close\r\n\r\n"), "{closing}");
    }

    #[test]
    fn a_date_that_came_goes_on() {
        let answer = "HTTP/1.1 200 OK\r\nDate: then\r\ncontent-length: 0\r\n\r\n";
        let taken = ResponseHead::take(answer.as_bytes(), false).unwrap().unwrap();
        let mut out = Slab::new();
        taken.head.write(NEW, taken.answered.framing, &mut out);
        assert_eq!(out.data(), answer.as_bytes());
    }

    #[test]
    fn an_answer_of_our_own_has_a_reason_and_a_length() {
        let mut head = ResponseHead::new(503);
        head.set_static("connection", "close");
        let mut out = Slab::new();
        let sent = head.write(NEW, Framing::Length(1234), &mut out);
        assert_eq!(
            dateless(&out),
            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 1234\r\n\r\n"
        );
        assert!(!sent.keep);
    }
}
