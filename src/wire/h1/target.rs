//! Targets and authorities: what a request is for. Pure.

use std::ops::Range;

use super::fields::{Fields, Tag};
use super::framing::Refusal;
use super::parse::{RequestLine, Version};

/// What a request is for; the spans are in the buffer of the fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// `/path?query`, at the host that `Host` names, if there is one.
    Origin { path: Range<usize>, host: Option<Range<usize>> },
    /// `http://authority/path?query`: the authority wins over `Host` (RFC 9112 §3.2.2). The path
    /// may lack its slash.
    Absolute { path: Range<usize>, authority: Range<usize> },
    /// The server as a whole.
    Server,
}

/// Reads a request's target and checks it and `Host`.
pub(crate) fn read(line: &RequestLine, fields: &Fields) -> Result<Target, Refusal> {
    let host = check_host(line, fields)?;
    let whole = line.target.clone();
    let target = &fields.bytes[whole.clone()];
    let is_options = fields.bytes[line.method.clone()] == *b"OPTIONS";
    if target.iter().any(|byte| *byte == b'#' || !byte.is_ascii_graphic()) {
        return Err(Refusal::BAD_TARGET);
    }
    if target.first() == Some(&b'/') {
        return Ok(Target::Origin { path: whole, host });
    }
    if target == b"*" && is_options {
        return Ok(Target::Server);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let scheme = scheme.ok_or(Refusal::BAD_TARGET)?.len();
    let rest = &target[scheme..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !is_authority(&rest[..length]) {
        return Err(Refusal::BAD_TARGET);
    }
    let authority = whole.start + scheme..whole.start + scheme + length;
    let path = authority.end..whole.end;
    if path.is_empty() && is_options {
        return Ok(Target::Server);
    }
    Ok(Target::Absolute { path, authority })
}

fn check_host(line: &RequestLine, fields: &Fields) -> Result<Option<Range<usize>>, Refusal> {
    if fields.repeats(Tag::Host) {
        return Err(Refusal::TWO_HOSTS);
    }
    match fields.span(Tag::Host) {
        None if line.version != Version::Http10 => Err(Refusal::NO_HOST),
        None => Ok(None),
        Some(host) if is_authority(&fields.bytes[host.clone()]) => Ok(Some(host)),
        Some(_) => Err(Refusal::BAD_HOST),
    }
}

/// What a registered name is made of (RFC 3986 §3.2.2), but for the comma: it makes lists.
const IN_NAME: [bool; 256] = {
    let others = b"-._~%!$&'()*+;=";
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// `host[:port]` without userinfo (RFC 9110 §7.2). Empty is refused: our choice.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let host = host_length(text);
    let (name, port) = text.split_at(host);
    let host_is_good = match name {
        [] => false,
        [b'[', inside @ .., b']'] => {
            !inside.is_empty()
                && inside.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        [b'[', ..] => false,
        name => name.iter().all(|b| IN_NAME[usize::from(*b)]),
    };
    let port_is_good = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            let number = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0, number) <= u32::from(u16::MAX)
        }
        _ => false,
    };
    host_is_good && port_is_good
}

/// How many bytes of an authority are its host.
pub(crate) fn host_length(authority: &[u8]) -> usize {
    let end = if authority.first() == Some(&b'[') {
        authority.iter().position(|byte| *byte == b']').map(|at| at + 1)
    } else {
        authority.iter().position(|byte| *byte == b':')
    };
    end.unwrap_or(authority.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_with_a_port_and_no_more() {
        for good in
            ["a", "shop.example.com:80", "[::1]", "[::1]:8080", "10.0.0.1", "a:", "x_y:65535"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a/b", "u@a", "a,b", "a:b", "a:65536", "a:123456", "[::1", "[]", "[::1]x",
            "[g]", "a b", "a\u{e9}", "a:-1", "::1",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        assert_eq!(host_length(b"[::1]:80"), 5);
    }
}
