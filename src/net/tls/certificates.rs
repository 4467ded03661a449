//! The certificates of a port, which can be exchanged while it serves.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::names::Names;
use crate::config::Certificate;

/// What a port shows to whom. The names stay; what is shown for them is read by the next handshake.
#[derive(Clone, Debug)]
pub struct Certificates {
    names: Arc<Names>,
    /// In the order of the file.
    shown: Arc<ArcSwap<Vec<Arc<CertifiedKey>>>>,
}

impl Certificates {
    /// Shows each certificate for the names that `entries` give it.
    pub fn new<'a>(
        entries: impl IntoIterator<Item = (&'a Certificate, Arc<CertifiedKey>)>,
    ) -> Self {
        let (mut names, mut shown) = (Names::default(), Vec::new());
        for (number, (entry, certified)) in entries.into_iter().enumerate() {
            names.add(&entry.hosts, entry.any, number);
            shown.push(certified);
        }
        Self { names: Arc::new(names), shown: Arc::new(ArcSwap::from_pointee(shown)) }
    }

    /// From the next handshake on the certificate with this number is `certified`.
    pub fn replace(&self, number: usize, certified: &Arc<CertifiedKey>) {
        self.shown.rcu(|shown| {
            let mut shown = Vec::clone(shown);
            if let Some(place) = shown.get_mut(number) {
                *place = Arc::clone(certified);
            }
            shown
        });
    }

    /// What a client sees that asks for `name`, or names nobody.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.shown.load().get(self.names.find(name)?).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}
