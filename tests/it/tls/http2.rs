//! HTTP/2 over TLS: what passes, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Request, Response};
use rustls::version::{TLS12, TLS13};
use tokio::task::JoinHandle;

use super::{SHOP, Secured};
use crate::support::{Behaviour, PATIENCE, RawUpstream, Then, Upstream, config, secure};

/// A client of HTTP/2, and what becomes of its connection.
async fn connect(
    secured: &Secured,
    version: &'static rustls::SupportedProtocolVersion,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let mut config = secured.authority.client(&[version]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = secure(&Arc::new(config), secured.proxy.address, SHOP).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

/// Sends `body` and reads the whole answer.
async fn post(
    sender: &mut SendRequest<Bytes>,
    body: Bytes,
) -> Result<(Response<()>, BytesMut), h2::Error> {
    let request = Request::post(format!("https://{SHOP}/")).body(()).unwrap();
    let exchange = async {
        let (response, mut stream) = sender.clone().ready().await?.send_request(request, false)?;
        stream.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut got = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            got.extend_from_slice(&piece);
        }
        Ok((Response::from_parts(head, ()), got))
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("no answer in time")
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Echo);
    let secured = Secured::start(&blue, &green, "limits = { body_bytes = \"20MiB\" }").await;
    for version in [&TLS12, &TLS13] {
        let (mut sender, _connection) = connect(&secured, version).await;
        for size in [0, 1, 64 << 10, 10 << 20] {
            let body: Bytes = (b'a'..=b'z').cycle().take(size).collect();
            let (head, got) = post(&mut sender, body.clone()).await.unwrap();
            assert!(head.status() == 200 && got == body, "{size} bytes came back changed");
        }
        assert_eq!(blue.last().1["x-forwarded-proto"], "https");
    }
    secured.proxy.stop().await;
}

#[tokio::test]
async fn many_requests_share_a_connection_that_ends_well_with_serin() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Echo);
    let secured = Secured::start(&blue, &green, "").await;
    let (sender, connection) = connect(&secured, &TLS13).await;
    let asking = (0..50_u8).map(|number| {
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let body = Bytes::from(vec![number; 100_000]);
            let (_, got) = post(&mut sender, body.clone()).await.unwrap();
            assert!(got == body);
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    let open = "serin_connections{listener=\"web\",state=\"open\"} 1";
    assert!(secured.metrics().await.contains(open), "not one connection");
    drop(sender);
    tokio::time::timeout(Duration::from_secs(10), secured.proxy.stop()).await.unwrap();
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it";
    let upstream = RawUpstream::answering_after("", answer, Then::Close).await;
    let text = config(&[], &[], "health = { off = true }", "")
        .replace("endpoints = []", &format!("endpoints = [\"{}\"]", upstream.address));
    let secured = Secured::before(&text, "").await;
    let (mut sender, _connection) = connect(&secured, &TLS13).await;
    let error = post(&mut sender, Bytes::new()).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
    secured.proxy.stop().await;
}

/// The limits hold from the first byte on.
#[tokio::test]
async fn a_client_that_says_nothing_is_told_and_left() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "timeouts = { first_byte = \"300ms\" }").await;
    let mut config = secured.authority.client(&[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = secure(&Arc::new(config), secured.proxy.address, SHOP).await.unwrap();
    let mut got = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut got);
    tokio::time::timeout(PATIENCE, reading).await.expect("it stays open").unwrap();
    // GOAWAY, with no stream and no error (RFC 9113 §6.8).
    assert!(got.ends_with(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "{got:x?}");
    secured.proxy.stop().await;
}
