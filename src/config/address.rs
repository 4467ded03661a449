//! Endpoints, networks and hosts as text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::error::quote;
use super::units::BadText;
use super::{HostPattern, Network, Target};

impl FromStr for Target {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = |why: &str| BadText::new(format!("{} is not an endpoint: {why}", quote(text)));
        if text.starts_with("https://") {
            return Err(BadText::new("`https://` is not available yet"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        if rest.contains("://") {
            return Err(bad("write host:port or http://host:port"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(bad("an endpoint has no path, write host:port"));
        }
        let Some((host, port)) = split_port(rest) else {
            return Err(bad("it lacks a port, write host:port, such as \"app:3000\""));
        };
        let port =
            if port.bytes().all(|byte| byte.is_ascii_digit()) { port.parse() } else { Ok(0) };
        let Some(port) = port.ok().filter(|port| *port != 0) else {
            return Err(bad("a port is a number from 1 to 65535"));
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => match inner.parse::<Ipv6Addr>() {
                Ok(address) => address.to_string(),
                Err(_) => return Err(bad("an IPv6 address stands in the brackets")),
            },
            None if host.contains(':') => {
                return Err(bad("an IPv6 address stands in brackets, such as \"[::1]:80\""));
            }
            None => host.to_ascii_lowercase(),
        };
        if !host.contains(':') {
            let name = host.strip_suffix('.').unwrap_or(&host);
            let address_like = name.rsplit('.').next().is_some_and(|last| {
                !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
            });
            if !is_name(name) || (address_like && name.parse::<Ipv4Addr>().is_err()) {
                return Err(bad("the host must be a name or an address, such as \"app:3000\""));
            }
        }
        Ok(Self { host, port })
    }
}

/// Splits at the last colon, unless it belongs to an address in brackets.
fn split_port(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
}

/// Labels of letters, digits, `-` and `_`, parted by dots (RFC 1123 §2.1; `_` is common inside).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl TryFrom<String> for Target {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        text.parse()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl Target {
    /// The host as an address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Network {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = || {
            BadText::new(format!(
                "{} is not a network: write an address and how many bits count, such as \"10.0.0.0/8\"",
                quote(text)
            ))
        };
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(bad)?,
        };
        // Peers are compared by their canonical address, so networks must be, too.
        match address.to_canonical() {
            IpAddr::V4(v4) if bits == 128 && prefix >= 96 => {
                Ok(Self { address: IpAddr::V4(v4), prefix: prefix - 96 })
            }
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for HostPattern {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = |why: &str| BadText::new(format!("{} is not a host: {why}", quote(text)));
        let lower = text.to_ascii_lowercase();
        if let Some(inner) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = inner.parse::<Ipv6Addr>();
            return address
                .map(|address| Self::Exact(format!("[{address}]")))
                .map_err(|_| bad("an IPv6 address stands in the brackets"));
        }
        let (name, wildcard) =
            lower.strip_prefix("*.").map_or((lower.as_str(), false), |name| (name, true));
        if name.contains(['/', ' ']) {
            return Err(bad("write only the name, such as \"shop.example.com\""));
        }
        if name.contains(':') {
            return Err(bad("leave the port out, a host matches on every port"));
        }
        if name.contains('*') {
            return Err(bad(
                "`*` stands alone or as the whole first label, such as \"*.example.com\"",
            ));
        }
        if !name.is_ascii() {
            return Err(bad("write a name that is not ASCII in its xn-- form"));
        }
        if !is_name(name) {
            return Err(bad("write a name, such as \"shop.example.com\" or \"*.example.com\""));
        }
        let name = name.to_owned();
        Ok(if wildcard { Self::Wildcard(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}
