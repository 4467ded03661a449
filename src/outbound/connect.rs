//! From a URL to a connection: the name, its addresses, and the first of them that answers.

use std::net::SocketAddr;
use std::time::Duration;

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

/// Connects to `address`. The caller sets the time limit.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| Error::Connect { address, why: io_words(&error) })?;
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
