//! Sockets that clients connect to: bound once, accepted on every worker, bounded, drained.
//!
//! What is spoken on them is none of its business: each connection goes to a tower service.

mod accept;
mod bind;
mod census;
mod drain;
mod socket;
mod spare;
pub mod tls;

pub use accept::{Connection, Port, serve};
pub use bind::{Bound, bind};
pub use census::{Census, Full, Place};
pub use drain::{Drain, Drained};
pub use socket::Socket;

#[cfg(test)]
mod tests;
