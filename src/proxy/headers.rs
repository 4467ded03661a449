//! What the next hop is told about a request, and what it must not be told.
//!
//! Forwarding headers of a peer that is not trusted are replaced: a client must not be able to
//! choose the address that an upstream sees (RFC 7239 §8.1).

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::dispatch::Routed;
use crate::table::Network;
use crate::wire::{self, Field, Head, ResponseHead, Value};

const VIA: Value = Value::of_static("1.1 serin");
const HTTP: Value = Value::of_static("http");
const HTTPS: Value = Value::of_static("https");
const FORWARDING: [Field; 5] = [
    Field::FORWARDED,
    Field::X_FORWARDED_FOR,
    Field::X_FORWARDED_HOST,
    Field::X_FORWARDED_PROTO,
    Field::X_REAL_IP,
];

#[derive(Clone, Debug)]
pub(super) struct HeadersLayer {
    trusted: Rc<[Network]>,
    via: bool,
}

impl HeadersLayer {
    pub(super) const fn new(trusted: Rc<[Network]>, via: bool) -> Self {
        Self { trusted, via }
    }
}

impl<S> Layer<S> for HeadersLayer {
    type Service = Headers<S>;

    fn layer(&self, inner: S) -> Headers<S> {
        Headers { inner, trusted: Rc::clone(&self.trusted), via: self.via }
    }
}

/// Edits the fields of requests to `inner`, and of its responses.
#[derive(Clone, Debug)]
pub(super) struct Headers<S> {
    inner: S,
    trusted: Rc<[Network]>,
    via: bool,
}

impl<S, W> Service<Routed> for Headers<S>
where
    S: Service<Routed, Response = wire::Response<W>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Edited<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut routed: Routed) -> Self::Future {
        tell(&mut routed.head, &routed.client, &self.trusted);
        let cookie = routed.goal.cookie.take();
        Edited { inner: self.inner.call(routed), via: self.via, cookie }
    }
}

pin_project! {
    /// The response future of [`Headers`].
    #[derive(Debug)]
    pub(super) struct Edited<F> {
        #[pin]
        inner: F,
        via: bool,
        cookie: Option<String>,
    }
}

impl<F, W, E> Future for Edited<F>
where
    F: Future<Output = Result<wire::Response<W>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx));
        if let Ok(wire::Response { head, .. }) = &mut response {
            if *this.via {
                head.append(&Field::VIA, VIA);
            }
            if let Some(cookie) = this.cookie.take()
                && !may_be_shared(head)
            {
                head.append(&Field::SET_COOKIE, Value::of(cookie.as_bytes()));
            }
        }
        Poll::Ready(response)
    }
}

/// Whether a shared cache may store a response, and would hand one user's cookie to another
/// (RFC 9111 §3.5, §5.2.2).
fn may_be_shared(head: &ResponseHead) -> bool {
    head.values(&Field::CACHE_CONTROL).flat_map(|value| value.split(|b| *b == b',')).any(
        |directive| {
            let directive = directive.trim_ascii();
            let name = directive.split(|b| *b == b'=').next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
        },
    )
}

/// Tells the upstream who asks.
fn tell(head: &mut Head, client: &wire::Client, trusted: &[Network]) {
    drop_look_alikes(head);
    let proto = if client.secure { HTTPS } else { HTTP };
    if is_trusted(client.peer.ip(), trusted) {
        let peer = client.peer.ip().to_canonical().to_string();
        extend(head, &Field::X_FORWARDED_FOR, peer.as_bytes());
        if !head.has(&Field::X_FORWARDED_PROTO) {
            head.set(&Field::X_FORWARDED_PROTO, proto);
        }
        if !head.has(&Field::X_FORWARDED_HOST) {
            tell_host(head);
        }
        if head.has(&Field::FORWARDED) {
            extend(head, &Field::FORWARDED, forwarded(client).as_bytes());
        }
    } else {
        head.set(&Field::X_FORWARDED_FOR, client.ip.clone());
        head.set(&Field::X_FORWARDED_PROTO, proto);
        tell_host(head);
        if head.has(&Field::X_REAL_IP) {
            head.set(&Field::X_REAL_IP, client.ip.clone());
        }
        if head.has(&Field::FORWARDED) {
            head.set(&Field::FORWARDED, Value::of(forwarded(client).as_bytes()));
        }
    }
    if head.has(&Field::VIA) {
        extend(head, &Field::VIA, [head.version(), " serin"].concat().as_bytes());
    } else {
        let via = match head.version() {
            "2" => "2 serin",
            "1.0" => "1.0 serin",
            _ => "1.1 serin",
        };
        head.set(&Field::VIA, Value::of_static(via));
    }
}

/// Tells the upstream which host was asked for. HTTP/1.0 may ask for none.
fn tell_host(head: &mut Head) {
    if head.has_authority() {
        head.set(&Field::X_FORWARDED_HOST, head.authority_value());
    } else {
        head.remove(Field::X_FORWARDED_HOST.name());
    }
}

/// One element of `Forwarded` (RFC 7239 §4).
fn forwarded(client: &wire::Client) -> String {
    let proto = if client.secure { "https" } else { "http" };
    match client.peer.ip().to_canonical() {
        IpAddr::V4(ip) => format!("for={ip};proto={proto}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\";proto={proto}"),
    }
}

/// Appends `value` to the list in `field`.
fn extend(head: &mut Head, field: &Field, value: &[u8]) {
    let list: Vec<&[u8]> = head.values(field).chain([value]).collect();
    let list = Value::of(&list.join(&b", "[..]));
    head.set(field, list);
}

/// Removes names that some servers read as one of the forwarding headers: `X_Forwarded_For`.
fn drop_look_alikes(head: &mut Head) {
    let look_alike = |name: &str| {
        name.contains('_')
            && FORWARDING
                .iter()
                .any(|real| real.name().eq_ignore_ascii_case(&name.replace('_', "-")))
    };
    if head.is_in_a_name(b'_') {
        let names: Vec<String> =
            head.field_names().filter(|n| look_alike(n)).map(ToOwned::to_owned).collect();
        for name in names {
            head.remove(&name);
        }
    }
}

fn is_trusted(ip: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(ip))
}

/// The client's address: the peer's, or where trusted proxies stand before us the last one in
/// `X-Forwarded-For` that is none of theirs.
pub(super) fn client_ip(head: &Head, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    let lists: Vec<&[u8]> = head.values(&Field::X_FORWARDED_FOR).collect();
    for hop in lists.iter().rev().flat_map(|list| list.rsplit(|b| *b == b',')) {
        let Some(ip) = std::str::from_utf8(hop.trim_ascii()).ok().and_then(|t| t.parse().ok())
        else {
            break;
        };
        client = ip;
        if !is_trusted(ip, trusted) {
            break;
        }
    }
    client
}
