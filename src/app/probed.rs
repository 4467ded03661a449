//! The port that the way back is rehearsed through. Probes speak HTTP/1.1 without TLS.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::config::{Listener, Protocols};

/// A port of our own. No file can give one this name.
pub(super) const OWN: &str = "(rehearsal)";

/// The listeners of the file, and where no probe could use any of them one more: for this machine
/// alone, with the bounds of the first.
pub(super) fn with_own(listeners: &BTreeMap<String, Listener>) -> BTreeMap<String, Listener> {
    let mut all = listeners.clone();
    if !listeners.values().any(takes_probes)
        && let Some(first) = listeners.values().next()
    {
        let own = Listener {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            protocols: Protocols { http1: true, h2: false },
            tls: Vec::new(),
            ..first.clone()
        };
        all.insert(OWN.to_owned(), own);
    }
    all
}

/// Whether probes are understood on `listener`.
pub(super) const fn takes_probes(listener: &Listener) -> bool {
    listener.tls.is_empty() && listener.protocols.http1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Certificate, Config};

    #[test]
    fn there_is_always_a_port_that_probes_can_use_and_a_new_one_only_where_there_is_none() {
        let text = "version = 1\n[listeners.a]\nbind = \"0.0.0.0:1\"\n[listeners.b]\nbind = \"0.0.0.0:2\"\n\
            [services.s]\nstable = \"p\"\n[services.s.pools.p]\nendpoints = [\"127.0.0.1:1\"]\n";
        let config = Config::parse(text, Path::new("f"), &BTreeMap::new()).unwrap();
        let plain = config.listeners["a"].clone();
        let h2 = Listener { protocols: Protocols { http1: false, h2: true }, ..plain.clone() };
        let (cert, key) = ("a.pem".into(), "a.key".into());
        let any = Certificate { hosts: Vec::new(), any: true, cert, key };
        let tls = Listener { tls: vec![any], ..plain.clone() };
        for (first, second, probed) in
            [(&plain, &tls, "a"), (&tls, &plain, "b"), (&h2, &plain, "b"), (&tls, &h2, OWN)]
        {
            let listeners = [("a", first), ("b", second)];
            let all = with_own(&listeners.map(|(name, one)| (name.to_owned(), one.clone())).into());
            let taken: Vec<_> = all.iter().filter(|(_, port)| takes_probes(port)).collect();
            assert_eq!((taken.len(), taken[0].0.as_str()), (1, probed));
            assert!(probed != OWN || taken[0].1.bind.ip().is_loopback());
        }
    }
}
