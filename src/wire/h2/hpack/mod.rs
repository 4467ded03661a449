//! Heads as HTTP/2 writes them (HPACK, RFC 7541). Pure.
//!
//! What clients send may be compressed in every way that there is. What we send is written as
//! literals and numbers of the static table only: it costs the least here and is never wrong
//! however a client sizes its table.

mod decode;
mod encode;
mod huffman;
mod statics;
mod table;

pub(super) use decode::Decoder;
pub(super) use encode::{begin, field, status};
pub(super) use table::OVERHEAD;

/// A header block that is none: every later one would be misread (§2.3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Corrupt;
