//! HTTP/2 over TLS, which the two sides agree on in the handshake.

use std::sync::Arc;

use rustls::version::TLS13;
use tokio_rustls::client::TlsStream;

use super::{SHOP, Secured};
use crate::support::{Behaviour, Client, Upstream, came_to, secure};

/// Offers `protocols`, and tells which one was taken.
async fn offer(
    secured: &Secured,
    protocols: &[&str],
) -> std::io::Result<(TlsStream<tokio::net::TcpStream>, Option<String>)> {
    let mut client = secured.authority.client(&[&TLS13]);
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = secure(&Arc::new(client), secured.proxy.address, SHOP).await?;
    let taken = stream.get_ref().1.alpn_protocol();
    let taken = taken.map(|name| String::from_utf8_lossy(name).into_owned());
    Ok((stream, taken))
}

#[tokio::test]
async fn what_is_spoken_is_agreed_on() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    for (spoken, offered, want) in [
        ("", &["http/1.1", "h2"][..], Some("h2")),
        ("", &["http/1.1"], Some("http/1.1")),
        ("", &[], None),
        ("protocols = [\"http/1.1\"]", &["h2", "http/1.1"], Some("http/1.1")),
        ("protocols = [\"h2\"]", &["h2", "http/1.1"], Some("h2")),
    ] {
        let secured = Secured::start(&blue, &green, spoken).await;
        let (stream, taken) = offer(&secured, offered).await.unwrap();
        assert_eq!(taken.as_deref(), want, "{spoken} {offered:?}");
        if want != Some("h2") {
            let mut client = Client::over(stream, SHOP).await.unwrap();
            assert_eq!(client.send("GET /", &[], "").await.unwrap().status, 200);
        }
        secured.proxy.stop().await;
    }
    let secured = Secured::start(&blue, &green, "protocols = [\"h2\"]").await;
    assert!(offer(&secured, &["http/1.1"]).await.is_err(), "nothing is spoken that both know");
    secured.proxy.stop().await;
}

#[tokio::test]
async fn requests_and_large_bodies_pass_both_ways() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Echo);
    let secured = Secured::start(&blue, &green, "").await;
    let (stream, _) = offer(&secured, &["h2"]).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let request = http::Request::post(format!("https://{SHOP}/")).body(()).unwrap();
    let (answer, mut out) = client.send_request(request, false).unwrap();
    // h2 keeps what no window is open for.
    out.send_data(body.clone().into(), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    let mut got = Vec::new();
    while let Some(piece) = answer.data().await {
        let piece = piece.unwrap();
        answer.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    assert!(got == body, "{} bytes of {}", got.len(), body.len());
    let (_, fields) = blue.last();
    assert_eq!(fields["x-forwarded-proto"], "https");
    assert_eq!(fields["via"], "2 serin");
    came_to(&secured.proxy, "2xx", 1).await;
    // The end of the proxy is announced, and comes.
    secured.proxy.stop().await;
    connection.await.unwrap().unwrap();
}
