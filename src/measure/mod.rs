//! What requests cost, counted where they are served and drained where they are judged.
//!
//! Each worker writes its own shard of the [`Recorder`] with plain stores: no lock, no shared
//! written cache line. Control drains all shards each tick by comparing them with what it saw
//! last, so no worker ever waits.

mod drain;
pub mod histogram;
mod in_flight;
mod keys;
pub mod outcome;
mod recorder;
pub mod routes;
mod samples;

pub use drain::{Delta, Drain, RouteErrors};
pub use in_flight::Ticket;
pub use outcome::{Fault, Outcome};
pub use recorder::{Attempt, Recorder, SLOTS_MAX, SlotId, Writer};
pub use routes::ROUTES_MAX;

#[cfg(test)]
mod tests;
