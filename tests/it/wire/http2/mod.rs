//! HTTP/2 towards clients: the same contract, and what only HTTP/2 has.

mod answers;
mod closing;
mod limits;
mod requests;

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;

use crate::support::frames::GET;

/// The fields of an upload that nobody objects to.
pub(super) const POST: [(&str, &str); 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];

/// A client that keeps all rules, and its connection.
pub(super) async fn connect(
    address: SocketAddr,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let client = client.ready().await.unwrap();
    (client, tokio::spawn(connection))
}

/// A request for `path`.
pub(super) fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("http://a.example{path}"))
}

/// All of a body, and what ended it.
pub(super) async fn collect(
    mut body: h2::RecvStream,
) -> (String, Result<http::HeaderMap, h2::Error>) {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
                all.extend_from_slice(&piece);
            }
            Err(error) => return (String::from_utf8_lossy(&all).into_owned(), Err(error)),
        }
    }
    let trailers = body.trailers().await.map(Option::unwrap_or_default);
    (String::from_utf8_lossy(&all).into_owned(), trailers)
}
