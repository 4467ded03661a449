//! Which service a request is for, and which side of its split it falls on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use rand::RngExt;
use tower::{Layer, Service};

use super::error::Error;
use super::{Worker, headers};
use crate::split::sticky::{self, Carrier, Key, Source};
use crate::split::{Bucket, Role, assign};
use crate::table::matching::Matched;
use crate::table::{self, Held, Network};
use crate::wire;

/// A request that knows where it goes.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) head: wire::Head,
    pub(super) body: wire::Body,
    pub(super) client: wire::Client,
    /// The table it began with; it is kept to the end.
    pub(super) table: Rc<Held>,
    /// The service's number in that table.
    pub(super) service: usize,
    /// The side it was assigned to.
    pub(super) role: Role,
    /// Whether a tester chose the side.
    pub(super) forced: bool,
    /// The cookie to set, where one was issued.
    pub(super) cookie: Option<String>,
}

impl Routed {
    pub(super) fn service(&self) -> &table::Service {
        &self.table.services[self.service]
    }
}

#[derive(Clone, Debug)]
pub(super) struct DispatchLayer {
    worker: Rc<Worker>,
    trusted: Rc<[Network]>,
}

impl DispatchLayer {
    pub(super) fn new(worker: &Rc<Worker>, trusted: &Rc<[Network]>) -> Self {
        Self { worker: Rc::clone(worker), trusted: Rc::clone(trusted) }
    }
}

impl<S> Layer<S> for DispatchLayer {
    type Service = Dispatch<S>;

    fn layer(&self, inner: S) -> Dispatch<S> {
        Dispatch { inner, worker: Rc::clone(&self.worker), trusted: Rc::clone(&self.trusted) }
    }
}

/// Routes requests to `inner`.
#[derive(Clone, Debug)]
pub(super) struct Dispatch<S> {
    inner: S,
    worker: Rc<Worker>,
    trusted: Rc<[Network]>,
}

impl<S> Service<wire::Request> for Dispatch<S>
where
    S: Service<Routed, Error = Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Dispatched<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: wire::Request) -> Self::Future {
        match route(request, &self.worker, &self.trusted) {
            Some(routed) => Dispatched::Routed { inner: self.inner.call(routed) },
            None => Dispatched::NoService,
        }
    }
}

pin_project! {
    /// The response future of [`Dispatch`].
    #[project = DispatchedProjection]
    #[derive(Debug)]
    pub(super) enum Dispatched<F> {
        Routed { #[pin] inner: F },
        NoService,
    }
}

impl<F, R> Future for Dispatched<F>
where
    F: Future<Output = Result<R, Error>>,
{
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            DispatchedProjection::Routed { inner } => inner.poll(cx),
            DispatchedProjection::NoService => Poll::Ready(Err(Error::NoService)),
        }
    }
}

fn route(request: wire::Request, worker: &Worker, trusted: &[Network]) -> Option<Routed> {
    let wire::Request { head, body, client } = request;
    let table = worker.table.borrow_mut().load();
    let number = table.matcher.find(&Asked { head: &head, ip: client.peer.ip() })?;
    let service = &table.services[number];
    let (role, forced, cookie) = if service.canary.is_none() {
        (Role::Stable, false, None)
    } else {
        let ip = headers::client_ip(&head, client.peer.ip(), trusted);
        side(service, &Asked { head: &head, ip }, client.secure, &worker.random)
    };
    Some(Routed { head, body, client, table, service: number, role, forced, cookie })
}

fn side(
    service: &table::Service,
    asked: &Asked<'_>,
    secure: bool,
    random: &RefCell<impl RngExt>,
) -> (Role, bool, Option<String>) {
    for rule in &service.force {
        if asked.holds(&rule.source, rule.value.as_bytes()) {
            return (rule.to, true, None);
        }
    }
    let split = service.split;
    let draw = |role| (role, false, None);
    match sticky::find(&service.sticky, service.issuer.as_ref(), asked) {
        Key::Carried { bytes, .. } => draw(split.side_of(&bytes)),
        Key::Issue => match &service.issuer {
            Some(issuer) => {
                let (id, cookie) = issuer.issue(random.borrow_mut().random(), secure);
                (split.side_of(id.as_bytes()), false, Some(cookie))
            }
            None => draw(Role::Stable),
        },
        Key::Nothing if split.weight.is_zero() => draw(Role::Stable),
        Key::Nothing => {
            let bucket = Bucket::from_uniform(random.borrow_mut().random());
            draw(assign(bucket, split.weight))
        }
    }
}

/// A request as matching and stickiness see it.
pub(super) struct Asked<'a> {
    pub(super) head: &'a wire::Head,
    pub(super) ip: IpAddr,
}

impl Asked<'_> {
    /// Whether the request carries `secret` at `source`. The time this takes tells nothing of how
    /// much of a guess was right.
    fn holds(&self, source: &Source, secret: &[u8]) -> bool {
        let value = match source {
            Source::Header(name) => self.head.field(name).map(Cow::Borrowed),
            Source::Cookie(name) => self.cookie(name).map(Cow::Borrowed),
            Source::Query(name) => Carrier::query(self)
                .and_then(|q| sticky::query(q, name))
                .map(|v| v.as_bytes().into()),
            Source::Ip | Source::Issue => None,
        };
        value.is_some_and(|value| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&value, secret).is_ok()
        })
    }
}

impl Carrier for Asked<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.head.values(&wire::Field::COOKIE)
    }

    fn query(&self) -> Option<&str> {
        self.head.query()
    }

    fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl Matched for Asked<'_> {
    fn host(&self) -> &str {
        self.head.host()
    }

    fn path(&self) -> &str {
        self.head.path()
    }

    fn method(&self) -> &str {
        self.head.method()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }
}
