//! Whom the client trusts.
//!
//! `ca.pem` vouches for `localhost.pem`, a certificate for `localhost` and 127.0.0.1; both hold for a
//! hundred years, and the root's key is gone.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::outbound::{sink, tls};

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that answers one request over TLS, if it is trusted.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(stream) = acceptor().accept(stream).await else { return };
        let fine = |_: &sink::Seen, _: usize| reply(200, &[], "over TLS");
        sink::serve(stream, Arc::default(), Arc::new(fine)).await;
    });
    address
}

fn url(host: &str, address: SocketAddr) -> Url {
    Url { tls: true, host: host.into(), port: address.port(), target: "/".into() }
}

#[tokio::test]
async fn who_has_a_trusted_certificate_for_its_name_is_asked() {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(include_bytes!("ca.pem")).unwrap()).unwrap();
    let trust = tls::config(roots).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let address = server().await;
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = tls::wrap_trusting(Arc::clone(&trust), stream, host).await.unwrap();
        let message = message(&request(&url(host, address))).unwrap();
        let answer = exchange(stream, message, host, BODY_BYTES_MAX).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"over TLS"[..]));
    }
    let stream = TcpStream::connect(server().await).await.unwrap();
    let error = tls::wrap_trusting(trust, stream, "example.com").await.unwrap_err();
    let Error::Certificate { host, why } = &error else { panic!("{error:?}") };
    assert_eq!(host, "example.com");
    assert!(why.contains("not valid for name"), "{why}");
}

#[tokio::test]
async fn who_is_not_vouched_for_is_not_trusted() {
    let address = server().await;
    let error = send(&request(&url("localhost", address)), LIMIT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of localhost is not trusted: no root certificate vouches for it; \
         name yours with SSL_CERT_FILE"
    );
}

#[tokio::test]
async fn a_plain_server_behind_https_is_recognized() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = plain.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending::<()>().await;
    });
    let error = send(&request(&url("localhost", address)), LIMIT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no TLS connection with localhost: what it speaks is no TLS; is it plain http?"
    );
}
