//! HTTP/1.1 over TLS: what passes, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rustls::version::{TLS12, TLS13};
use serin::control::Action;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{SHOP, Secured};
use crate::support::{
    Behaviour, PATIENCE, RawUpstream, Then, Upstream, came_to, config, eventually, read_head,
    secure,
};

/// All that comes until the end, and whether that was a farewell and no break.
async fn rest(stream: &mut TlsStream<TcpStream>) -> (String, bool) {
    let mut got = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await;
    let is_clean = end.expect("it stays open").is_ok();
    (String::from_utf8_lossy(&got).into_owned(), is_clean)
}

#[tokio::test]
async fn a_connection_is_kept_and_the_upstream_knows_that_it_was_secure() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], "sticky = [\"issue\"]", "");
    let secured = Secured::before(&text, "").await;
    let mut client = secured.client().await;
    for _ in 0..3 {
        let answer = client.send("GET /", &[("x-forwarded-proto", "http")], "").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "blue"));
        let cookie = answer.fields["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("; Secure"), "{cookie}");
        assert_eq!(blue.last().1["x-forwarded-proto"], "https");
    }
    let open = "serin_connections{listener=\"web\",state=\"open\"} 1";
    assert!(secured.metrics().await.contains(open), "it was not kept");
    drop(client);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn the_way_back_is_rehearsed_where_every_port_speaks_tls() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    secured.proxy.act(Action::Rehearse).await.unwrap();
    let proxy = &secured.proxy;
    eventually("it ends", || async { proxy.shop().await.rehearsal.is_some() }).await;
    let rehearsal = proxy.shop().await.rehearsal.unwrap();
    assert!(rehearsal.armed, "{}", rehearsal.words);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Echo);
    let secured = Secured::start(&blue, &green, "limits = { body_bytes = \"20MiB\" }").await;
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(secured.authority.client(&[version]));
        let stream = secure(&config, secured.proxy.address, SHOP).await.unwrap();
        let mut client = crate::support::Client::over(stream, SHOP).await.unwrap();
        for size in [0, 1, 16 << 10, 64 << 10, (64 << 10) + 1, 10 << 20] {
            let body: String = ('a'..='z').cycle().take(size).collect();
            let answer = client.send("POST /", &[], body.clone()).await.unwrap();
            assert!(answer.status == 200 && answer.body == body, "{size} bytes came back changed");
        }
    }
    secured.proxy.stop().await;
}

/// What rustls has taken and the socket has not goes on its way when the client reads again.
#[tokio::test]
async fn a_client_that_pauses_gets_all_of_it() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Big);
    let secured = Secured::start(&blue, &green, "").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let stream = socket.connect(secured.proxy.address).await.unwrap();
    let connector = TlsConnector::from(Arc::clone(&secured.client));
    let mut stream = connector.connect(SHOP.try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    while !got.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await.unwrap();
        got.extend_from_slice(&buffer[..count]);
    }
    // The upstream has said all, or is stuck because we are: nothing more moves.
    let mut before = None;
    eventually("everything stands still", || {
        let now = bytes_waiting(&stream);
        let is_still = now > 0 && before.replace(now) == Some(now);
        async move { is_still }
    })
    .await;
    let head = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut left = (64 << 20) - (got.len() - head);
    while left > 0 {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        let count = read.expect("the rest never comes").unwrap();
        assert!(count > 0, "it ended {left} bytes too early");
        assert!(buffer[..count].iter().all(|byte| *byte == b'x'));
        left -= count;
    }
    // Another one over the same connection.
    blue.does(Behaviour::Answer);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let (answer, is_clean) = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("blue") && is_clean);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn a_farewell_is_answered_by_one() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    for requests in 0..3 {
        let mut stream = secured.connect().await;
        stream
            .write_all("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(requests).as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let (answers, is_clean) = rest(&mut stream).await;
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), requests);
        assert!(is_clean, "it broke off after {requests} answers");
    }
    secured.proxy.stop().await;
}

/// How many bytes lie in the socket.
fn bytes_waiting(stream: &TlsStream<TcpStream>) -> u64 {
    rustix::io::ioctl_fionread(stream.get_ref().0).unwrap()
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Big);
    let limits = "timeouts = { stream_idle = \"300ms\" }";
    let secured = Secured::start(&blue, &green, limits).await;
    let mut stream = secured.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    came_to(&secured.proxy, "abandoned", 1).await;
    let open = "serin_connections{listener=\"web\",state=\"open\"} 0";
    eventually("it is let go", || async { secured.metrics().await.contains(open) }).await;
    drop(stream);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let half = "half of it";
    let chunk = format!("{:x}\r\n{half}\r\n", half.len());
    for (fields, body, version) in [
        ("content-length: 100\r\n", half, "1.1"),
        ("transfer-encoding: chunked\r\n", &*chunk, "1.1"),
        // To a client of HTTP/1.0 only the end of the connection tells the end of this.
        ("transfer-encoding: chunked\r\n", &*chunk, "1.0"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
        let upstream = RawUpstream::answering(answer, Then::Close).await;
        let keys = "health = { off = true }";
        let text = config(&[], &[], keys, "")
            .replace("endpoints = []", &format!("endpoints = [\"{}\"]", upstream.address));
        let secured = Secured::before(&text, "").await;
        let mut stream = secured.connect().await;
        let request = format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (got, is_clean) = rest(&mut stream).await;
        assert!(!is_clean, "HTTP/{version} {fields}: a farewell after {got:?}");
        assert!(!got.ends_with("0\r\n\r\n"), "{got:?}");
        secured.proxy.stop().await;
    }
}

#[tokio::test]
async fn what_has_ended_well_ends_with_a_farewell() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "timeouts = { idle = \"200ms\" }").await;
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        // This one is kept, until it has been idle for too long.
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = secured.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let (got, is_clean) = rest(&mut stream).await;
        assert!(got.starts_with("HTTP/1.1 "), "{request:?}: {got:?}");
        assert!(is_clean, "{request:?}: it breaks off after {got:?}");
    }
    secured.proxy.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_with_a_farewell_when_serin_ends() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let mut stream = secured.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"blue") {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0);
    }
    let stopping = tokio::spawn(secured.proxy.stop());
    assert_eq!(rest(&mut stream).await, (String::new(), true));
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
}

/// A tunnel, byte for byte, over TLS.
#[tokio::test]
async fn an_upgraded_connection_is_passed_through() {
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let upstream = RawUpstream::answering_after("\r\n\r\n", switched, Then::Keep).await;
    let text = config(&[], &[], "health = { off = true }", "")
        .replace("endpoints = []", &format!("endpoints = [\"{}\"]", upstream.address));
    let secured = Secured::before(&text, "").await;
    let mut stream = secured.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let got = read_head(&mut stream).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    stream.write_all(b"through the tunnel").await.unwrap();
    eventually("it came through", || async { upstream.only().ends_with("the tunnel") }).await;
    drop(stream);
    eventually("its end, too", || async { upstream.closed() == 1 }).await;
    secured.proxy.stop().await;
}
