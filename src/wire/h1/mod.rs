//! HTTP/1.1, on both sides.
//!
//! ```text
//!   bytes -> parse -> framing -> Head      what a message is, or why it is refused: pure
//!   bytes -> reader (chunked, trailers)    what of the bytes is its body: pure
//!   connection -> answer                   one task for a client's connection
//!   client -> link                         an upstream's connection, polled by that task
//! ```

pub(super) mod alarm;
mod answer;
pub(super) mod chunked;
pub mod client;
pub(super) mod connection;
pub(super) mod fields;
pub(super) mod framing;
pub(super) mod link;
pub(super) mod outbox;
pub(super) mod parse;
pub(super) mod reader;
pub(super) mod side;
pub(super) mod slab;
pub(super) mod splice;
pub(super) mod target;
pub(super) mod trailers;
pub(super) mod upload;

#[cfg(test)]
mod tests;
