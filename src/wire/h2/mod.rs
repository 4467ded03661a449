//! HTTP/2 towards clients (RFC 9113).
//!
//! ```text
//!   connection -> intake                     one task for a connection: its limits, its end
//!       |                                    what comes, frame by frame
//!       |-> clerk -> request -> hpack        what it means; heads, judged by the rules of HTTP/1.1
//!       |     \-> streams -> stream -> answer    the requests, polled by that task when woken
//!       |                      \-> inbound       a request's body
//!       |   lane                             what a stream and its connection tell each other
//!       \-> session -> out                   what is sent: windows, and one write a turn
//!                 \-> reply -> hpack
//! ```

mod answer;
mod clerk;
mod connection;
mod flood;
mod frame;
mod hpack;
mod inbound;
mod intake;
mod lane;
mod out;
mod preface;
mod reply;
mod request;
mod session;
mod settings;
mod stream;
mod streams;
mod unended;
mod window;

pub(super) use connection::Connection;
pub(super) use inbound::Inbound;
pub(super) use lane::Channel;
pub(super) use preface::preface;
