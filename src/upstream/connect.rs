//! A new connection to an endpoint.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net;

pub use crate::outbound::is_our_want;

/// Connects to `address` within `limit`, with Nagle's algorithm off: a proxy writes whole messages.
/// The stream does not block, and the runtime does not look after it any more.
///
/// # Errors
/// Those of the system, and `TimedOut`.
pub async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, net::TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    stream.into_std()
}
