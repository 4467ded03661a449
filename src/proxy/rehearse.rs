//! Requests of a rehearsal: serin's own, which carry a token that nobody else knows.
//!
//! They go to the service that is rehearsed whatever it matches, and what they come to is measured
//! apart from what clients see. Without the token the fields mean nothing.

use bytes::Bytes;

use super::Exchange;
use super::dispatch::{Routed, Slots};
use crate::split::Role;
use crate::table::{Rehearsal, Table};
use crate::upstream::Pool;
use crate::wire::{self, Field, Head, ResponseHead, Value};

const STABLE: &[u8] = b"stable";
const FAILED: u16 = 503;

/// What part a request has in a rehearsal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// None: it is a client's.
    None,
    /// It goes on its way, and the answer says which pool gave it.
    Forward,
    /// It stands for one that the canary fails. The canary does not see it.
    Fail,
}

/// Where a request of a rehearsal goes.
#[derive(Debug)]
pub(super) struct Rehearsed {
    pub(super) service: usize,
    pub(super) role: Role,
    pub(super) slots: Slots,
    pub(super) part: Part,
}

/// Takes the fields of a rehearsal out of `head`, and finds the one whose token they carry.
pub(super) fn find(table: &Table, head: &mut Head) -> Option<Rehearsed> {
    let known = head.field(Field::X_SERIN_REHEARSAL.name()).and_then(|token| {
        // The time this takes tells nothing of how much of a guess was right.
        let is_of = |rehearsal: &&Rehearsal| {
            let known = rehearsal.token.as_bytes();
            !known.is_empty()
                && aws_lc_rs::constant_time::verify_slices_are_equal(known, token).is_ok()
        };
        let known = table.rehearsals.iter().find(is_of)?;
        (known.service < table.services.len()).then_some(known)
    });
    let asks_for_stable = head.field(Field::X_SERIN_REHEARSAL_SIDE.name()) == Some(STABLE);
    head.remove(Field::X_SERIN_REHEARSAL.name());
    head.remove(Field::X_SERIN_REHEARSAL_SIDE.name());

    let known = known?;
    let role = if asks_for_stable { Role::Stable } else { known.to };
    let part = if known.fail && role == Role::Canary { Part::Fail } else { Part::Forward };
    let slots = Slots { stable: known.stable, canary: known.canary };
    Some(Rehearsed { service: known.service, role, slots, part })
}

/// The answer to a request that stands for one that the canary fails.
pub(super) fn fail(routed: &Routed, mut exchange: Exchange) -> wire::Response<Exchange> {
    let mut head = ResponseHead::new(FAILED);
    head.set_static("content-type", "text/plain; charset=utf-8");
    name(&mut head, &routed.service().side(routed.role).pool);
    exchange.answered(FAILED);
    let body = wire::Body::of(Bytes::from_static(b"failed by a rehearsal\n"));
    wire::Response { head, body, watch: Some(exchange) }
}

/// Says in `head` which pool answered.
pub(super) fn name(head: &mut ResponseHead, pool: &Pool) {
    head.set(&Field::X_SERIN_POOL, Value::of(pool.name.as_bytes()));
}
