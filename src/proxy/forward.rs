//! An endpoint, a connection, and the answer's head.
//!
//! A request moves on only where that is safe: to another endpoint while not a byte of it was
//! sent, and once more when it may be sent twice. From a canary that cannot take it, it
//! falls back to stable; from stable to nobody, for a canary must not silently become stable.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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

/// Whom a request was offered to; held in place, for every request has one.
struct Offers {
    /// The endpoints, of one pool.
    ids: [u64; OFFERS],
    count: usize,
    /// What the last of them did.
    last: Option<Error>,
    /// Whether it may be sent once more where sending it twice is the same as sending it once.
    may_repeat: bool,
}

impl Offers {
    const fn none(may_repeat: bool) -> Self {
        Self { ids: [0; OFFERS], count: 0, last: None, may_repeat }
    }

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

    const fn was_reset(&self) -> bool {
        matches!(self.last, Some(Error::Wire(wire::Error::Reset)))
    }

    const fn is_full(&self) -> bool {
        self.count == OFFERS
    }

    /// A copy of a request, to be sent once more; one with a body has none.
    fn copy(&self, (head, body): &(Head, Body)) -> Option<Head> {
        (self.may_repeat && body.is_done() && head.is_idempotent()).then(|| head.clone())
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
    let mut offers = Offers::none(true);
    loop {
        let mut chosen = choose(&side.pool, &worker, &offers);
        if chosen.is_none() && offers.was_reset() && role == Role::Stable {
            // There is no other to send it to once more.
            chosen = choose(&side.pool, &worker, &Offers::none(false));
        }
        let failed = match chosen {
            Some(endpoint) => {
                offers.add(endpoint.id);
                exchange.given_to(endpoint.begin());
                match attempt(&worker, side, endpoint, request, &mut offers).await {
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
            None => {
                let error = offers.last.take().unwrap_or_else(|| no_endpoint(&side.pool));
                Failed { error, again: Some(request) }
            }
        };
        let exhausted = chosen.is_none() || offers.is_full();
        // A pool is not at fault for what we lack, nor before its first check for taking nothing.
        if failed.error == Error::Exhausted
            || offers.is_empty() && side.pool.standing() == Standing::Unknown
        {
            exchange.moved_to(slots.of(role));
        }
        let Some(again) = failed.again.filter(|_| !exhausted || role == Role::Canary) else {
            exchange.failed(failed.error.outcome());
            return Err(failed.error);
        };
        request = again;
        exchange.attempt_failed(failed.error.outcome());
        offers.last = Some(failed.error);
        if exhausted {
            role = Role::Stable;
            offers = Offers::none(offers.may_repeat);
            side = &service.stable;
        }
        exchange.moved_to(slots.of(role));
    }
}

fn choose<'a>(pool: &'a Pool, worker: &Worker, offers: &Offers) -> Option<&'a Arc<Endpoint>> {
    let endpoints = &pool.endpoints;
    let load = |index: usize| {
        let endpoint: &Endpoint = &endpoints[index];
        (endpoint.is_available() && !offers.has(endpoint.id)).then(|| endpoint.in_flight())
    };
    let draw = worker.random.borrow_mut().random();
    let chosen = match pool.balance {
        Balance::LeastRequest => pick::least_request(endpoints.len(), draw, load),
        Balance::RoundRobin => pick::round_robin(endpoints.len(), worker.turn(), load),
    };
    chosen.map(|index| &endpoints[index])
}

fn no_endpoint(pool: &Pool) -> Error {
    let name = &pool.name;
    let reason = match (&pool.health_path, pool.endpoints.len()) {
        (_, 0) => format!("pool {name} has no address yet: its names do not resolve"),
        (_, count) if pool.endpoints.iter().all(|endpoint| endpoint.is_drained()) => {
            format!(
                "all {count} endpoints of pool {name} are drained; `serin enable` lets one back in"
            )
        }
        (Some(path), count) => format!(
            "none of the {count} endpoints of pool {name} passes GET {path}; see `serin status`"
        ),
        (None, count) => format!("none of the {count} endpoints of pool {name} is up"),
    };
    Error::NoEndpoint { reason }
}

/// Offers a request to one endpoint.
async fn attempt(
    worker: &Worker,
    side: &Side,
    endpoint: &Endpoint,
    request: (Head, Body),
    offers: &mut Offers,
) -> Result<(ResponseHead, Body), Failed> {
    let limits = side.pool.timeouts;
    let limit = limits.first_byte.min(limits.total);
    let request = match worker.idle.take(endpoint.id) {
        None => request,
        // An idle connection may have been closed under our hands.
        Some(idle) => match send(idle, request, limit, offers).await {
            Err(Failed { again: Some(request), .. }) => request,
            done => return done,
        },
    };
    match open(worker, endpoint, side).await {
        Ok(connection) => send(connection, request, limit, offers).await,
        Err(error) => Err(Failed { error, again: Some(request) }),
    }
}

/// Sends a request over one connection.
async fn send(
    connection: Connection,
    request: (Head, Body),
    limit: Duration,
    offers: &mut Offers,
) -> Result<(ResponseHead, Body), Failed> {
    let copy = offers.copy(&request);
    let (head, body) = request;
    connection.send(head, body, limit).await.map_err(|Unanswered { error, unsent }| {
        let again = match (unsent, error, copy) {
            (Some(unsent), ..) => Some(*unsent),
            // Nothing came back.
            (None, wire::Error::Reset, Some(head)) => {
                offers.may_repeat = false;
                Some((head, Body::empty()))
            }
            _ => None,
        };
        Failed { error: Error::Wire(error), again }
    })
}

async fn open(worker: &Worker, endpoint: &Endpoint, side: &Side) -> Result<Connection, Error> {
    let stream = connect::connect(endpoint.address, side.pool.timeouts.connect).await;
    let stream = stream.map_err(|error| {
        tracing::debug!(address = %endpoint.address, %error, "cannot connect");
        if connect::is_our_want(&error, endpoint.address) {
            Error::Exhausted
        } else {
            Error::Connect
        }
    })?;
    Ok(Connection::open(stream, endpoint.id, &worker.idle))
}
