use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::*;

/// Takes whatever is written, as TLS does, and sends as much of it as there is room for.
#[derive(Default)]
struct Hoards {
    taken: VecDeque<u8>,
    sent: Vec<u8>,
    room: usize,
}

impl Hoards {
    fn pass_on(&mut self) {
        let count = self.taken.len().min(self.room);
        self.sent.extend(self.taken.drain(..count));
        self.room -= count;
    }
}

impl AsyncRead for Hoards {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoards {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken.extend(bytes);
        self.pass_on();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pass_on();
        if self.taken.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Io for Hoards {
    fn reset_at_close(&self) {}

    fn is_broken(&self) -> bool {
        false
    }

    fn holds_back(&self) -> bool {
        !self.taken.is_empty()
    }
}

#[test]
fn what_is_held_back_below_is_not_written_until_it_is_flushed() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut side = Side::new(Hoards { room: 4, ..Hoards::default() });
    assert!(side.is_written());
    side.outbox.push(Slab::of(b"an answer"));
    assert!(!side.is_written());
    assert!(matches!(side.poll_write(&mut cx), Poll::Ready(Ok(9))));
    assert!(side.outbox.is_empty() && !side.is_written(), "it is with nobody yet");
    assert!(side.poll_write(&mut cx).is_pending());
    side.io.room = 3;
    assert!(side.poll_write(&mut cx).is_pending());
    side.io.room = 3;
    assert!(matches!(side.poll_write(&mut cx), Poll::Ready(Ok(0))));
    assert!(side.is_written());
    assert_eq!(side.io.sent, b"an answer");
}

/// Both ends of a TLS connection whose sockets hold little.
async fn narrow() -> (TlsStream<Socket>, client::TlsStream<TcpStream>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/outbound/tests");
    let at = |name: &str| std::path::Path::new(folder).join(name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_file(at("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(at("localhost.key")).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at("ca.pem")).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let (asking, accepted) =
        tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    let (asking, (accepted, _)) = (asking.unwrap(), accepted.unwrap());
    socket2::SockRef::from(&accepted).set_send_buffer_size(4 << 10).unwrap();
    let accepted = Socket::new(accepted.into_std().unwrap());
    let (accepted, asking) = tokio::join!(
        TlsAcceptor::from(Arc::new(server)).accept(accepted),
        TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), asking),
    );
    (accepted.unwrap(), asking.unwrap())
}

#[tokio::test]
async fn tls_is_flushed_before_anything_counts_as_written() {
    const LENGTH: usize = 60 << 10;
    let (accepted, mut asking) = narrow().await;
    let mut side = Side::new(accepted);
    side.outbox.push(Slab::of(&[b'x'; LENGTH]));
    while !side.outbox.is_empty() {
        poll_fn(|cx| side.poll_write(cx)).await.unwrap();
    }
    assert!(!side.is_written(), "the sockets hold more than they were told to");
    let mut got = vec![0; LENGTH];
    let writing = async {
        while !side.is_written() {
            poll_fn(|cx| side.poll_write(cx)).await.unwrap();
        }
    };
    let (_, read) = tokio::join!(writing, asking.read_exact(&mut got));
    read.unwrap();
    assert!(got.iter().all(|byte| *byte == b'x'));
}
