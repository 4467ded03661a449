//! HTTP/1.1, on both sides.
//!
//! ```text
//!   bytes -> parse -> framing -> Head      what a message is, or why it is refused: pure
//!   bytes -> reader (chunked, trailers)    what of the bytes is its body: pure
//! ```

pub(crate) mod chunked;
pub(crate) mod fields;
pub(crate) mod framing;
pub(crate) mod outbox;
pub(crate) mod parse;
pub(crate) mod reader;
pub(crate) mod slab;
pub(crate) mod target;
pub(crate) mod trailers;
