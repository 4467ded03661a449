//! HTTP/2 towards clients (RFC 9113). The h2 crate does frames, HPACK and windows.
//!
//! ```text
//!   connection -> cork                     one task for a connection: its limits, its end
//!        |         |                       what one turn writes leaves in one write
//!        |         \-> meter -> block      what comes, frame by frame
//!        \-> streams -> stream -> answer   polled by that task, those that were woken
//!                         |-> head         judged by the rules of HTTP/1.1
//!                         \-> inbound      its body
//! ```

mod answer;
mod block;
mod connection;
mod cork;
mod fragment;
mod head;
mod inbound;
mod meter;
mod names;
mod preface;
mod stream;
mod streams;

pub(super) use connection::Connection;
pub(super) use inbound::Inbound;
pub(super) use preface::preface;
