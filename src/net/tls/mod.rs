//! TLS on a port: which certificate a client sees, and the handshake within its limits.
//!
//! What is negotiated is what the library finds modern: TLS 1.3 and 1.2 with forward secrecy, and a
//! key exchange that holds against quantum computers where the client can. The client's order of
//! ciphers counts, for it knows what its hardware does fast. There is no early data: it can be
//! replayed.

mod certificates;
mod handshake;
mod names;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::ServerSessionMemoryCache;

use crate::config::Protocols;

pub use certificates::Certificates;
pub use handshake::{Limits, Refused};

/// How many sessions of TLS 1.2 are remembered for clients that take no ticket.
const SESSIONS_MAX: usize = 4096;

/// Begins TLS on one port: cheap to clone, and shared by all workers, so that a session that one
/// began is resumed by another.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Certificates,
}

impl Acceptor {
    /// Shows `certificates`, and offers `protocols`.
    ///
    /// # Errors
    /// When the library has no random numbers to begin with.
    pub fn new(certificates: Certificates, protocols: Protocols) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates.clone()));
        config.alpn_protocols = alpn(protocols);
        // Its keys change every six hours, and they are nowhere but here.
        config.ticketer = Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(Self { config: Arc::new(config), certificates })
    }

    /// What is shown to whom.
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

/// HTTP/2, as clients ask for it (RFC 9113 §3.2).
const H2: &[u8] = b"h2";

/// What is offered by ALPN, best first; who offers something else is refused (RFC 7301 §3.2).
fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let mut offered: Vec<&[u8]> = Vec::new();
    if protocols.h2 {
        offered.push(H2);
    }
    if protocols.http1 {
        offered.extend([&b"http/1.1"[..], b"http/1.0"]);
    }
    offered.into_iter().map(<[u8]>::to_vec).collect()
}
