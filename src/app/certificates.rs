//! The certificates of all ports: read at the start, and again when their files change.
//!
//! What replaces them often does so one file after the other, so that for a moment the two do not
//! belong together. That is no alarm until it has lasted; what was good before stays in use.

mod patience;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge};
use tokio::sync::Notify;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use super::StartError;
use super::folders::Events;
use super::watched::{LOOK_EVERY, content};
use crate::clock;
use crate::config::certificate::Pair;
use crate::config::{Config, HostPattern};
use crate::net::tls::{self, Acceptor};
use crate::telemetry::metrics::{Metric, Metrics};
use patience::{Expiry, Patience, Say};

/// How often two files are tried again that may be on their way.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The certificates in use, and what is known of their files.
#[derive(Debug)]
pub(super) struct Certificates {
    kept: Vec<Kept>,
    events: Events,
}

/// One certificate of one port.
#[derive(Debug)]
struct Kept {
    listener: String,
    /// Which one of the port's it is.
    number: usize,
    files: Files,
    /// What the files held when they were last tried.
    known: [u64; 2],
    shown: tls::Certificates,
    hosts: Vec<HostPattern>,
    /// The one in use.
    pair: Pair,
    patience: Patience,
    expiry: Expiry,
    expires_at: Gauge,
    failures: Counter,
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// What stands for what is in them.
    fn content(&self) -> [u64; 2] {
        [&self.cert, &self.key]
            .map(|path| content(path).unwrap_or_else(|error| xxh3_64(error.as_bytes())))
    }
}

/// What the ports that speak TLS begin it with, by the port's name.
pub(super) type Acceptors = BTreeMap<String, Acceptor>;

/// Reads the certificates of all ports; returns also what keeps them new, where there is one.
pub(super) fn load(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Acceptors, Option<Certificates>), StartError> {
    let (mut acceptors, mut kept) = (Acceptors::new(), Vec::new());
    for (name, listener) in config.listeners.iter().filter(|(_, found)| !found.tls.is_empty()) {
        let failed = |why: &dyn Display| StartError(format!("`listeners.{name}.tls`: {why}"));
        let (mut shown, mut found) = (Vec::new(), Vec::new());
        for entry in &listener.tls {
            let files = Files { cert: entry.cert.clone(), key: entry.key.clone() };
            // What is written after this is seen as a change.
            let known = files.content();
            let pair = Pair::read(&files.cert, &files.key).map_err(|trouble| failed(&trouble))?;
            shown.push((entry, Arc::clone(&pair.certified)));
            found.push((files, known, entry.hosts.clone(), pair));
        }
        let shown = tls::Certificates::new(shown);
        for (number, (files, known, hosts, pair)) in found.into_iter().enumerate() {
            let cert = files.cert.display().to_string();
            let labels = [("listener", name.as_str()), ("cert", &cert)];
            let expires_at = metrics.gauge(Metric::CertificateExpires, &labels);
            expires_at.set(pair.expires.as_secs_f64());
            kept.push(Kept {
                listener: name.clone(),
                number,
                files,
                known,
                shown: shown.clone(),
                hosts,
                pair,
                patience: Patience::default(),
                expiry: Expiry::default(),
                expires_at,
                // It is there from the beginning: a counter that begins at 1 has not increased.
                failures: metrics.counter(Metric::CertificateReloadFailures, &labels[..1]),
            });
        }
        let acceptor = Acceptor::new(shown, listener.protocols).map_err(|error| failed(&error))?;
        acceptors.insert(name.clone(), acceptor);
    }
    let certificates = Certificates { kept, events: Events::default() };
    Ok((acceptors, Some(certificates).filter(|certificates| !certificates.kept.is_empty())))
}

impl Certificates {
    /// Reads certificates again whenever their files change, and whenever `asked` says so.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        self.events.told = asked;
        loop {
            self.look().await;
            let unsettled = self.kept.iter().any(|kept| kept.patience.is_unsettled());
            let pause = if unsettled { TRY_EVERY } else { LOOK_EVERY };
            if timeout(pause, self.events.told.notified()).await.is_ok() {
                self.events.quiet().await;
            }
        }
    }

    /// Looks at all files, and tries those that hold something else than before.
    async fn look(&mut self) {
        let events = std::mem::take(&mut self.events);
        let told = Arc::clone(&events.told);
        let files: Vec<_> =
            self.kept.iter().map(|kept| (kept.files.clone(), kept.tried())).collect();
        // The files may lie on a disk that is slow today, and this thread has others to serve.
        let looked = tokio::task::spawn_blocking(move || {
            let paths: Vec<_> =
                files.iter().flat_map(|(f, _)| [f.cert.clone(), f.key.clone()]).collect();
            // Watched before they are read: a change in between is told, and not missed.
            let events = events.follow(&paths);
            let found = files.into_iter().map(|(files, tried)| {
                let content = files.content();
                // What is bad is tried again as it is: another user may be allowed to read it now.
                let is_news = tried != Some(content);
                (content, is_news.then(|| Pair::read(&files.cert, &files.key)))
            });
            (events, found.collect::<Vec<_>>())
        });
        let Ok((events, found)) = looked.await else {
            self.events.told = told;
            return;
        };
        self.events = events;
        for (kept, (content, pair)) in self.kept.iter_mut().zip(found) {
            kept.known = content;
            match pair.map(|pair| pair.map_err(|trouble| trouble.why)) {
                Some(Ok(pair)) => match kept.is_worse(&pair, clock::unix()) {
                    None => kept.take(pair),
                    Some(why) => kept.complain(&why),
                },
                Some(Err(why)) => kept.complain(&why),
                None => {}
            }
            kept.warn_of_expiry();
        }
    }
}

impl Kept {
    /// What the files held when they were found good.
    fn tried(&self) -> Option<[u64; 2]> {
        (!self.patience.is_bad()).then_some(self.known)
    }

    /// Why clients would refuse `pair`, where they take the one in use.
    fn is_worse(&self, pair: &Pair, now: Duration) -> Option<String> {
        let cert = self.files.cert.display();
        let holds = |pair: &Pair| pair.begins <= now && now <= pair.expires;
        if holds(&self.pair) && !holds(pair) {
            return Some(format!("the certificate in `{cert}` has expired, or does not hold yet"));
        }
        let lost =
            |host: &&HostPattern| self.pair.covers(host).is_ok() && pair.covers(host).is_err();
        let host = self.hosts.iter().find(lost)?;
        Some(format!("the certificate in `{cert}` does not cover `{host}`"))
    }

    /// From the next handshake on, this one.
    fn take(&mut self, pair: Pair) {
        self.shown.replace(self.number, &pair.certified);
        self.expires_at.set(pair.expires.as_secs_f64());
        (self.patience, self.expiry) = (Patience::default(), Expiry::default());
        self.pair = pair;
        let (listener, cert) = (&self.listener, self.files.cert.display());
        let expires = self.expires_text();
        tracing::info!(%listener, %cert, expires, "the certificate was read again");
    }

    fn complain(&mut self, why: &str) {
        let say = self.patience.bad(clock::now());
        if say == Say::First {
            self.failures.increment(1);
        }
        if say != Say::Nothing {
            let (listener, expires) = (&self.listener, self.expires_text());
            tracing::error!(%listener, why, expires, "ALARM: a changed certificate cannot be used; the one before stays");
        }
    }

    fn warn_of_expiry(&mut self) {
        if self.expiry.is_to_be_said(clock::now(), self.pair.expires.saturating_sub(clock::unix()))
        {
            let (listener, cert) = (&self.listener, self.files.cert.display());
            let expires = self.expires_text();
            tracing::warn!(%listener, %cert, expires, "a certificate in use expires soon, or has expired");
        }
    }

    /// When the certificate in use expires, in UTC.
    fn expires_text(&self) -> String {
        let seconds = i64::try_from(self.pair.expires.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
    }
}

#[cfg(test)]
mod tests;
