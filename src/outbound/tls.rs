//! TLS towards whom serin asks: the system's roots, and Mozilla's where the system has none.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Error, io_words};

/// Read once: a system whose roots changed is restarted anyway.
static TRUST: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// Speaks TLS with `host` over `stream`.
pub(super) async fn wrap(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Error> {
    let config = TRUST.get_or_try_init(|| async {
        // It reads hundreds of files on some systems, and others wait on this thread.
        let roots = tokio::task::spawn_blocking(roots).await;
        let roots = roots.map_err(|error| tls_error(host, error.to_string()))?;
        config(roots).map_err(|error| tls_error(host, error.to_string()))
    });
    wrap_trusting(Arc::clone(config.await?), stream, host).await
}

/// Speaks TLS with `host` over `stream`, as `config` says.
pub(super) async fn wrap_trusting(
    config: Arc<ClientConfig>,
    stream: TcpStream,
    host: &str,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| tls_error(host, "it is neither a name nor an address".into()))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| refused(host, &error))
}

/// What is spoken with whoever shows a certificate that `roots` vouch for.
pub(super) fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The system's roots, or Mozilla's where it has none, as in a container from scratch.
fn roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read a root certificate of the system");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::info!("the system has no root certificates: Mozilla's are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Why there is no TLS: whose certificate it is, or what was said instead.
fn refused(host: &str, error: &io::Error) -> Error {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match said {
        Some(rustls::Error::InvalidCertificate(problem)) => {
            let why = match problem {
                CertificateError::UnknownIssuer => {
                    "no root certificate vouches for it; name yours with SSL_CERT_FILE".to_owned()
                }
                problem => problem.to_string(),
            };
            Error::Certificate { host: host.to_owned(), why }
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            tls_error(host, "what it speaks is no TLS; is it plain http?".into())
        }
        Some(other) => tls_error(host, other.to_string()),
        None => tls_error(host, io_words(error)),
    }
}

fn tls_error(host: &str, why: String) -> Error {
    Error::Tls { host: host.to_owned(), why }
}
