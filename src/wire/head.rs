//! The heads of requests and responses, without the fields that end at this hop.

use std::fmt;
use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Uri, Version};

/// The name of a field that is read or set by name, ready to be looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field(HeaderName);

impl Field {
    /// `Cookie`
    pub const COOKIE: Self = Self(COOKIE);
    /// `Forwarded`, RFC 7239.
    pub const FORWARDED: Self = Self(http::header::FORWARDED);
    /// `Via`, RFC 9110 §7.6.3.
    pub const VIA: Self = Self(http::header::VIA);
    /// `X-Forwarded-For`
    pub const X_FORWARDED_FOR: Self = Self(HeaderName::from_static("x-forwarded-for"));
    /// `X-Forwarded-Host`
    pub const X_FORWARDED_HOST: Self = Self(HeaderName::from_static("x-forwarded-host"));
    /// `X-Forwarded-Proto`
    pub const X_FORWARDED_PROTO: Self = Self(HeaderName::from_static("x-forwarded-proto"));
    /// `Cache-Control`
    pub const CACHE_CONTROL: Self = Self(http::header::CACHE_CONTROL);
    /// `Set-Cookie`
    pub const SET_COOKIE: Self = Self(http::header::SET_COOKIE);
    /// `X-Serin-Pool`: which pool answered a rehearsal.
    pub const X_SERIN_POOL: Self = Self(HeaderName::from_static("x-serin-pool"));
    /// `X-Serin-Rehearsal`: the token of a rehearsal.
    pub const X_SERIN_REHEARSAL: Self = Self(HeaderName::from_static("x-serin-rehearsal"));
    /// `X-Serin-Rehearsal-Side`: the side that a request of a rehearsal asks for.
    pub const X_SERIN_REHEARSAL_SIDE: Self =
        Self(HeaderName::from_static("x-serin-rehearsal-side"));
    /// `X-Real-IP`
    pub const X_REAL_IP: Self = Self(HeaderName::from_static("x-real-ip"));

    /// The name in lower case.
    pub fn name(&self) -> &str {
        self.0.as_str()
    }
}

/// The value of a field. Cloning it copies nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Value(HeaderValue);

impl Value {
    /// A value that is known to be one.
    pub const fn of_static(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }

    /// The value with these bytes; empty where no field may have them.
    pub fn of(bytes: &[u8]) -> Self {
        Self(HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// An address.
    pub fn of_ip(ip: IpAddr) -> Self {
        Self::of(ip.to_canonical().to_string().as_bytes())
    }
}

/// A request's method, target and fields.
#[derive(Clone)]
pub struct Head(Box<Inner>);

/// A head is moved from layer to layer; what is moved is a pointer.
#[derive(Clone)]
struct Inner {
    method: Method,
    uri: Uri,
    version: Version,
    fields: HeaderMap,
    /// The host without its port, where lower-casing changed it.
    lower_host: Option<Box<str>>,
    host_end: usize,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method(), self.authority(), self.0.uri)
    }
}

impl Head {
    /// Takes in a head whose `Host` is known to be good.
    pub(super) fn of(parts: http::request::Parts) -> Self {
        let http::request::Parts { method, mut uri, version, headers: mut fields, .. } = parts;
        // The target's authority wins, and is what goes upstream (RFC 9112 §3.2.2).
        if let Some(authority) = uri.authority() {
            if let Ok(value) = HeaderValue::from_str(authority.as_str()) {
                fields.insert(HOST, value);
            }
            uri = uri.into_parts().path_and_query.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        strip_hop_by_hop(&mut fields);
        let inner = Inner { method, uri, version, fields, lower_host: None, host_end: 0 };
        let mut head = Self(Box::new(inner));
        let authority = head.authority();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.find(']').map_or(authority, |end| &authority[..end + 2]),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let end = host.len();
        let lower = host.bytes().any(|b| b.is_ascii_uppercase()).then(|| host.to_ascii_lowercase());
        head.0.host_end = end;
        head.0.lower_host = lower.map(Into::into);
        head
    }

    pub(super) fn into_http<B>(self, body: B) -> http::Request<B> {
        let mut request = http::Request::new(body);
        let Inner { method, uri, fields, .. } = *self.0;
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        request
    }

    pub(super) fn from_unsent<B>(request: http::Request<B>) -> (Self, B) {
        let (parts, body) = request.into_parts();
        (Self::of(parts), body)
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.0.method.as_str()
    }

    /// Whether sending it twice is the same as sending it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.0.method.is_idempotent()
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.0.uri.path()
    }

    /// The query, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.0.uri.query()
    }

    /// Host and port, as the client wrote them.
    pub fn authority(&self) -> &str {
        self.0.fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
    }

    /// The host without its port, in lower case.
    pub fn host(&self) -> &str {
        match &self.0.lower_host {
            Some(lower) => lower,
            None => self.authority().get(..self.0.host_end).unwrap_or_default(),
        }
    }

    /// `1.0`, `1.1` or `2`, as `Via` wants it (RFC 9110 §7.6.3).
    pub fn version(&self) -> &'static str {
        match self.0.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        }
    }

    /// The first value of field `name`.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.0.fields.get(name).map(HeaderValue::as_bytes)
    }

    /// The name of every field that was sent.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.0.fields.keys().map(HeaderName::as_str)
    }

    /// Host and port as a value of another field.
    pub fn authority_value(&self) -> Value {
        self.0.fields.get(HOST).cloned().map_or(Value::of_static(""), Value)
    }

    /// Whether there is a field `field`.
    pub fn has(&self, field: &Field) -> bool {
        self.0.fields.contains_key(&field.0)
    }

    /// Every value of `field`.
    pub fn values<'a>(&'a self, field: &Field) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.fields.get_all(&field.0).iter().map(HeaderValue::as_bytes)
    }

    /// Makes `value` the only value of `field`.
    pub fn set(&mut self, field: &Field, value: Value) {
        self.0.fields.insert(&field.0, value.0);
    }

    /// Removes field `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.fields.remove(name);
    }
}

/// A response's status and fields.
#[derive(Debug)]
pub struct ResponseHead {
    status: http::StatusCode,
    fields: HeaderMap,
}

impl ResponseHead {
    /// A head with `status` and no fields; 500 where `status` is none.
    pub fn new(status: u16) -> Self {
        let status =
            http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, fields: HeaderMap::new() }
    }

    /// Takes in the head of an upstream's answer.
    pub(super) fn of(parts: http::response::Parts) -> Self {
        let mut fields = parts.headers;
        strip_hop_by_hop(&mut fields);
        Self { status: parts.status, fields }
    }

    pub(super) fn into_http<B>(self, body: B) -> http::Response<B> {
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields;
        response
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Every value of `field`.
    pub fn values<'a>(&'a self, field: &Field) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.fields.get_all(&field.0).iter().map(HeaderValue::as_bytes)
    }

    /// Adds a value to `field`.
    pub fn append(&mut self, field: &Field, value: Value) {
        self.fields.append(&field.0, value.0);
    }

    /// Makes `value` the only value of `field`.
    pub fn set(&mut self, field: &Field, value: Value) {
        self.fields.insert(&field.0, value.0);
    }

    /// Makes `value` the only value of field `name`, without a copy.
    pub fn set_static(&mut self, name: &'static str, value: &'static str) {
        self.fields.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a field ends at this hop whatever `Connection` says.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    name == CONNECTION
        || name == TRANSFER_ENCODING
        || name == UPGRADE
        || name == TE
        || name == PROXY_AUTHORIZATION
        || name == PROXY_AUTHENTICATE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Removes what ends at this hop, and what `Connection` names (RFC 9110 §7.6.1).
fn strip_hop_by_hop(fields: &mut HeaderMap) {
    if !fields.keys().any(is_hop_by_hop) {
        return;
    }
    let nominated: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        // `close` and `keep-alive` speak of the connection; what carries the message stays.
        .filter(|name| !is_hop_by_hop(name) && !is_end_to_end(name))
        .collect();
    for name in nominated {
        fields.remove(name);
    }
    let trailers = fields.get(TE).is_some_and(wants_trailers);
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        PROXY_AUTHORIZATION,
        PROXY_AUTHENTICATE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("http2-settings"),
    ] {
        fields.remove(name);
    }
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Fields that a `Connection` header must not take from a message: without them it is another.
fn is_end_to_end(name: &HeaderName) -> bool {
    name == HOST
        || name == COOKIE
        || name == AUTHORIZATION
        || name == TRAILER
        || name == http::header::CONTENT_LENGTH
        || name == http::header::CONTENT_TYPE
}

fn wants_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
