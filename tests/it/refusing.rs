//! Bad requests: what each gets, and that no upstream ever sees it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Client, PATIENCE, RawClient, RawUpstream, TestProxy, Then, Upstream, came_to, closed_after,
    config, get,
};

async fn proxy(blue: &Upstream, green: &Upstream, listener: &str) -> TestProxy {
    let text = config(&[blue], &[green], "", "")
        .replace("[listeners.web]", &format!("[listeners.web]\n{listener}"));
    TestProxy::start(&text).await
}

#[tokio::test]
async fn bad_heads_are_refused_and_never_forwarded() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = proxy(&blue, &green, "limits = { target_bytes = \"1KiB\", headers = 20 }").await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(2_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(30));
    #[rustfmt::skip]
    let table: &[(&str, u16)] = &[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nhost: a\r\nexpect: tea\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n", 413),
        (&long, 414),
        (&many, 431),
        ("junk\r\n\r\n", 400),
    ];
    for (bytes, status) in table {
        let got = closed_after(proxy.address, bytes).await;
        let want = format!("HTTP/1.1 {status} ");
        assert!(
            got.starts_with(&want),
            "{:?}\ngot {got:?}, not {status}",
            &bytes[..60.min(bytes.len())]
        );
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "answered twice: {bytes:?}");
    }
    assert_eq!(blue.hits() + green.hits(), 0, "something was forwarded");
    proxy.stop().await;
}

#[tokio::test]
async fn the_targets_authority_wins() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = proxy(&blue, &green, "").await;
    let other = "host: other.example\r\nconnection: close\r\n\r\n";
    let bytes = format!("GET http://real.example/x?y HTTP/1.1\r\n{other}");
    assert!(closed_after(proxy.address, bytes).await.starts_with("HTTP/1.1 200 "));
    let (line, fields) = blue.last();
    assert_eq!((line.as_str(), &fields["host"]), ("GET /x?y", &"real.example".parse().unwrap()));
    let options = format!("OPTIONS * HTTP/1.1\r\n{other}");
    let options = closed_after(proxy.address, options).await;
    assert!(options.starts_with("HTTP/1.1 204 ") && options.contains("allow:"), "{options}");
    assert_eq!(blue.hits(), 1, "OPTIONS * is answered here");
    proxy.stop().await;
}

#[tokio::test]
async fn a_host_that_no_service_has_is_a_404() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text =
        config(&[&blue], &[&green], "hosts = [\"shop.example.com\"]\npaths = [\"/shop\"]", "");
    let proxy = TestProxy::start(&text).await;
    for (host, target, status) in [
        ("SHOP.example.com:80", "/shop", 200),
        ("shop.example.com", "/shop/cart", 200),
        ("shop.example.com", "/shopping", 404),
        ("example.com", "/shop", 404),
    ] {
        let answer = get(proxy.address, target, &[("host", host)]).await;
        assert_eq!(answer.status, status, "{host}{target}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_that_grows_beyond_the_limit_is_a_413() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(crate::support::Behaviour::Hang);
    let proxy = proxy(&blue, &green, "limits = { body_bytes = \"1KiB\" }").await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let fields = "host: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n";
    let bytes = format!("POST / HTTP/1.1\r\n{fields}\r\n{chunk}{chunk}");
    let got = closed_after(proxy.address, bytes).await;
    assert!(got.starts_with("HTTP/1.1 413 "), "{got}");
    crate::support::eventually("it is counted", || async {
        proxy.shop().await.stable.total.get("bad_request") == Some(&1)
    })
    .await;
    assert_eq!(proxy.shop().await.stable.errors, 0, "charged for the client's body");
    proxy.stop().await;
}

/// Opens a connection, sends `bytes` and returns what came by the time it is closed.
async fn until_closed(proxy: &TestProxy, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut got = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut got)).await;
    read.expect("it stays open").unwrap_or_default();
    got
}

#[tokio::test]
async fn no_client_may_take_for_ever() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let limits = "timeouts = { first_byte = \"200ms\", head = \"200ms\", idle = \"200ms\", body_idle = \"200ms\" }";
    let proxy = proxy(&blue, &green, limits).await;
    blue.does(crate::support::Behaviour::Echo);
    assert_eq!(until_closed(&proxy, b"").await, "", "a silent one");
    let half = until_closed(&proxy, b"GET / HTTP/1.1\r\nho").await;
    assert!(half.starts_with("HTTP/1.1 408 "), "half a head: {half:?}");
    let idle = until_closed(&proxy, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 "), "an idle one: {idle:?}");
    let body = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    let body = until_closed(&proxy, body).await;
    assert!(!body.contains("content-length: 9\r\n\r\nhalf\r\n"), "half a body: {body:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_full_house_turns_clients_away_and_says_so() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = proxy(&blue, &green, "limits = { connections_per_ip = 3 }").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        // A connection that was answered is one that was let in.
        let mut client = Client::connect(proxy.address).await;
        client.send("GET /", &[], "").await.unwrap();
        held.push(client);
    }
    crate::support::eventually("the fourth is turned away", || async {
        let mut fourth = TcpStream::connect(proxy.address).await.unwrap();
        let read = tokio::time::timeout(Duration::from_millis(200), fourth.read(&mut [0; 1])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    })
    .await;
    drop(held);
    crate::support::eventually("there is room again", || async {
        let Ok(mut client) = Client::try_connect(proxy.address).await else { return false };
        client.send("GET /", &[], "").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    proxy.stop().await;
}

/// The upstream's time begins when it has the whole request, so a slow upload is nobody's fault.
#[tokio::test]
async fn a_slow_upload_is_neither_cut_off_nor_charged() {
    // It says nothing before it has all of it.
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::answering_after("xxxxxxxx", answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "timeouts = { first_byte = \"1s\" }").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send("x").await;
    }
    let got = client.until("\r\n\r\nok").await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    came_to(&proxy, "2xx", 1).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_nobody_is_charged() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(crate::support::Behaviour::Big);
    let limits = "timeouts = { stream_idle = \"300ms\", head = \"300ms\", idle = \"300ms\" }";
    let proxy = proxy(&blue, &green, limits).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    crate::support::eventually("it is let go", || async {
        let service = proxy.shop().await;
        service.stable.total.get("abandoned") == Some(&1)
            && service.stable.endpoints[0].in_flight == 0
    })
    .await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    drop(stream);
    proxy.stop().await;
}
