//! The certificates of all ports: read at the start, and again when their files change.
//!
//! What replaces them often does so one file after the other, so that for a moment the two do not
//! belong together. That is no alarm until it has lasted; what was good before stays in use.

mod patience;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge};
use tokio::sync::Notify;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use super::folders::Events;
use super::watched::{LOOK_EVERY, content};
use crate::clock;
use crate::config::certificate::{Pair, Trouble};
use crate::config::{Certificate, Config};
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
    patience: Patience,
    expires: Duration,
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

/// The acceptors of the ports that speak TLS, by name, and what keeps their certificates new.
///
/// # Errors
/// The key at fault, and why.
pub(super) fn load(
    config: &Config,
    metrics: &Metrics,
) -> Result<(BTreeMap<String, Acceptor>, Option<Certificates>), (String, String)> {
    let (mut acceptors, mut kept) = (BTreeMap::new(), Vec::new());
    for (name, listener) in config.listeners.iter().filter(|(_, found)| !found.tls.is_empty()) {
        let key = format!("listeners.{name}.tls");
        let mut pairs = Vec::new();
        for entry in &listener.tls {
            let files = Files { cert: entry.cert.clone(), key: entry.key.clone() };
            // What is written after this is seen as a change.
            let known = files.content();
            let pair = Pair::read(&entry.cert, &entry.key);
            pairs.push((entry, files, known, pair.map_err(|error| (key.clone(), error.why))?));
        }
        let shown: Vec<(&Certificate, _)> =
            pairs.iter().map(|(entry, _, _, pair)| (*entry, Arc::clone(&pair.certified))).collect();
        let shown = tls::Certificates::new(shown);
        for (number, (_, files, known, pair)) in pairs.into_iter().enumerate() {
            let cert = files.cert.display().to_string();
            let labels = [("listener", name.as_str()), ("cert", &cert)];
            let entry = Kept {
                listener: name.clone(),
                number,
                files,
                known,
                shown: shown.clone(),
                patience: Patience::default(),
                expires: pair.expires,
                expiry: Expiry::default(),
                expires_at: metrics.gauge(Metric::CertificateExpires, &labels),
                failures: metrics.counter(Metric::CertificateReloadFailures, &labels[..1]),
            };
            entry.expires_at.set(pair.expires.as_secs_f64());
            // A counter that begins at 1 has not increased.
            entry.failures.increment(0);
            kept.push(entry);
        }
        let acceptor = Acceptor::new(shown, listener.protocols);
        acceptors.insert(name.clone(), acceptor.map_err(|error| (key, error.to_string()))?);
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
            match pair {
                Some(Ok(pair)) => kept.take(&pair),
                Some(Err(trouble)) => kept.complain(&trouble),
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

    /// From the next handshake on, this one.
    fn take(&mut self, pair: &Pair) {
        self.shown.replace(self.number, &pair.certified);
        self.patience = Patience::default();
        (self.expires, self.expiry) = (pair.expires, Expiry::default());
        self.expires_at.set(pair.expires.as_secs_f64());
        let (listener, cert) = (&self.listener, self.files.cert.display());
        let expires = self.expires_text();
        tracing::info!(%listener, %cert, expires, "the certificate was read again");
    }

    fn complain(&mut self, trouble: &Trouble) {
        let say = self.patience.bad(clock::now());
        if say == Say::First {
            self.failures.increment(1);
        }
        if say != Say::Nothing {
            let (listener, expires) = (&self.listener, self.expires_text());
            tracing::error!(%listener, why = %trouble, expires, "ALARM: a changed certificate cannot be used; the one before stays");
        }
    }

    fn warn_of_expiry(&mut self) {
        if self.expiry.is_to_be_said(clock::now(), self.expires.saturating_sub(clock::unix())) {
            let (listener, cert) = (&self.listener, self.files.cert.display());
            let expires = self.expires_text();
            tracing::warn!(%listener, %cert, expires, "a certificate in use expires soon, or has expired");
        }
    }

    /// When the certificate in use expires, in UTC.
    fn expires_text(&self) -> String {
        let seconds = i64::try_from(self.expires.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
    }
}
