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
use crate::config::Network;
use crate::wire::{self, Head, ResponseHead};

const VIA: &str = "via";
const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_REAL_IP: &str = "x-real-ip";
const FORWARDING: [&str; 5] =
    [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP];

#[derive(Clone, Debug)]
pub(super) struct HeadersLayer {
    trusted: Rc<[Network]>,
}

impl HeadersLayer {
    pub(super) const fn new(trusted: Rc<[Network]>) -> Self {
        Self { trusted }
    }
}

impl<S> Layer<S> for HeadersLayer {
    type Service = Headers<S>;

    fn layer(&self, inner: S) -> Headers<S> {
        Headers { inner, trusted: Rc::clone(&self.trusted) }
    }
}

/// Edits the fields of requests to `inner`, and of its responses.
#[derive(Clone, Debug)]
pub(super) struct Headers<S> {
    inner: S,
    trusted: Rc<[Network]>,
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
        tell(&mut routed.head, routed.client, &self.trusted);
        let cookie = routed.cookie.take();
        Edited { inner: self.inner.call(routed), cookie }
    }
}

pin_project! {
    /// The response future of [`Headers`].
    #[derive(Debug)]
    pub(super) struct Edited<F> {
        #[pin]
        inner: F,
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
            head.append(VIA, b"1.1 serin");
            if let Some(cookie) = this.cookie.take()
                && !may_be_shared(head)
            {
                head.append("set-cookie", cookie.as_bytes());
            }
        }
        Poll::Ready(response)
    }
}

/// Whether a shared cache may store a response, and would hand one user's cookie to another
/// (RFC 9111 §3.5, §5.2.2).
fn may_be_shared(head: &ResponseHead) -> bool {
    head.fields("cache-control").flat_map(|value| value.split(|b| *b == b',')).any(|directive| {
        let directive = directive.trim_ascii();
        let name = directive.split(|b| *b == b'=').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
    })
}

/// Tells the upstream who asks.
fn tell(head: &mut Head, client: wire::Client, trusted: &[Network]) {
    let peer = client.peer.ip();
    drop_look_alikes(head);
    let proto: &[u8] = if client.secure { b"https" } else { b"http" };
    if is_trusted(peer, trusted) {
        extend(head, X_FORWARDED_FOR, peer.to_canonical().to_string().as_bytes());
        if head.field(X_FORWARDED_PROTO).is_none() {
            head.set(X_FORWARDED_PROTO, proto);
        }
        if head.field(X_FORWARDED_HOST).is_none() {
            set_host(head);
        }
        if head.field(FORWARDED).is_some() {
            extend(head, FORWARDED, forwarded(peer, proto).as_bytes());
        }
    } else {
        head.set_ip(X_FORWARDED_FOR, peer);
        head.set(X_FORWARDED_PROTO, proto);
        set_host(head);
        if head.field(X_REAL_IP).is_some() {
            head.set_ip(X_REAL_IP, peer);
        }
        if head.field(FORWARDED).is_some() {
            head.set(FORWARDED, forwarded(peer, proto).as_bytes());
        }
    }
    let via = [head.version(), " serin"].concat();
    extend(head, VIA, via.as_bytes());
}

fn set_host(head: &mut Head) {
    let host = head.authority().as_bytes().to_vec();
    head.set(X_FORWARDED_HOST, &host);
}

/// One element of `Forwarded` (RFC 7239 §4).
fn forwarded(peer: IpAddr, proto: &[u8]) -> String {
    let proto = String::from_utf8_lossy(proto);
    match peer.to_canonical() {
        IpAddr::V4(ip) => format!("for={ip};proto={proto}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\";proto={proto}"),
    }
}

/// Appends `value` to the list in field `name`.
fn extend(head: &mut Head, name: &'static str, value: &[u8]) {
    if head.field(name).is_none() {
        return head.set(name, value);
    }
    let mut list = head.fields(name).collect::<Vec<_>>().join(&b", "[..]);
    list.extend_from_slice(b", ");
    list.extend_from_slice(value);
    head.set(name, &list);
}

/// Removes names that some servers read as one of the forwarding headers: `x_forwarded_for`.
fn drop_look_alikes(head: &mut Head) {
    let look_alike = |name: &str| {
        name.contains('_') && FORWARDING.iter().any(|real| *real == name.replace('_', "-"))
    };
    if head.field_names().any(|name| name.contains('_')) {
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
    let lists: Vec<&[u8]> = head.fields(X_FORWARDED_FOR).collect();
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
