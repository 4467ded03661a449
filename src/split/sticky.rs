//! Where a request's key comes from: the first source that the request carries wins.
//!
//! One exception: an issued cookie that verifies always wins, so that nobody moves to the other
//! side when they log in and suddenly carry a key of their own.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::issued::Issuer;

/// One place to look for a key, in the words of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `cookie:NAME`
    Cookie(String),
    /// `header:NAME`, in lower case.
    Header(String),
    /// `query:NAME`
    Query(String),
    /// `ip`: the client's address.
    Ip,
    /// `issue`: a signed id cookie of our own.
    Issue,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Ip => f.write_str("ip"),
            Self::Issue => f.write_str("issue"),
        }
    }
}

/// What of a request may hold a key.
pub trait Carrier {
    /// The first value of header `name` (lower case).
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// Every `Cookie` header value.
    fn cookies(&self) -> impl Iterator<Item = &[u8]>;
    /// The query, without the question mark.
    fn query(&self) -> Option<&str>;
    /// The client's address.
    fn ip(&self) -> IpAddr;

    /// The value of cookie `name`.
    fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.cookies().find_map(|header| cookie(header, name.as_bytes()))
    }
}

/// A key that was found, and where.
#[derive(Debug, Eq, PartialEq)]
pub enum Key<'a> {
    /// The request carries one.
    Carried {
        /// What is hashed.
        bytes: Cow<'a, [u8]>,
        /// Where it came from.
        source: &'a Source,
    },
    /// None, and the service wants a cookie issued.
    Issue,
    /// None.
    Nothing,
}

/// Finds the key of `request` among `sources`, in order.
pub fn find<'a, C: Carrier>(
    sources: &'a [Source],
    issuer: Option<&Issuer>,
    request: &'a C,
) -> Key<'a> {
    if let Some(issuer) = issuer
        && let Some(source) = sources.iter().find(|source| **source == Source::Issue)
        && let Some(value) = request.cookie(issuer.cookie())
        && let Some(id) = issuer.verify(value)
    {
        return Key::Carried { bytes: Cow::Borrowed(id), source };
    }
    for source in sources {
        let bytes = match source {
            Source::Cookie(name) => request.cookie(name).map(Cow::Borrowed),
            Source::Header(name) => request.header(name).map(Cow::Borrowed),
            Source::Query(name) => {
                request.query().and_then(|q| query(q, name)).map(|v| Cow::Borrowed(v.as_bytes()))
            }
            Source::Ip => Some(Cow::Owned(ip_key(request.ip()))),
            Source::Issue => return Key::Issue,
        };
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            return Key::Carried { bytes, source };
        }
    }
    Key::Nothing
}

/// The bytes an address hashes as: its text, so that any team can recompute the bucket.
fn ip_key(ip: IpAddr) -> Vec<u8> {
    ip.to_canonical().to_string().into_bytes()
}

/// Returns the value of `name` in one `Cookie` header (RFC 6265 §4.2), unquoted.
pub fn cookie<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header.split(|&byte| byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// Returns the value of `name` in a query, as it stands (no percent-decoding: both sides of a
/// comparison hash the same bytes).
pub fn query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })
}
