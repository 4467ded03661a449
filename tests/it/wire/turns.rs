//! A client that always has more to say lets the others have their turn.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use serin::wire::server::{Protocol, Server};
use serin::wire::{Body, Client, Request, Response, ResponseHead, Watch};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use crate::support::frames::{PREFACE, SETTINGS, WINDOW_UPDATE, frame};
use crate::support::rules;

struct Nobody;

impl Watch for Nobody {
    fn ended(self, _: Result<(), serin::wire::Error>) {}
}

/// One turn of a connection on which `bytes` have come: how many of them it took, and what it said.
async fn turn(bytes: &[u8], protocol: Protocol) -> (usize, Vec<u8>) {
    let (mut client, io): (DuplexStream, _) = tokio::io::duplex(bytes.len());
    client.write_all(bytes).await.unwrap();
    let service = tower::service_fn(|_: Request| async {
        let (head, body) = (ResponseHead::new(404), Body::empty());
        Ok::<_, Infallible>(Response { head, body, watch: Some(Nobody) })
    });
    let from = Client::new("192.0.2.1:5000".parse().unwrap(), false);
    let mut serving =
        pin!(Server::new(rules(), service).serve(io, from, Some(protocol), pending()));
    poll_fn(|cx| {
        assert!(serving.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    // There is as much room again.
    let taken = match poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_write(cx, bytes))).await {
        Poll::Ready(count) => count.unwrap(),
        Poll::Pending => 0,
    };
    let mut said = Vec::new();
    while let Poll::Ready(count) = poll_fn(|cx| {
        let reading = pin!(client.read_buf(&mut said));
        Poll::Ready(reading.poll(cx).map(Result::unwrap))
    })
    .await
    {
        assert!(count > 0);
    }
    (taken, said)
}

#[tokio::test]
async fn requests_that_wait_for_nobody_are_answered_a_few_at_a_time() {
    for target in ["*", "/"] {
        let requests = format!("OPTIONS {target} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(1000);
        let (_, said) = turn(requests.as_bytes(), Protocol::Http1).await;
        let answers = String::from_utf8(said).unwrap().matches("HTTP/1.1 ").count();
        assert!((1..=16).contains(&answers), "{target}: {answers}");
    }
}

#[tokio::test]
async fn frames_that_cost_nothing_are_read_a_few_at_a_time() {
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(80_000);
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &window].concat();
    let (taken, _) = turn(&bytes, Protocol::Http2).await;
    assert!((1..=256 << 10).contains(&taken), "{taken} of {}", bytes.len());
}
