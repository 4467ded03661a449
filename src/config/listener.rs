//! The ports that serve clients.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::HostPattern;

/// One port that serves clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Its address.
    pub bind: SocketAddr,
    /// What is spoken on it.
    pub protocols: Protocols,
    /// Its certificates; without one it is plain HTTP.
    pub tls: Vec<Certificate>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether answers are told to have passed here.
    pub via: bool,
    /// Bounds on what a client may send.
    pub limits: ListenerLimits,
    /// Bounds on how long it may take.
    pub timeouts: ListenerTimeouts,
}

/// What is spoken on a port; at least one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Protocols {
    /// HTTP/1.1, and 1.0.
    pub http1: bool,
    /// HTTP/2.
    pub h2: bool,
}

/// A certificate, and for whom it is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// The names that clients ask for.
    pub hosts: Vec<HostPattern>,
    /// Whether it is shown for every other name, too, and to clients that name none.
    pub any: bool,
    /// Holds the certificate, followed by those that vouch for it.
    pub cert: PathBuf,
    /// Holds its key.
    pub key: PathBuf,
}

/// Bounds on what a client may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_ip: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Streams of a connection of HTTP/2 that are open at the same time.
    pub h2_streams: u32,
}

/// Bounds on how long a client may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerTimeouts {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two pieces of a response's body.
    pub stream_idle: Duration,
}

/// An address range, written `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    /// The network's address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Whether `ip` is in the range; an IPv4-mapped address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        fn same(a: u128, b: u128, bits: u32, prefix: u8) -> bool {
            let drop = bits.saturating_sub(u32::from(prefix));
            a.checked_shr(drop) == b.checked_shr(drop)
        }
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same(a.to_bits().into(), b.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}
