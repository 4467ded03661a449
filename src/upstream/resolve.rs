//! Names of endpoints, resolved to all their addresses again and again.
//!
//! Not by TTL: Docker's DNS says 600 s, and honouring that would keep a dead container for ten
//! minutes. When a name stops resolving the last good addresses stay.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;

use super::registry::{PoolKey, Resolved};
use crate::config::Target;

const EVERY: Duration = Duration::from_secs(3);
/// A name that does not resolve yet is asked for more often: start-up waits for it.
const EAGER: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(5);

/// Reports the addresses of `targets` whenever they change, until the task is aborted.
pub(super) async fn watch(key: PoolKey, targets: Vec<Target>, changes: mpsc::Sender<Resolved>) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); targets.len()];
    let mut failed = vec![false; targets.len()];
    loop {
        let mut changed = false;
        for ((target, known), failed) in targets.iter().zip(&mut known).zip(&mut failed) {
            let found = lookup(target).await;
            if found.is_empty() {
                if !std::mem::replace(failed, true) {
                    tracing::warn!(%target, kept = known.len(), "name does not resolve");
                }
                continue;
            }
            if std::mem::replace(failed, false) {
                tracing::info!(%target, "name resolves again");
            }
            if found != *known {
                tracing::info!(%target, addresses = ?found, "name resolved");
                *known = found;
                changed = true;
            }
        }
        if changed {
            let addresses = targets.iter().cloned().zip(known.iter().cloned()).collect();
            if changes.send(Resolved { key: key.clone(), addresses }).await.is_err() {
                return;
            }
        }
        let missing = known.iter().any(Vec::is_empty);
        tokio::time::sleep(if missing { EAGER } else { EVERY }).await;
    }
}

async fn lookup(target: &Target) -> Vec<SocketAddr> {
    let found = tokio::time::timeout(LIMIT, lookup_host((target.host.as_str(), target.port))).await;
    let mut addresses: Vec<_> = found.ok().and_then(Result::ok).into_iter().flatten().collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
