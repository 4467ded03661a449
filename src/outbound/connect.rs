//! From a URL to a connection: the name, its addresses, and the first of them that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpStream, lookup_host};

use super::error::{Error, io_words};
use crate::config::Url;

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 8;

/// What the `host` field says: the port only where it is not the scheme's.
pub(super) fn authority(url: &Url) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let usual = if url.tls { 443 } else { 80 };
    if url.port == usual { host } else { format!("{host}:{}", url.port) }
}

/// The addresses of the URL's host, each once.
pub(super) async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Error> {
    let found = lookup_host((url.host.as_str(), url.port)).await.map_err(|error| {
        let why = io_words(&error);
        Error::Name { host: url.host.clone(), why }
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

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

/// Connects to `address`. The caller sets the time limit.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream =
        TcpStream::connect(address).await.map_err(|error| match is_our_want(&error, address) {
            true => Error::Want(io_words(&error)),
            false => Error::Connect { address, why: io_words(&error) },
        })?;
    // A request is one small write; only the time of the answer could suffer if this fails.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects to `address` within `limit`.
pub(super) async fn tcp_within(address: SocketAddr, limit: Duration) -> Result<TcpStream, Error> {
    tokio::time::timeout(limit, tcp(address)).await.unwrap_or_else(|_| {
        let why = format!("no answer within {}", super::span_words(limit));
        Err(Error::Connect { address, why })
    })
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
