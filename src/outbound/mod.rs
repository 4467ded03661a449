//! The one HTTP client for what serin asks on its own account: health checks, gates, hooks, queries
//! and notices. Never a client's request.
//!
//! Every request has a connection of its own: these are few, and one that was kept open would tell
//! nothing of a server that was replaced meanwhile. Redirects are not followed: whoever is asked is
//! named in the file.

mod connect;
mod error;
mod retry;
#[cfg(test)]
pub(crate) mod sink;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::clock;
use crate::config::Url;

pub use connect::is_our_want;
pub use error::{Error, span_words};

/// What serin calls itself.
const AGENT: &str = concat!("serin/", env!("CARGO_PKG_VERSION"));
/// The most that is kept of an answer's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most that is kept of an answer to a health check: only its status matters.
const CHECK_BYTES_MAX: usize = 64 * 1024;
/// The most that an answer's head may have.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A request of serin's own.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Whom it is for. The host and the port make the `host` field.
    pub url: &'a Url,
    /// Fields beside those that every request needs; a `host` or `user-agent` among them is sent
    /// instead of serin's own. How the body is framed is not for the caller to say.
    pub headers: &'a [(String, String)],
    /// The body; none, if it is empty.
    pub body: Bytes,
}

/// An answer to a request of serin's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields, their names in lower case; bytes that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, up to [`BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Whether the body went on.
    pub cut: bool,
}

impl Answer {
    /// The first value of the field `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// How long `retry-after` asks to wait (RFC 9110 §10.2.3); `None` where it says nothing that
    /// can be read.
    pub fn retry_after(&self) -> Option<Duration> {
        retry::after(self.header("retry-after")?, clock::unix())
    }
}

/// Asks `address` for `path` over a connection of its own and returns the status. The caller sets
/// the time limit.
///
/// # Errors
/// When no connection can be made, or the answer is no HTTP.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<u16, Error> {
    let request = hyper::Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Full::default())
        .map_err(|error| Error::Request(error.to_string()))?;
    let stream = connect::tcp(address).await?;
    match exchange(stream, request, &address.to_string(), CHECK_BYTES_MAX).await {
        // The server may be counting on being read to the end, but only its status matters.
        Err(Error::BrokeOff { status, .. }) => Ok(status),
        answer => Ok(answer?.status),
    }
}

/// Sends `request` to where its URL points, and returns the whole answer. Every address of the name
/// is tried, in the order of the system's resolver.
///
/// # Errors
/// When there is no whole answer within `limit`.
pub async fn send(request: &Request<'_>, limit: Duration) -> Result<Answer, Error> {
    let until = clock::now() + limit;
    within(until, limit, async {
        let addresses = connect::addresses(request.url).await?;
        let mut failed = None;
        for (tried, address) in addresses.iter().enumerate() {
            // One address that swallows packets must leave time for the others.
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = until.saturating_duration_since(clock::now()) / left;
            match connect::tcp_within(*address, share).await {
                Ok(stream) => return over(stream, *address, request).await,
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::no_address(request.url)))
    })
    .await
}

/// Sends `request` to `address`, whatever its URL's name resolves to.
///
/// # Errors
/// When there is no whole answer within `limit`.
pub async fn send_to(
    address: SocketAddr,
    request: &Request<'_>,
    limit: Duration,
) -> Result<Answer, Error> {
    let until = clock::now() + limit;
    within(until, limit, async {
        let stream = connect::tcp(address).await?;
        over(stream, address, request).await
    })
    .await
}

async fn within<T>(
    until: Instant,
    limit: Duration,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout_at(until, asking).await.unwrap_or(Err(Error::Late(limit)))
}

/// Sends `request` over `stream`, in TLS if its URL says so.
async fn over(
    stream: tokio::net::TcpStream,
    address: SocketAddr,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let message = message(request)?;
    if request.url.tls {
        let stream = tls::wrap(stream, &request.url.host).await?;
        exchange(stream, message, &request.url.host, BODY_BYTES_MAX).await
    } else {
        exchange(stream, message, &address.to_string(), BODY_BYTES_MAX).await
    }
}

/// The message as it goes out.
fn message(request: &Request<'_>) -> Result<hyper::Request<Full<Bytes>>, Error> {
    let bad = |why: String| Error::Request(why);
    let mut message = hyper::Request::builder()
        .method(request.method)
        .uri(&request.url.target)
        .body(Full::new(request.body.clone()))
        // The target is left out: a webhook's path may be its secret.
        .map_err(|error| bad(error.to_string()))?;
    let headers = message.headers_mut();
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad(format!("`{name}` is not the name of a header")))?;
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            continue;
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| bad(format!("header `{name}` cannot have this value")))?;
        headers.append(name, value);
    }
    if !headers.contains_key(HOST) {
        let host = connect::authority(request.url);
        let value = HeaderValue::from_str(&host)
            .map_err(|_| bad(format!("`{host}` is not the name of a host")))?;
        headers.insert(HOST, value);
    }
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(message)
}

/// Sends `request` over `stream` and reads the answer, of its body `body_bytes_max` at most.
/// `place` names the server in messages.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: hyper::Request<Full<Bytes>>,
    place: &str,
    body_bytes_max: usize,
) -> Result<Answer, Error> {
    let no_http = |error: hyper::Error| Error::no_http(place, &error);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(no_http)?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(no_http)?;
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let (body, cut) = read(body, body_bytes_max)
            .await
            .map_err(|error| Error::broke_off(place, status, &error))?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value)));
        Ok(Answer { status, headers: headers.collect(), body, cut })
    };
    tokio::pin!(ask, connection);
    tokio::select! {
        biased;
        answer = &mut ask => answer,
        // Whatever ended it, the answer knows: it may be there already.
        _ = &mut connection => ask.await,
    }
}

/// Reads `body` up to `bytes_max`, and says whether it went on.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = bytes_max - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((read.freeze(), true));
        }
    }
    Ok((read.freeze(), false))
}
