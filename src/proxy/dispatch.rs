//! Which service a request is for, and where it is measured.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::assign::{Asked, Assigned, assign};
use super::error::Error;
use super::rehearse::Part;
use super::{Worker, headers, rehearse};
use crate::measure::{Attempt, SlotId};
use crate::split::Role;
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
    pub(super) goal: Goal,
}

/// Where a request goes, and where that is measured.
#[derive(Debug)]
pub(super) struct Goal {
    /// The service's number in the table.
    pub(super) service: usize,
    /// The side it was assigned to.
    pub(super) role: Role,
    /// The counters of each side.
    pub(super) slots: Slots,
    /// The hash of the key that chose the side; none where chance or a tester did.
    pub(super) key: Option<u64>,
    /// The route it is on, where routes are counted.
    pub(super) route: Option<u8>,
    /// Whether its first attempt is counted: a tester's is not.
    pub(super) judged: bool,
    /// Its part in a rehearsal.
    pub(super) part: Part,
    /// The cookie to set, where one was issued.
    pub(super) cookie: Option<String>,
}

/// The counters of a request, by the side that serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    pub(super) stable: SlotId,
    pub(super) canary: SlotId,
}

impl Slots {
    pub(super) const fn of(self, role: Role) -> SlotId {
        match role {
            Role::Stable => self.stable,
            Role::Canary => self.canary,
        }
    }
}

impl Goal {
    /// The first attempt, before it is made.
    pub(super) const fn attempt(&self) -> Attempt {
        let slot = self.slots.of(self.role);
        Attempt { route: self.route, key: self.key, ..Attempt::on(slot) }
    }
}

impl Routed {
    pub(super) fn service(&self) -> &table::Service {
        &self.table.services[self.goal.service]
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
    let rehearsed =
        if table.rehearsals.is_empty() { None } else { rehearse::find(&table, &mut head) };
    let goal = match rehearsed {
        Some(goal) => goal,
        None => goal(&table, &head, &client, worker, trusted)?,
    };
    Some(Routed { head, body, client, table, goal })
}

fn goal(
    table: &Held,
    head: &wire::Head,
    client: &wire::Client,
    worker: &Worker,
    trusted: &[Network],
) -> Option<Goal> {
    let number = table.matcher.find(&Asked { head, ip: client.peer.ip() })?;
    let service = &table.services[number];
    let assigned = if service.canary.is_none() && service.placebo.is_none() {
        Assigned::to(Role::Stable)
    } else {
        let ip = headers::client_ip(head, client.peer.ip(), trusted);
        assign(service, &Asked { head, ip }, client.secure, &worker.random)
    };
    let Assigned { role, forced, key, placebo, cookie } = assigned;
    let stable = match service.placebo {
        Some(half) if placebo && role == Role::Stable => half.slot,
        _ => service.stable.slot,
    };
    if role == Role::Stable && !forced && worker.is_sampled() {
        worker.writer.sample(service.stable.slot, head.path());
    }
    let slots = Slots { stable, canary: service.side(Role::Canary).slot };
    let route = if service.routes.is_empty() { None } else { service.routes.find(head.path()) };
    let (service, judged, part) = (number, !forced, Part::None);
    Some(Goal { service, role, slots, key, route, judged, part, cookie })
}
