//! HTTP towards clients and upstreams. No policy: who gets a request is none of its business.
//!
//! Everything above sees a [`Head`] and a [`Body`] and never what parses them, so that the codec
//! can be replaced here alone. Hop-by-hop fields (RFC 9110 §7.6.1) end here, in both directions.

mod body;
mod caller;
mod date;
mod error;
mod field;
mod h1;
mod h2;
mod head;
mod own;
#[doc(hidden)]
pub mod raw;
mod response;
pub mod server;
mod stock;
mod turn;

use std::net::SocketAddr;

pub use body::Body;
pub use error::Error;
pub use field::{Field, Value};
pub use h1::client;
pub use head::Head;
pub use response::ResponseHead;

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address, as the socket says.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Its address without the port as a field's value, written once a connection.
    pub ip: Value,
}

impl Client {
    /// The client at `peer`.
    pub fn new(peer: SocketAddr, secure: bool) -> Self {
        Self { peer, secure, ip: Value::of_ip(peer.ip()) }
    }
}

/// A request as it came.
#[derive(Debug)]
pub struct Request {
    /// Method, target and fields.
    pub head: Head,
    /// What follows them.
    pub body: Body,
    /// Who sent it.
    pub client: Client,
}

/// An answer, and who wants to know how it ends.
#[derive(Debug)]
pub struct Response<W> {
    /// Status and fields.
    pub head: ResponseHead,
    /// What follows them.
    pub body: Body,
    /// Told when the last byte of the answer was written; dropped if it never is.
    pub watch: Option<W>,
}

/// Told how an answer ended.
pub trait Watch {
    /// The answer ended, well or not.
    fn ended(self, result: Result<(), Error>);
}
