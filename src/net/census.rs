//! How many connections a port has, in all and by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the connections of one port, over all workers. Asked once a connection, never by a
/// request.
#[derive(Debug)]
pub struct Census {
    most: usize,
    most_per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<Ipv6Addr, usize>,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// The port has as many as it may.
    Port,
    /// The address has as many as it may.
    Address,
}

impl Full {
    /// The reason's name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => "connections",
            Self::Address => "connections_per_ip",
        }
    }
}

impl Census {
    /// Allows `most` connections, and `most_per_ip` of one address.
    pub fn new(most: usize, most_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_ip, counts: Mutex::default() })
    }

    /// Counts a connection from `ip` until its place is dropped.
    pub fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        // An address is one, in whichever way it is written.
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.most {
            return Err(Full::Port);
        }
        let of_ip = counts.by_ip.entry(ip).or_default();
        if *of_ip >= self.most_per_ip {
            return Err(Full::Address);
        }
        *of_ip += 1;
        counts.all += 1;
        Ok(Place { census: Arc::clone(self), ip })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

/// A connection's place in the census.
#[derive(Debug)]
pub struct Place {
    census: Arc<Census>,
    ip: Ipv6Addr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Entry::Occupied(mut of_ip) = counts.by_ip.entry(self.ip) {
            *of_ip.get_mut() -= 1;
            if *of_ip.get() == 0 {
                of_ip.remove();
            }
        }
    }
}
