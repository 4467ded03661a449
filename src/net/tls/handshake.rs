//! One handshake: read as far as the name that the client asks for, refused in words that it
//! understands, or done; and none of it takes for ever.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::server::{Accepted, Acceptor as Hello};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::{Acceptor, H2};
use crate::clock;
use crate::net::{Drained, Socket};

/// How long a client that is turned away may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long a handshake may go on when we are to end.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How much may be encrypted before the client takes it: a head and the largest piece of a body, so
/// that they leave in one write.
const AT_ONCE: usize = 80 << 10;
/// The fatal alert `unrecognized_name` (RFC 6066 §3) as a record (RFC 8446 §5.1, §6).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
/// For those who write `http://` where it is `https://`.
const IS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 55\r\nconnection: close\r\n\r\n\
    this port speaks TLS: ask for https:// and not http://\n";

/// How long a handshake may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until its first byte.
    pub first_byte: Duration,
    /// From there to its end.
    pub rest: Duration,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum Refused {
    /// The client left before it said anything, as those do who only ask whether the port is open.
    Left,
    /// We are to end.
    Draining,
    /// It took too long.
    TooLong,
    /// It speaks plain HTTP.
    Plain,
    /// Nobody has a certificate for the name that it asks for, or it names none.
    UnknownName(Option<String>),
    /// Anything else.
    Failed(io::Error),
}

impl Refused {
    /// The reason's name in metrics, where it is worth counting.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Left | Self::Draining => None,
            Self::TooLong => Some("tls_timeout"),
            Self::Plain | Self::UnknownName(_) | Self::Failed(_) => Some("tls"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left before it said anything"),
            Self::Draining => f.write_str("serin ends"),
            Self::TooLong => f.write_str("the handshake took too long"),
            Self::Plain => f.write_str("the client speaks plain HTTP"),
            Self::UnknownName(Some(name)) => write!(f, "no certificate is for `{name}`"),
            Self::UnknownName(None) => {
                f.write_str("the client names no host, and no certificate is for `*`")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Acceptor {
    /// Does the handshake with who is at the other end of `stream`, within `limits`; says whether it
    /// wants to speak HTTP/2. When `drain` completes there is little time left.
    pub async fn accept(
        &self,
        stream: Socket,
        limits: Limits,
        drain: &mut Drained,
    ) -> Result<(TlsStream<Socket>, bool), Refused> {
        let cut_short = async {
            drain.await;
            tokio::time::sleep(DRAIN_GRACE).await;
        };
        let stream = tokio::select! {
            biased;
            stream = self.shake_hands(stream, limits) => stream?,
            () = cut_short => return Err(Refused::Draining),
        };
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        Ok((stream, is_h2))
    }

    async fn shake_hands(
        &self,
        mut stream: Socket,
        limits: Limits,
    ) -> Result<TlsStream<Socket>, Refused> {
        let (accepted, end) = match hello(&mut stream, limits).await {
            Ok(begun) => begun,
            Err((refused, word)) => {
                if let Some(word) = word {
                    last_word(&mut stream, &word).await;
                }
                return Err(refused);
            }
        };
        let name = accepted.client_hello().server_name().map(str::to_owned);
        if self.certificates.find(name.as_deref()).is_none() {
            last_word(&mut stream, UNRECOGNIZED_NAME).await;
            return Err(Refused::UnknownName(name));
        }
        let rest = StartHandshake::from_parts(accepted, stream);
        let mut stream = match timeout_at(end, rest.into_stream(Arc::clone(&self.config))).await {
            Ok(done) => done.map_err(Refused::Failed)?,
            Err(_) => return Err(Refused::TooLong),
        };
        stream.get_mut().1.set_buffer_limit(Some(AT_ONCE));
        Ok(stream)
    }
}

/// Reads what the client wants, and says until when it has to be done; or why it is refused, and
/// what it is to be told of that.
async fn hello(
    stream: &mut Socket,
    limits: Limits,
) -> Result<(Accepted, Instant), (Refused, Option<Vec<u8>>)> {
    let failed = |error: io::Error| (Refused::Failed(error), None);
    let mut end = clock::now() + limits.first_byte;
    let mut hello = Hello::default();
    let mut first = None;
    loop {
        let has_begun = first.is_some();
        let more = poll_fn(|cx| poll_more(stream, &mut hello, &mut first, cx));
        match timeout_at(end, more).await {
            Err(_) => return Err((Refused::TooLong, None)),
            Ok(Ok(0)) if !has_begun => return Err((Refused::Left, None)),
            Ok(Ok(0)) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) if !has_begun => end = clock::now() + limits.rest,
            Ok(Ok(_)) => {}
            // A check of the port may end with a reset.
            Ok(Err(_)) if !has_begun => return Err((Refused::Left, None)),
            Ok(Err(error)) => return Err(failed(error)),
        }
        // No record of TLS has a type that is a letter, and every method begins with one.
        if first.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err((Refused::Plain, Some(IS_TLS.to_vec())));
        }
        match hello.accept() {
            Ok(Some(accepted)) => return Ok((accepted, end)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut word = Vec::new();
                alert.write_all(&mut word).map_err(failed)?;
                return Err((Refused::Failed(io::Error::other(error)), Some(word)));
            }
        }
    }
}

/// Reads once, for `hello`, and notes the `first` byte that comes.
fn poll_more(
    stream: &mut Socket,
    hello: &mut Hello,
    first: &mut Option<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut bytes = [0; 4096];
    let mut buffer = ReadBuf::new(&mut bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let mut more = buffer.filled();
    let count = more.len();
    *first = first.or_else(|| more.first().copied());
    while !more.is_empty() && hello.read_tls(&mut more)? > 0 {}
    Poll::Ready(Ok(count))
}

/// Tells the client why it is turned away, so that it can read it: a socket that is closed with
/// bytes unread takes back what it has sent.
async fn last_word(stream: &mut Socket, word: &[u8]) {
    let telling = async {
        stream.write_all(word).await?;
        stream.shutdown().await?;
        let mut thrown_away = [0; 1024];
        while stream.read(&mut thrown_away).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whoever does not want to know is not waited for.
    let _ = timeout(LAST_WORD, telling).await;
}
