//! A certificate and its key, read from their files and held against each other before anybody
//! relies on them: by `check`, at the start, and whenever one of the files changes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use super::HostPattern;

/// How long before its end a certificate should have been renewed: those who renew by a program do
/// it a month ahead.
pub const RENEWED_BY: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// No chain of certificates is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The label that stands for every name of a wildcard when a certificate is asked about it.
const SOME_LABEL: &str = "some-name";

/// A certificate, those that vouch for it, and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What is shown in a handshake, and what signs it.
    pub certified: Arc<CertifiedKey>,
    /// From when it holds, since the Unix epoch.
    pub begins: Duration,
    /// Until when.
    pub expires: Duration,
    /// Whether everybody on this machine may read the key.
    pub key_is_public: bool,
}

/// Which of the two files is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// That of the certificate.
    Cert,
    /// That of the key.
    Key,
}

/// Why two files are no pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// The file at fault.
    pub part: Part,
    /// What is wrong with it.
    pub why: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Trouble {
    fn of(part: Part, why: impl Into<String>) -> Self {
        Self { part, why: why.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Trouble {}

impl Pair {
    /// Reads both files.
    ///
    /// # Errors
    /// When one cannot be read or is not what it should be, or when they do not belong together.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, Trouble> {
        let (cert_bytes, _) = bytes(cert, Part::Cert)?;
        let chain = chain(&cert_bytes, cert)?;
        let (key_bytes, mode) = bytes(key, Part::Key)?;
        let private = private(&key_bytes, key)?;
        let (cert, key) = (cert.display(), key.display());
        let unreadable = |why: &Error| {
            let why = format!("the certificate in `{cert}` cannot be used: {why}");
            Trouble::of(Part::Cert, why)
        };
        let leaf = ParsedCertificate::try_from(&chain[0]).map_err(|error| unreadable(&error))?;
        let (begins, expires) = validity(&leaf).map_err(|error| unreadable(&error))?;
        drop(leaf);
        let certified = CertifiedKey::from_der(chain, private, &default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let why =
                    format!("the key in `{key}` does not belong to the certificate in `{cert}`");
                Trouble::of(Part::Key, why).hint(
                    "the server's own certificate comes first in its file; those that vouch for it follow",
                )
            }
            error => Trouble::of(Part::Key, format!("the key in `{key}` cannot be used: {error}")),
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            begins,
            expires,
            key_is_public: mode & 0o004 != 0,
        })
    }

    /// Whether clients that ask for `host` take this certificate; if not, the names that it is for.
    pub fn covers(&self, host: &HostPattern) -> Result<(), Vec<String>> {
        let name = match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Wildcard(parent) => format!("{SOME_LABEL}.{parent}"),
        };
        let nothing = |_| Vec::new();
        let name = ServerName::try_from(name).map_err(|_| Vec::new())?;
        let leaf = self.certified.end_entity_cert().map_err(nothing)?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(nothing)?;
        verify_server_name(&leaf, &name).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            }) => presented.iter().map(|name| plain(name)).collect(),
            _ => Vec::new(),
        })
    }
}

/// The name in `DnsName("shop.example.com")`.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

/// What is in the file at `path`, and who may do what with it.
fn bytes(path: &Path, part: Part) -> Result<(Vec<u8>, u32), Trouble> {
    let shown = path.display();
    let read = || -> io::Result<(Vec<u8>, u32)> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    match read() {
        Ok((bytes, _)) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(Trouble::of(part, format!("`{shown}` is larger than 1 MiB")))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(Trouble::of(
            part,
            match error.kind() {
                io::ErrorKind::NotFound => format!("`{shown}` does not exist"),
                io::ErrorKind::IsADirectory => format!("`{shown}` is a folder"),
                io::ErrorKind::PermissionDenied => {
                    format!("`{shown}` may not be read by the user that serin runs as")
                }
                _ => format!("cannot read `{shown}`: {error}"),
            },
        )),
    }
}

/// All certificates in `bytes`; at least one.
fn chain(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let shown = path.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let chain = chain
        .map_err(|error| Trouble::of(Part::Cert, format!("`{shown}` is no PEM file: {error}")))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    let trouble = Trouble::of(Part::Cert, format!("`{shown}` holds no certificate"));
    Err(if is_der(bytes) {
        trouble.hint("it looks like DER: `openssl x509 -inform der -in OLD -out NEW` makes it PEM")
    } else if private(bytes, path).is_ok() {
        trouble.hint("it holds a key: `cert` and `key` may be exchanged")
    } else {
        trouble.hint("a certificate in PEM begins with `-----BEGIN CERTIFICATE-----`")
    })
}

/// The private key in `bytes`.
fn private(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, Trouble> {
    let shown = path.display();
    let error = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if !matches!(error, pem::Error::NoItemsFound) {
        return Err(Trouble::of(Part::Key, format!("`{shown}` is no PEM file: {error}")));
    }
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    if holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(Trouble::of(Part::Key, format!("the key in `{shown}` is encrypted"))
            .hint("`openssl pkey -in OLD -out NEW` takes the passphrase off"));
    }
    let trouble = Trouble::of(Part::Key, format!("`{shown}` holds no private key"));
    Err(if is_der(bytes) {
        trouble.hint("it looks like DER: `openssl pkey -inform der -in OLD -out NEW` makes it PEM")
    } else if holds(b"-----BEGIN CERTIFICATE-----") {
        trouble.hint("it holds a certificate: `cert` and `key` may be exchanged")
    } else {
        trouble.hint("a key in PEM begins with `-----BEGIN PRIVATE KEY-----`")
    })
}

/// Whether `bytes` begin as DER does: with a long sequence (X.690 §8.1).
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

/// From when and until when `leaf` holds. The library tells that only to those whom it refuses, and
/// it looks at the time first, whoever vouches for the certificate: asked about the end of all time
/// and about its beginning, it names both.
fn validity(leaf: &ParsedCertificate<'_>) -> Result<(Duration, Duration), Error> {
    let refused = |time: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        let nobody = RootCertStore::empty();
        verify_server_cert_signed_by_trust_anchor(leaf, &nobody, &[], time, &[]).err()
    };
    let since_epoch = |time: UnixTime| Duration::from_secs(time.as_secs());
    let expires = match refused(u64::MAX) {
        Some(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            since_epoch(not_after)
        }
        Some(error) => return Err(error),
        None => Duration::MAX,
    };
    let begins = match refused(0) {
        Some(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        })) => since_epoch(not_before),
        _ => Duration::ZERO,
    };
    Ok((begins, expires))
}

#[cfg(test)]
mod tests;
