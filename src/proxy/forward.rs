//! An endpoint, a connection, and the answer's head.
//!
//! A request moves on only where that is safe: to another endpoint while not a byte of it was
//! sent, and once more when it may be sent twice. From a canary that cannot take it, it
//! falls back to stable; from stable to nobody, for a canary must not silently become stable.

use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt;

use super::dispatch::{Goal, Routed};
use super::error::Error;
use super::rehearse::{self, Part};
use super::{Exchange, Worker};
use crate::split::Role;
use crate::table::Side;
use crate::upstream::{Balance, Endpoint, Pool, Standing, connect, pick};
use crate::wire::client::{Connection, Unanswered};
use crate::wire::{self, Body, Head, ResponseHead};

/// How many endpoints of one pool a request is offered to.
const OFFERS: usize = 3;

type Answer = wire::Response<Exchange>;

/// Why an attempt gave no answer, and the request where it may be made again.
struct Failed {
    error: Error,
    again: Option<(Head, Body)>,
}

/// Whether a request that was sent may be sent once more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Repeat {
    /// Where sending it twice is the same as sending it once.
    IfIdempotent,
    /// It was sent twice.
    Never,
}

impl Repeat {
    /// A copy to be sent again; a request with a body has none.
    fn copy(self, head: &Head, body: &Body) -> Option<Head> {
        let may_be = self == Self::IfIdempotent && body.is_done() && head.is_idempotent();
        may_be.then(|| head.clone())
    }
}

/// The endpoints of a pool that a request was offered to; held in place, for every request has one.
#[derive(Default)]
struct Tried {
    ids: [u64; OFFERS],
    count: usize,
}

impl Tried {
    fn add(&mut self, id: u64) {
        if let Some(free) = self.ids.get_mut(self.count) {
            *free = id;
            self.count += 1;
        }
    }

    fn has(&self, id: u64) -> bool {
        self.ids[..self.count].contains(&id)
    }

    const fn is_empty(&self) -> bool {
        self.count == 0
    }

    const fn is_full(&self) -> bool {
        self.count == OFFERS
    }
}

/// Gives a request to an upstream, and waits for the head of its answer.
pub(super) async fn forward(
    worker: Rc<Worker>,
    routed: Routed,
    mut exchange: Exchange,
) -> Result<Answer, Error> {
    if routed.goal.part == Part::Fail {
        return Ok(rehearse::fail(&routed, exchange));
    }
    let Routed { head, body, table, goal: Goal { service, mut role, slots, part, .. }, .. } =
        routed;
    let service = &table.services[service];
    let mut request = (head, body);
    let mut side = service.side(role);
    if service.canary.is_none() {
        role = Role::Stable;
    }
    let mut tried = Tried::default();
    let mut repeat = Repeat::IfIdempotent;
    let (mut was_reset, mut may_return) = (false, true);
    loop {
        let mut chosen = choose(&side.pool, &worker, &tried);
        if chosen.is_none() && was_reset && role == Role::Stable && may_return {
            // There is no other to send it to once more.
            may_return = false;
            chosen = choose(&side.pool, &worker, &Tried::default());
        }
        let failed = match chosen {
            Some(endpoint) => {
                tried.add(endpoint.id);
                exchange.given_to(endpoint.begin());
                match attempt(&worker, side, &endpoint, request, &mut repeat).await {
                    Ok((mut head, mut body)) => {
                        if part == Part::Forward {
                            rehearse::name(&mut head, &side.pool);
                        }
                        exchange.answered(head.status());
                        if !body.is_done() {
                            body.bound(exchange.started() + side.pool.timeouts.total);
                        }
                        return Ok(wire::Response { head, body, watch: Some(exchange) });
                    }
                    Err(failed) => failed,
                }
            }
            None => Failed { error: no_endpoint(&side.pool, &tried), again: Some(request) },
        };
        let Some(again) = failed.again else {
            exchange.failed(failed.error.outcome());
            return Err(failed.error);
        };
        request = again;
        was_reset = matches!(failed.error, Error::Wire(wire::Error::Reset));
        let exhausted = matches!(failed.error, Error::NoEndpoint { .. }) || tried.is_full();
        // Before its first check a pool is not at fault for taking nothing.
        if tried.is_empty() && side.pool.standing() == Standing::Unknown {
            exchange.moved_to(slots.of(role));
        }
        if exhausted && role == Role::Stable {
            let error = if tried.is_empty() { failed.error } else { Error::Connect };
            exchange.failed(error.outcome());
            return Err(error);
        }
        exchange.attempt_failed(failed.error.outcome());
        if exhausted {
            role = Role::Stable;
            tried = Tried::default();
            side = &service.stable;
        }
        exchange.moved_to(slots.of(role));
    }
}

fn choose(pool: &Pool, worker: &Worker, tried: &Tried) -> Option<Arc<Endpoint>> {
    let endpoints = &pool.endpoints;
    let load = |index: usize| {
        let endpoint: &Endpoint = &endpoints[index];
        (endpoint.is_available() && !tried.has(endpoint.id)).then(|| endpoint.in_flight())
    };
    let draw = worker.random.borrow_mut().random();
    let chosen = match pool.balance {
        Balance::LeastRequest => pick::least_request(endpoints.len(), draw, load),
        Balance::RoundRobin => pick::round_robin(endpoints.len(), worker.turn(), load),
    };
    chosen.map(|index| Arc::clone(&endpoints[index]))
}

fn no_endpoint(pool: &Pool, tried: &Tried) -> Error {
    let name = &pool.name;
    let reason = match (&pool.health_path, pool.endpoints.len()) {
        _ if !tried.is_empty() => format!("no endpoint of pool {name} could be reached"),
        (_, 0) => format!("pool {name} has no address yet: its names do not resolve"),
        (Some(path), count) => format!(
            "none of the {count} endpoints of pool {name} passes GET {path}; see `serin status`"
        ),
        (None, count) => format!("none of the {count} endpoints of pool {name} is up"),
    };
    Error::NoEndpoint { reason }
}

/// Offers a request to one endpoint.
async fn attempt(
    worker: &Rc<Worker>,
    side: &Side,
    endpoint: &Arc<Endpoint>,
    request: (Head, Body),
    repeat: &mut Repeat,
) -> Result<(ResponseHead, Body), Failed> {
    let (head, body) = request;
    let limits = side.pool.timeouts;
    let limit = limits.first_byte.min(limits.total);
    let (head, body) = match worker.idle.take(endpoint.id) {
        None => (head, body),
        Some(connection) => {
            // An idle connection may have been closed under our hands.
            let copy = repeat.copy(&head, &body);
            match connection.send(head, body, limit).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered { unsent: Some(request), .. }) => *request,
                Err(Unanswered { error: wire::Error::Reset, unsent: None }) => match copy {
                    Some(head) => {
                        *repeat = Repeat::Never;
                        (head, Body::empty())
                    }
                    None => return Err(wire::Error::Reset.into()),
                },
                Err(Unanswered { error, .. }) => return Err(error.into()),
            }
        }
    };
    let Ok(connection) = open(worker, endpoint, side).await else {
        return Err(Failed { error: Error::Connect, again: Some((head, body)) });
    };
    let copy = repeat.copy(&head, &body);
    connection.send(head, body, limit).await.map_err(|Unanswered { error, unsent }| {
        let unsent = unsent.map(|request| *request);
        let again = match (error, unsent, copy) {
            // Nothing came back.
            (wire::Error::Reset, None, Some(head)) => {
                *repeat = Repeat::Never;
                Some((head, Body::empty()))
            }
            (_, unsent, _) => unsent,
        };
        Failed { error: Error::Wire(error), again }
    })
}

async fn open(worker: &Worker, endpoint: &Endpoint, side: &Side) -> Result<Connection, ()> {
    let stream = connect::connect(endpoint.address, side.pool.timeouts.connect).await;
    let stream = stream.map_err(|error| {
        tracing::debug!(address = %endpoint.address, %error, "cannot connect");
    })?;
    Ok(Connection::open(stream, endpoint.id, &worker.idle))
}

impl From<wire::Error> for Failed {
    fn from(error: wire::Error) -> Self {
        Self { error: Error::Wire(error), again: None }
    }
}
