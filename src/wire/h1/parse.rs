//! From bytes to the lines of a head. httparse finds the fields; what it lets pass and we do not
//! (bare LF, and whitespace where none belongs) is refused here. Pure.

use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::{Header, ParserConfig, Status};

use super::fields::Fields;
use super::framing::Refusal;

/// Heads with more fields than this need a table from the heap.
const FIELDS_USUAL: usize = 128;

/// What a request's head may be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) fields: usize,
    pub(crate) bytes: usize,
    pub(crate) target_bytes: usize,
}

/// A version of HTTP that is served.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// A request line; the spans are in the buffer of the fields.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RequestLine {
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) version: Version,
    /// Bytes of the whole head.
    pub(crate) used: usize,
}

/// A status line; the reason is in the buffer of the fields.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StatusLine {
    pub(crate) status: u16,
    pub(crate) reason: Range<usize>,
    /// HTTP/1.0 or HTTP/1.1.
    pub(crate) is_1_1: bool,
    /// Bytes of the whole head.
    pub(crate) used: usize,
}

/// A head that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// How many bytes of empty lines stand before a request line: they are ignored (RFC 9112 §2.2).
pub(crate) fn blank(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2
}

/// Reads a request's head; `None` where more of it must come. `bytes` begin with the request line.
pub(crate) fn request(
    bytes: &[u8],
    limits: &HeadLimits,
    into: &mut Fields,
) -> Result<Option<RequestLine>, Refusal> {
    let looked_at = &bytes[..bytes.len().min(limits.bytes)];
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let usual = &mut usual[..limits.fields.min(FIELDS_USUAL)];
    let mut read = read_request(looked_at, usual, into);
    if read == Err(httparse::Error::TooManyHeaders) && limits.fields > FIELDS_USUAL {
        let mut table: Vec<_> = (0..limits.fields).map(|_| MaybeUninit::uninit()).collect();
        read = read_request(looked_at, &mut table, into);
    }
    match read {
        Ok(Status::Complete(Some(line))) if line.target.len() > limits.target_bytes => {
            Err(Refusal::LONG_TARGET)
        }
        Ok(Status::Complete(Some(line))) => Ok(Some(line)),
        Ok(Status::Complete(None)) => Err(Refusal::BARE_LF),
        Ok(Status::Partial) if bytes.len() >= limits.bytes => Err(too_long(bytes, limits)),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::MANY_FIELDS),
        Err(httparse::Error::Version) => Err(version(bytes)),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => Err(Refusal::BAD_FIELD),
        Err(_) => Err(Refusal::BAD_HEAD),
    }
}

/// A whole head is `None` where its lines do not all end in CRLF.
fn read_request<'b>(
    bytes: &'b [u8],
    table: &mut [MaybeUninit<Header<'b>>],
    into: &mut Fields,
) -> httparse::Result<Option<RequestLine>> {
    if bytes.first() == Some(&b'\n') {
        return Ok(Status::Complete(None));
    }
    let mut request = httparse::Request::new(&mut []);
    let used = match request.parse_with_uninit_headers(bytes, table)? {
        Status::Complete(used) => used,
        Status::Partial => return Ok(Status::Partial),
    };
    let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    let target = span(bytes, path.as_bytes());
    let first = target.end + b" HTTP/1.1".len();
    let sound = note(bytes, used, first, request.headers, into);
    Ok(Status::Complete(sound.then(|| RequestLine {
        method: span(bytes, method.as_bytes()),
        target,
        version: if request.version == Some(1) { Version::Http11 } else { Version::Http10 },
        used,
    })))
}

/// Reads an answer's head; `None` where more of it must come.
pub(crate) fn response(
    bytes: &[u8],
    bytes_max: usize,
    fields_max: usize,
    into: &mut Fields,
) -> Result<Option<StatusLine>, Malformed> {
    let looked_at = &bytes[..bytes.len().min(bytes_max)];
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut read = read_response(looked_at, &mut usual, into);
    if read == Err(httparse::Error::TooManyHeaders) {
        let mut table: Vec<_> = (0..fields_max).map(|_| MaybeUninit::uninit()).collect();
        read = read_response(looked_at, &mut table, into);
    }
    match read {
        Ok(Status::Complete(Some(line))) if (100..1000).contains(&line.status) => Ok(Some(line)),
        Ok(Status::Partial) if bytes.len() < bytes_max => Ok(None),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

fn read_response<'b>(
    bytes: &'b [u8],
    table: &mut [MaybeUninit<Header<'b>>],
    into: &mut Fields,
) -> httparse::Result<Option<StatusLine>> {
    // No line is allowed before this one, empty or not.
    if bytes.first().is_some_and(|first| *first != b'H') {
        return Ok(Status::Complete(None));
    }
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, table)? {
        Status::Complete(used) => used,
        Status::Partial => return Ok(Status::Partial),
    };
    let start = b"HTTP/1.1 200".len();
    let end = bytes[start..].iter().position(|byte| *byte == b'\r').map_or(start, |at| start + at);
    let sound = note(bytes, used, end, response.headers, into);
    Ok(Status::Complete(sound.then(|| StatusLine {
        status: response.code.unwrap_or(0),
        reason: start..end,
        is_1_1: response.version == Some(1),
        used,
    })))
}

/// Reads the trailers of a chunked body: lines without the empty one at the end.
pub(crate) fn trailers<'a>(
    bytes: &'a [u8],
    table: &'a mut [Header<'a>],
) -> Result<&'a [Header<'a>], Malformed> {
    match httparse::parse_headers(bytes, table) {
        Ok(Status::Complete((used, found))) if used == bytes.len() => Ok(found),
        _ => Err(Malformed),
    }
}

/// Copies a head and notes its lines. False where one does not end in CRLF: whoever takes a bare LF
/// for an end sees another message than whoever does not.
fn note(
    bytes: &[u8],
    used: usize,
    start_line_end: usize,
    found: &[Header<'_>],
    into: &mut Fields,
) -> bool {
    into.clear();
    let head = &bytes[..used];
    into.bytes.extend_from_slice(head);
    let end = used.saturating_sub(2);
    let starts =
        |at: usize| found.get(at).map_or(end, |header| span(head, header.name.as_bytes()).start);
    let is_line = |end: usize| end >= 2 && head[end - 2..end] == *b"\r\n";
    let mut sound = is_line(used) && starts(0) == start_line_end + 2 && is_line(starts(0));
    for (at, header) in found.iter().enumerate() {
        let name = span(head, header.name.as_bytes());
        // httparse gives an empty value a place of its own.
        let value = if header.value.is_empty() {
            name.end + 1..name.end + 1
        } else {
            span(head, header.value)
        };
        let line_end = starts(at + 1);
        sound &= is_line(line_end) && value.end + 2 <= line_end;
        if !sound {
            break;
        }
        into.note(name.start, name.end, value, line_end);
    }
    sound
}

/// Where `part` is in `whole`, of which it is a part.
fn span(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize).min(whole.len());
    start..whole.len().min(start + part.len())
}

fn too_long(bytes: &[u8], limits: &HeadLimits) -> Refusal {
    let target = bytes.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    let ended = bytes[target..].iter().take(limits.target_bytes + 1).any(|b| *b <= b' ');
    if ended { Refusal::LONG_HEAD } else { Refusal::LONG_TARGET }
}

/// A version that is one, and none of ours, is another matter than a word that is none.
fn version(bytes: &[u8]) -> Refusal {
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (
            Some([_, ..]),
            Some([_, ..]),
            Some(&[b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9']),
            None,
        ) => Refusal::VERSION,
        _ => Refusal::BAD_HEAD,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::h1::fields::Tag;

    const LIMITS: HeadLimits = HeadLimits { fields: 100, bytes: 32 << 10, target_bytes: 8 << 10 };

    fn read(bytes: &str) -> Result<Option<RequestLine>, u16> {
        let mut fields = Fields::default();
        request(bytes.as_bytes(), &LIMITS, &mut fields).map_err(|refusal| refusal.status)
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(9_000));
        let endless = format!("GET /{}", "x".repeat(40_000));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
        let big = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(40_000));
        #[rustfmt::skip]
        let table: &[(&str, u16)] = &[
            ("GET / HTTP/1.1\nhost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: a\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: a\r\n\n", 400),
            ("GET / HTTP/1.1\r\nx: y\nhost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\n\n", 400),
            ("\nGET / HTTP/1.1\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET /  HTTP/1.1\r\n\r\n", 400),
            ("GET\t/\tHTTP/1.1\r\n\r\n", 400),
            (" GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1 \r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nho(st: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nx: a\0b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nx: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n x: a\r\n\r\n", 400),
            ("GET / HTTP/1.10\r\n\r\n", 400),
            ("GET / HTTP/0.9\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / http/1.1\r\n\r\n", 400),
            ("GET / HTTP/11\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\n\r\n", 505),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("G(T / HTTP/1.1\r\n\r\n", 400),
            (&long, 414),
            (&endless, 414),
            (&many, 431),
            (&big, 431),
        ];
        for (bytes, status) in table {
            assert_eq!(read(bytes), Err(*status), "{:?}", &bytes[..bytes.len().min(60)]);
        }
    }

    #[test]
    fn a_head_is_read_however_it_arrives() {
        let bytes = "POST /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\nContent-Length:  3 \r\n\r\nabc";
        let head = bytes.len() - 3;
        for end in 0..head {
            assert_eq!(read(&bytes[..end]), Ok(None), "{:?}", &bytes[..end]);
        }
        let mut fields = Fields::default();
        let line = request(bytes.as_bytes(), &LIMITS, &mut fields).unwrap().unwrap();
        let want = RequestLine { method: 0..4, target: 5..9, version: Version::Http11, used: head };
        assert_eq!(line, want);
        assert_eq!(fields.first("host"), Some(&b"x"[..]));
        assert_eq!(fields.first("empty"), Some(&b""[..]));
        assert_eq!(fields.untrimmed(Tag::ContentLength).next(), Some(&b"  3 "[..]));
        let mut lines = Vec::new();
        fields.write(|run| lines.extend_from_slice(run));
        assert_eq!(lines, bytes.as_bytes()[20..head - 2]);
    }

    #[test]
    fn a_listener_that_allows_it_takes_more_fields_than_most_heads_have() {
        let bytes = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(300));
        let limits = HeadLimits { fields: 300, ..LIMITS };
        let mut fields = Fields::default();
        assert!(request(bytes.as_bytes(), &limits, &mut fields).unwrap().is_some());
        assert_eq!(fields.names().count(), 300);
    }

    #[test]
    fn empty_lines_before_a_request_are_counted_off() {
        for (bytes, want) in [("", 0), ("GET", 0), ("\r", 0), ("\r\n\r\nGET", 4), ("\r\n\nGET", 2)]
        {
            assert_eq!(blank(bytes.as_bytes()), want, "{bytes:?}");
        }
    }

    #[test]
    fn answers_that_are_none_are_found_out() {
        let read = |bytes: &str| response(bytes.as_bytes(), 256 << 10, 256, &mut Fields::default());
        #[rustfmt::skip]
        let table = [
            "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/0.9 200 OK\r\n\r\n", "<html>", "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nx : a\r\n\r\n",
            "HTTP/1.1 200 OK\nx: a\r\n\r\n", "HTTP/1.1 200 OK\r\nx: a\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n", "\r\nHTTP/1.1 200 OK\n\n",
        ];
        for bytes in table {
            assert_eq!(read(bytes), Err(Malformed), "{bytes:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(256 << 10));
        assert_eq!(read(&endless), Err(Malformed));
        assert_eq!(read("HTTP/1.1 200 O"), Ok(None));
        for (bytes, status, reason) in [
            ("HTTP/1.1 200 OK\r\n\r\n", 200, " OK"),
            ("HTTP/1.0 404\r\n\r\n", 404, ""),
            ("HTTP/1.1 299 \r\nx: y\r\n\r\n", 299, " "),
        ] {
            let line = read(bytes).unwrap().unwrap();
            assert_eq!((line.status, &bytes[line.reason.clone()]), (status, reason));
            assert_eq!((line.used, line.is_1_1), (bytes.len(), bytes.starts_with("HTTP/1.1")));
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_accepted_has_sound_spans(
            bytes in "[A-Z]{1,4} ?/?[ -~]{0,9} ?HTTP/1.[01]\r?\n([a-z]{0,5}:? ?[ -~\r\n\t]{0,9}\r?\n){0,4}\r?\n?",
        ) {
            let mut fields = Fields::default();
            if let Ok(Some(line)) = request(bytes.as_bytes(), &LIMITS, &mut fields) {
                prop_assert!(line.used <= bytes.len());
                let head = &bytes.as_bytes()[..line.used];
                prop_assert!(head.ends_with(b"\r\n\r\n"));
                let bare = head.iter().enumerate().any(|(at, b)| *b == b'\n' && head[at - 1] != b'\r');
                prop_assert!(!bare, "a bare LF in {bytes:?}");
                for name in fields.names() {
                    prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()));
                }
            }
        }
    }
}
