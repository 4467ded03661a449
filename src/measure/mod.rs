//! What requests cost, counted where they are served and drained where they are judged.
//!
//! Each worker writes its own shard of the [`Recorder`] with plain stores: no lock, no shared
//! written cache line. Control drains all shards each tick by comparing them with what it saw
//! last, so no worker ever waits.

pub mod histogram;
pub mod outcome;
mod recorder;

pub use outcome::{Fault, Outcome};
pub use recorder::{Delta, Drain, Recorder, SLOTS_MAX, SlotId, Writer};

#[cfg(test)]
mod tests;
