//! A new connection to an endpoint.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net;

/// Whether no connection to `address` could be made for want of something of our own: descriptors,
/// ports, memory.
pub fn is_our_want(error: &io::Error, address: SocketAddr) -> bool {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => true,
        // No port is left; or there is no IPv6 here, and somebody gave an address of it.
        Some(Errno::ADDRNOTAVAIL) => address.is_ipv4(),
        _ => false,
    }
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
        let [ipv4, ipv6] = ["192.0.2.1:80", "[2001:db8::1]:80"].map(|text| text.parse().unwrap());
        for (errno, address, is_ours) in [
            (Errno::MFILE, ipv4, true),
            (Errno::MFILE, ipv6, true),
            (Errno::ADDRNOTAVAIL, ipv4, true),
            (Errno::ADDRNOTAVAIL, ipv6, false),
            (Errno::CONNREFUSED, ipv4, false),
            (Errno::HOSTUNREACH, ipv6, false),
        ] {
            assert_eq!(is_our_want(&errno.into(), address), is_ours, "{errno} {address}");
        }
        assert!(!is_our_want(&io::ErrorKind::TimedOut.into(), ipv4));
    }
}
