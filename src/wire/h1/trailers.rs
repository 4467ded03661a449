//! Which trailers go on. One that frames a message, routes it or says who asks would come after it
//! was acted upon, so that who merges it into the head has another message (RFC 9110 §6.5.1). Pure.

use super::fields::Tag;
use super::parse::{self, Malformed};

const TRAILERS_MAX: usize = 64;

/// Fields that are no trailers.
const BANNED: [&[u8]; 28] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expires",
    b"forwarded",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"location",
    b"origin",
    b"pragma",
    b"proxy-authentication-info",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"trailer",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"x-real-ip",
];

/// Keeps of trailer lines those that may go on.
pub(crate) fn filter(lines: &mut Vec<u8>) -> Result<(), Malformed> {
    if lines.is_empty() {
        return Ok(());
    }
    lines.extend_from_slice(b"\r\n");
    let mut kept = Vec::new();
    let mut table = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    for trailer in parse::trailers(lines, &mut table)? {
        if may_go_on(trailer.name.as_bytes()) {
            kept.extend_from_slice(trailer.name.as_bytes());
            kept.extend_from_slice(b": ");
            kept.extend_from_slice(trailer.value);
            kept.extend_from_slice(b"\r\n");
        }
    }
    *lines = kept;
    Ok(())
}

fn may_go_on(name: &[u8]) -> bool {
    // Some servers read an underscore as a dash.
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let name: Vec<u8> = name.iter().map(dashed).collect();
    Tag::of(&name) == Tag::Other
        && !name.starts_with(b"x-forwarded-")
        && !BANNED.contains(&name.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(lines: &str) -> Result<String, Malformed> {
        let mut lines = lines.as_bytes().to_vec();
        filter(&mut lines).map(|()| String::from_utf8(lines).unwrap())
    }

    #[test]
    fn trailers_that_frame_or_route_are_dropped() {
        for name in ["Content-Length", "transfer-encoding", "Host", "AUTHORIZATION", "Set-Cookie"] {
            let lines = format!("a: 1\r\n{name}: x\r\ngrpc-status: 0\r\n");
            assert_eq!(filtered(&lines).unwrap(), "a: 1\r\ngrpc-status: 0\r\n", "{name}");
        }
        assert_eq!(filtered("").unwrap(), "");
        assert_eq!(
            filtered(
                "set_cookie: x\r\ntransfer_Encoding: x\r\nX-Forwarded-Proto: x\r\nhost: y\r\n"
            )
            .unwrap(),
            ""
        );
    }

    #[test]
    fn lines_that_are_no_fields_are_found_out() {
        for bad in ["a\r\n", "a : b\r\n", ": b\r\n", "a: b\r\n c\r\n"] {
            assert_eq!(filtered(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(filtered(&"a: b\r\n".repeat(65)), Err(Malformed), "too many");
    }
}
