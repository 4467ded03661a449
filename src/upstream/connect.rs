//! A new connection to an endpoint.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net;

/// Whether no connection could be made for want of something of our own: descriptors, ports, memory.
pub fn is_our_want(error: &io::Error) -> bool {
    let wants = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| wants.contains(&errno))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_is_told_from_what_an_upstream_does() {
        for (errno, is_ours) in [
            (Errno::MFILE, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::HOSTUNREACH, false),
        ] {
            assert_eq!(is_our_want(&errno.into()), is_ours, "{errno}");
        }
        assert!(!is_our_want(&io::ErrorKind::TimedOut.into()));
    }
}
