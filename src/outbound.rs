//! The one HTTP client for what serin asks on its own account: health checks now, gates, hooks and
//! notices later. Never a client's request.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a question got no answer.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An answer longer than this is cut off: only its status matters.
const BODY_MAX: usize = 64 * 1024;

/// Asks `address` for `path` over a connection of its own and returns the status. The caller sets
/// the time limit.
///
/// # Errors
/// When no connection can be made, or the answer is no HTTP.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<u16, Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    let request = hyper::Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("serin/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())?;
    let ask = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        // The server may be counting on being read to the end.
        let _ = Limited::new(response.into_body(), BODY_MAX).collect().await;
        Ok(status)
    };
    tokio::pin!(ask, connection);
    tokio::select! {
        answer = &mut ask => answer,
        ended = &mut connection => {
            ended?;
            ask.await
        }
    }
}
