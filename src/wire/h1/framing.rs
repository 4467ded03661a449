//! What a head means: how its body is framed, whether the connection is kept, and every head that
//! is refused, with its status and reason. Pure.

use super::fields::{Fields, Tag, tokens};
use super::parse::{RequestLine, StatusLine, Version};
use super::target::{self, Target};

/// A refused request: the status, and what the client is told. The connection is closed after it,
/// for what the client sends next may be anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

macro_rules! refusals {
    ($($name:ident = $status:literal $reason:literal)*) => {
        impl Refusal {
            $(pub(crate) const $name: Self = Self { status: $status, reason: $reason };)*
        }
    };
}

refusals! {
    BAD_HEAD = 400 "this is no HTTP request\n"
    BARE_LF = 400 "a line does not end in CRLF\n"
    BAD_FIELD = 400 "a malformed header line\n"
    BAD_TARGET = 400 "a malformed target\n"
    NO_HOST = 400 "no Host\n"
    TWO_HOSTS = 400 "more than one Host\n"
    OTHER_HOST = 400 ":authority and Host differ\n"
    BAD_HOST = 400 "a malformed Host\n"
    BAD_LENGTH = 400 "a malformed Content-Length\n"
    TWO_LENGTHS = 400 "more than one Content-Length\n"
    TWO_FRAMINGS = 400 "both Content-Length and Transfer-Encoding\n"
    BAD_CODING = 400 "a malformed Transfer-Encoding\n"
    CODING_IN_1_0 = 400 "Transfer-Encoding in HTTP/1.0\n"
    CONNECT = 405 "this is no forward proxy\n"
    TRACE = 405 "TRACE is not served\n"
    LONG_BODY = 413 "the body is longer than this listener takes\n"
    LONG_TARGET = 414 "the target is longer than this listener takes\n"
    EXPECTATION = 417 "only 100-continue can be expected\n"
    MANY_FIELDS = 431 "more header lines than this listener takes\n"
    LONG_HEAD = 431 "the head is longer than this listener takes\n"
    UNKNOWN_PROTOCOL = 501 "websocket is the only protocol that is served in a tunnel\n"
    UNKNOWN_CODING = 501 "chunked is the only transfer coding that is served\n"
    NO_TUNNEL = 502 "the upstream has not opened a tunnel\n"
    VERSION = 505 "no such version of HTTP is served here\n"
}

/// How a body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, up to an empty one.
    Chunked,
    /// To the end of the connection: answers, and tunnels.
    UntilClose,
}

/// A request that is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) target: Target,
    pub(crate) framing: Framing,
    /// Whether the client means to keep the connection.
    pub(crate) keep: bool,
    /// Whether it asks for another protocol, which we let through.
    pub(crate) upgrade: bool,
    /// Whether it waits for 100 before it sends its body.
    pub(crate) awaits_100: bool,
    /// Whether it takes trailers.
    pub(crate) trailers: bool,
    /// Whether it is asked of this server and goes no further (RFC 9110 §9.3.7, §7.6.2).
    pub(crate) is_for_us: bool,
}

/// Judges a request. `unmeasured` frames a body of no given length; a listener takes bodies of
/// `body_bytes_max`.
pub(crate) fn request(
    line: &RequestLine,
    fields: &Fields,
    unmeasured: Framing,
    body_bytes_max: u64,
) -> Result<Accepted, Refusal> {
    let method = &fields.bytes[line.method.clone()];
    match method {
        b"CONNECT" => return Err(Refusal::CONNECT),
        b"TRACE" => return Err(Refusal::TRACE),
        _ => {}
    }
    let is_1_1 = line.version != Version::Http10;
    let framing = framing(is_1_1, fields)?.unwrap_or(unmeasured);
    let target = target::read(line, fields)?;
    let mut awaits_100 = false;
    for expectation in fields.tagged(Tag::Expect) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::EXPECTATION);
        }
        // A 1.0 client does not know of interim answers (RFC 9110 §10.1.1).
        awaits_100 = is_1_1 && framing != Framing::None;
    }
    if matches!(framing, Framing::Length(length) if length > body_bytes_max) {
        return Err(Refusal::LONG_BODY);
    }
    let options = Options::of(fields);
    let forwards = fields.tagged(Tag::MaxForwards).next().and_then(number);
    let is_options = method == b"OPTIONS";
    Ok(Accepted {
        is_for_us: is_options && (target == Target::Server || forwards == Some(0)),
        target,
        framing,
        keep: options.keep(is_1_1),
        upgrade: is_1_1 && options.upgrade && framing == Framing::None && upgrades(fields),
        awaits_100,
        trailers: is_1_1
            && fields.tagged(Tag::Te).flat_map(tokens).any(|coding| is(coding, b"trailers")),
    })
}

/// How the fields frame a body, if they say so.
fn framing(is_1_1: bool, fields: &Fields) -> Result<Option<Framing>, Refusal> {
    let (coded, measured) = (fields.has(Tag::TransferEncoding), fields.has(Tag::ContentLength));
    match (coded, measured) {
        (true, true) => Err(Refusal::TWO_FRAMINGS),
        (true, false) if !is_1_1 => Err(Refusal::CODING_IN_1_0),
        (true, false) => coding(fields).map(|()| Some(Framing::Chunked)),
        (false, true) if fields.repeats(Tag::ContentLength) => Err(Refusal::TWO_LENGTHS),
        (false, true) => match fields.tagged(Tag::ContentLength).next().and_then(number) {
            None => Err(Refusal::BAD_LENGTH),
            Some(0) => Ok(Some(Framing::None)),
            Some(length) => Ok(Some(Framing::Length(length))),
        },
        (false, false) => Ok(None),
    }
}

/// Passes exactly one `chunked`. Servers disagree about everything else: what one of them does not
/// see as chunked, another reads as two requests.
fn coding(fields: &Fields) -> Result<(), Refusal> {
    if fields.repeats(Tag::TransferEncoding) {
        return Err(Refusal::BAD_CODING);
    }
    let list = fields.untrimmed(Tag::TransferEncoding).next().unwrap_or_default();
    let list = list.strip_prefix(b" ").unwrap_or(list);
    if is(list, b"chunked") {
        return Ok(());
    }
    let mut codings = list.split(|byte| *byte == b',').map(|c| c.strip_prefix(b" ").unwrap_or(c));
    let is_odd = |coding: &[u8]| coding.is_empty() || !coding.iter().copied().all(is_token_byte);
    if list.starts_with(b" ") || codings.clone().any(is_odd) {
        return Err(Refusal::BAD_CODING);
    }
    // All but the last: chunked may stand there once, and only there (RFC 9112 §6.1).
    codings.next_back();
    let early = codings.any(|coding| is(coding, b"chunked"));
    Err(if early { Refusal::BAD_CODING } else { Refusal::UNKNOWN_CODING })
}

/// What `Connection` says of the connection itself.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Options {
    fn of(fields: &Fields) -> Self {
        let mut options = Self::default();
        // Nested loops: flattened, they took a quarter longer.
        for list in fields.tagged(Tag::Connection) {
            for token in tokens(list) {
                options.close |= is(token, b"close");
                options.keep_alive |= is(token, b"keep-alive");
                options.upgrade |= is(token, b"upgrade");
            }
        }
        options
    }

    const fn keep(self, is_1_1: bool) -> bool {
        !self.close && (is_1_1 || self.keep_alive)
    }
}

/// Whether what `Upgrade` asks for is let through: any protocol but HTTP and TLS themselves, in
/// which requests would pass unseen.
fn upgrades(fields: &Fields) -> bool {
    let mut protocols = fields.tagged(Tag::Upgrade).flat_map(tokens).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| {
            let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
            ![&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|banned| is(name, banned))
        })
}

/// What an upstream's answer means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answered {
    pub(crate) framing: Framing,
    /// Whether the upstream keeps the connection.
    pub(crate) keep: bool,
}

/// Judges an answer; `None` where its framing is unsound. Interim answers have none.
pub(crate) fn response(line: &StatusLine, fields: &Fields, to_head: bool) -> Option<Answered> {
    let keep = Options::of(fields).keep(line.is_1_1);
    let framing = framing(line.is_1_1, fields).ok()?.unwrap_or(Framing::UntilClose);
    if to_head || has_no_body(line.status) {
        return Some(Answered { framing: Framing::None, keep });
    }
    Some(Answered { framing, keep: keep && framing != Framing::UntilClose })
}

/// Whether no answer with this status has a body (RFC 9112 §6.3).
pub(crate) const fn has_no_body(status: u16) -> bool {
    matches!(status, 100..200 | 204 | 304)
}

/// A client's request, as far as it decides how its answer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_1_1: bool,
    pub(crate) keep: bool,
    pub(crate) trailers: bool,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) framing: Framing,
    /// Whether the client's connection is kept.
    pub(crate) keep: bool,
}

/// Decides how an answer whose body is `framing` is sent. What an upstream ends by closing is sent
/// in chunks, so that it can be told from one that broke off.
pub(crate) const fn sent(asked: Asked, status: u16, framing: Framing) -> Sent {
    if asked.is_head || has_no_body(status) {
        return Sent { framing: Framing::None, keep: asked.keep };
    }
    match framing {
        Framing::None | Framing::Length(_) => Sent { framing, keep: asked.keep },
        _ if asked.is_1_1 => Sent { framing: Framing::Chunked, keep: asked.keep },
        _ => Sent { framing: Framing::UntilClose, keep: false },
    }
}

/// `1*DIGIT` that fits (RFC 9110 §8.6).
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

const fn is(token: &[u8], name: &[u8]) -> bool {
    token.eq_ignore_ascii_case(name)
}

/// What a token is made of (RFC 9110 §5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.')
        || matches!(byte, b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests;
