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
use super::rehearse::{Part, Rehearsed};
use super::{Worker, headers, rehearse};
use crate::measure::{Attempt, SlotId};
use crate::split::sticky::{self, Carrier, Key, Source};
use crate::split::{Bucket, Role, assign};
use crate::table::matching::Matched;
use crate::table::{self, Held, Network, Placebo};
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
    /// Where it is measured.
    pub(super) slots: Slots,
    /// The hash of the key that chose the side; none where chance or a tester did.
    pub(super) key: Option<u64>,
    /// The route it is on, where routes are counted.
    pub(super) route: Option<u8>,
    /// Whether the judge sees it: a tester's it does not.
    pub(super) judged: bool,
    /// Its part in a rehearsal.
    pub(super) part: Part,
    /// The cookie to set, where one was issued.
    pub(super) cookie: Option<String>,
}

/// Where a request is measured, by the side that serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    pub(super) stable: SlotId,
    pub(super) canary: SlotId,
}

impl Slots {
    pub(super) const fn of(self, on_canary: bool) -> SlotId {
        if on_canary { self.canary } else { self.stable }
    }
}

impl Routed {
    pub(super) fn service(&self) -> &table::Service {
        &self.table.services[self.service]
    }

    /// Its first attempt, before it is made.
    pub(super) fn attempt(&self) -> Attempt {
        let slot = self.slots.of(self.role == Role::Canary);
        Attempt { route: self.route, key: self.key, ..Attempt::on(slot) }
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
    let wire::Request { mut head, body, client } = request;
    let table = worker.table.borrow_mut().load();
    if !table.rehearsals.is_empty()
        && let Some(rehearsed) = rehearse::find(&table, &mut head)
    {
        let Rehearsed { service, role, slots, part } = rehearsed;
        let (key, route, judged, cookie) = (None, None, true, None);
        return Some(Routed {
            head,
            body,
            client,
            table,
            service,
            role,
            slots,
            key,
            route,
            judged,
            part,
            cookie,
        });
    }
    let number = table.matcher.find(&Asked { head: &head, ip: client.peer.ip() })?;
    let service = &table.services[number];
    let assigned = if service.canary.is_none() && service.placebo.is_none() {
        Assigned::to(Role::Stable)
    } else {
        let ip = headers::client_ip(&head, client.peer.ip(), trusted);
        assign_side(service, &Asked { head: &head, ip }, client.secure, &worker.random)
    };
    let Assigned { role, forced, key, placebo, cookie } = assigned;
    let stable = match service.placebo {
        Some(half) if placebo && role == Role::Stable => half.slot,
        _ => service.stable.slot,
    };
    let slots = Slots { stable, canary: service.side(Role::Canary).slot };
    if role == Role::Stable && !forced && worker.is_sampled() {
        worker.writer.sample(service.stable.slot, head.path());
    }
    let route = if service.routes.is_empty() { None } else { service.routes.find(head.path()) };
    let (judged, part, service) = (!forced, Part::None, number);
    Some(Routed {
        head,
        body,
        client,
        table,
        service,
        role,
        slots,
        key,
        route,
        judged,
        part,
        cookie,
    })
}

/// The side that a request falls on, and what is known of why.
#[derive(Debug)]
struct Assigned {
    role: Role,
    /// Whether a tester chose it.
    forced: bool,
    /// The hash of the key that chose it.
    key: Option<u64>,
    /// Whether it is in the half of stable that is measured on its own.
    placebo: bool,
    /// The cookie to set.
    cookie: Option<String>,
}

impl Assigned {
    const fn to(role: Role) -> Self {
        Self { role, forced: false, key: None, placebo: false, cookie: None }
    }
}

fn assign_side(
    service: &table::Service,
    asked: &Asked<'_>,
    secure: bool,
    random: &RefCell<impl RngExt>,
) -> Assigned {
    for rule in &service.force {
        if asked.holds(&rule.source, rule.value.as_bytes()) {
            return Assigned { forced: true, ..Assigned::to(rule.to) };
        }
    }
    let split = service.split;
    let by_key = |key: &[u8]| {
        let bucket = Bucket::of(key, split.salt);
        Assigned {
            key: Some(bucket.position()),
            placebo: service.placebo.is_some_and(|half| Placebo::holds(half.bucket(key))),
            ..Assigned::to(assign(bucket, split.weight))
        }
    };
    let by_chance = || {
        let draw = || Bucket::from_uniform(random.borrow_mut().random());
        let role = match split.weight.is_zero() {
            true => Role::Stable,
            false => assign(draw(), split.weight),
        };
        let placebo = service.placebo.is_some() && Placebo::holds(draw());
        Assigned { placebo, ..Assigned::to(role) }
    };
    match sticky::find(&service.sticky, service.issuer.as_ref(), asked) {
        Key::Carried { bytes, .. } => by_key(&bytes),
        Key::Issue => match &service.issuer {
            // Without a canary there is nothing to keep a user on.
            Some(issuer) if service.canary.is_some() => {
                let (id, cookie) = issuer.issue(random.borrow_mut().random(), secure);
                Assigned { cookie: Some(cookie), ..by_key(id.as_bytes()) }
            }
            _ => Assigned { role: Role::Stable, ..by_chance() },
        },
        Key::Nothing => by_chance(),
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
