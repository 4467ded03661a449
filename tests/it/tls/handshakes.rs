//! Who gets in, with which certificate, and how long that may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion};
use serin::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{SHOP, Secured, metrics, with_tls};
use crate::peers::is_there;
use crate::support::{
    Authority, Client, PATIENCE, TestProxy, Upstream, closed_after, config, eventually, secure,
};

/// The alert that a client is refused with.
async fn alert(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> AlertDescription {
    let error = secure(config, address, name).await.expect_err("it was let in");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match error {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn the_name_decides_which_certificate_is_shown() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let authority = Authority::new();
    let client = Arc::new(authority.client(&[&TLS13, &TLS12]));
    let mut silent = authority.client(&[&TLS13, &TLS12]);
    silent.enable_sni = false;
    let silent = Arc::new(silent);
    let issued = [
        authority.issue(&[SHOP]),
        authority.issue(&["*.example.com"]),
        authority.issue(&["other.test", SHOP]),
    ];
    let dir = || {
        let dir = tempfile::tempdir().unwrap();
        for (name, issued) in ["shop", "1", "2"].iter().zip(&issued) {
            issued.write(dir.path(), name);
        }
        dir
    };
    let text = config(&[&blue], &[&green], "", "");
    let hosts: [&[&str]; 3] = [&[SHOP], &["*.example.com"], &["*"]];
    let proxy = TestProxy::start_in(dir(), &with_tls(&text, &hosts, "")).await;
    for (client, name, want) in [
        (&client, SHOP, 0),
        (&client, "SHOP.example.com", 0),
        (&client, "www.example.com", 1),
        (&client, "other.test", 2),
        (&silent, SHOP, 2),
    ] {
        let stream = secure(client, proxy.address, name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown, [issued[want].der()], "{name}");
    }
    proxy.stop().await;

    let proxy = TestProxy::start_in(dir(), &with_tls(&text, &hosts[..2], "")).await;
    for (client, name) in [(&client, "other.test"), (&client, "example.com"), (&silent, SHOP)] {
        let got = alert(client, proxy.address, name).await;
        assert_eq!(got, AlertDescription::UnrecognisedName, "{name}");
    }
    let counted = "serin_refused_total{listener=\"web\",reason=\"tls\"} 3";
    eventually("it is counted", || async { metrics(&proxy).await.contains(counted) }).await;
    proxy.stop().await;
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let address = secured.proxy.address;
    for (version, want) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = Arc::new(secured.authority.client(&[version]));
        let stream = secure(&client, address, SHOP).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(want));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = Client::over(stream, SHOP).await.unwrap();
        assert_eq!(client.send("GET /", &[], "").await.unwrap().status, 200);
    }
    let stream = secured.connect().await;
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);

    // What clients say: a version, a random number, one cipher, no compression, and as extensions
    // the name, the curve P-256 and a signature with it.
    let said_to = async |version: [u8; 2]| {
        let name = SHOP.as_bytes();
        let length = |more: usize| u8::try_from(name.len() + more).unwrap();
        let name = [&[0, 0, 0, length(5), 0, length(3), 0, 0, length(0)], name].concat();
        let rest = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
        let extensions = u8::try_from(name.len() + rest.len()).unwrap();
        let start = [&version[..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2b], &[1, 0]].concat();
        let hello = [&start[..], &[0, extensions], &name, &rest].concat();
        let message = [&[1, 0, 0, u8::try_from(hello.len()).unwrap()], &hello[..]].concat();
        let record = [&[22, 3, 1, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&record).await.unwrap();
        let mut said = vec![0; 7];
        client.read_exact(&mut said).await.unwrap();
        said
    };
    assert_eq!(said_to([3, 3]).await[..3], [22, 3, 3], "TLS 1.2 is not answered");
    for older in [[3, 2], [3, 1], [3, 0]] {
        assert_eq!(said_to(older).await, [21, 3, 3, 0, 2, 2, 70], "not the alert protocol_version");
    }

    let mut foreign = secured.authority.client(&[&TLS13]);
    foreign.alpn_protocols = vec![b"imap".to_vec()];
    let got = alert(&Arc::new(foreign), address, SHOP).await;
    assert_eq!(got, AlertDescription::NoApplicationProtocol);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn a_session_is_resumed_whichever_worker_began_it() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    for version in [&TLS12, &TLS13] {
        let mut client = secured.authority.client(&[version]);
        client.resumption = Resumption::in_memory_sessions(8);
        let client = Arc::new(client);
        let mut kinds = Vec::new();
        for _ in 0..8 {
            let stream = secure(&client, secured.proxy.address, SHOP).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            // The ticket comes before the answer.
            let mut client = Client::over(stream, SHOP).await.unwrap();
            client.send("GET /", &[], "").await.unwrap();
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 7], "{version:?}");
    }
    secured.proxy.stop().await;
}

/// Sends `bytes`, and measures how long it takes until the connection is closed.
async fn closed_within(address: SocketAddr, bytes: &[u8]) -> Duration {
    // Whoever accepts it counts from then on, and may be faster than this.
    let begun = clock::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut got = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await;
    let _ = closed.expect("it stays open");
    assert_eq!(got, b"", "an answer to half a handshake");
    clock::now() - begun
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_it_may() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let limits = "timeouts = { first_byte = \"600ms\", head = \"200ms\" }";
    let secured = Secured::start(&blue, &green, limits).await;
    let (first_byte, rest) = (Duration::from_millis(600), Duration::from_millis(200));
    let silent = closed_within(secured.proxy.address, b"").await;
    assert!(silent >= first_byte - Duration::from_millis(20), "after {silent:?}");
    // The beginning of a record that holds 512 bytes of a message.
    let half = closed_within(secured.proxy.address, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
    assert!(half >= rest - Duration::from_millis(20), "after {half:?}");
    assert!(silent + half < PATIENCE / 4, "after {silent:?} and {half:?}");

    // One that does all but the last of it.
    let mut slow = TcpStream::connect(secured.proxy.address).await.unwrap();
    let name = SHOP.try_into().unwrap();
    let mut hello = rustls::ClientConnection::new(Arc::clone(&secured.client), name).unwrap();
    let mut bytes = Vec::new();
    hello.write_tls(&mut bytes).unwrap();
    slow.write_all(&bytes).await.unwrap();
    let mut got = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut got)).await;
    let _ = closed.expect("it stays open");
    assert!(!got.is_empty(), "it was not answered");

    let counted = "serin_refused_total{listener=\"web\",reason=\"tls_timeout\"} 3";
    eventually("it is counted", || async { secured.metrics().await.contains(counted) }).await;
    let open = "serin_connections{listener=\"web\",state=\"open\"} 0";
    eventually("nothing is open", || async { secured.metrics().await.contains(open) }).await;
    secured.proxy.stop().await;
}

#[tokio::test]
async fn who_only_asks_whether_the_port_is_open_is_not_counted() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let mut probe = TcpStream::connect(secured.proxy.address).await.unwrap();
    probe.shutdown().await.unwrap();
    assert_eq!(probe.read(&mut [0]).await.unwrap(), 0);
    assert!(!secured.metrics().await.contains("reason=\"tls"));
    secured.proxy.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_so() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let address = secured.proxy.address;
    let long = format!("POST / HTTP/1.1\r\nhost: a\r\n\r\n{}", "x".repeat(100_000));
    for request in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", &long] {
        let got = closed_after(address, request).await;
        assert!(got.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{got}");
        let (head, body) = got.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{got}");
        assert!(body.contains("https://"), "{got}");
    }
    // Neither HTTP nor TLS: the alert decode_error, and no HTTP.
    let mut noise = TcpStream::connect(address).await.unwrap();
    noise.write_all(&[0xff; 64]).await.unwrap();
    let mut said = Vec::new();
    noise.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.first(), Some(&21), "{said:?}");
    assert_eq!(blue.hits() + green.hits(), 0);
    secured.proxy.stop().await;
}

#[tokio::test]
async fn a_handshake_that_goes_nowhere_does_not_hold_up_the_end() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let open = "serin_connections{listener=\"web\",state=\"open\"} 2";
    let _silent = TcpStream::connect(secured.proxy.address).await.unwrap();
    let mut half = TcpStream::connect(secured.proxy.address).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    eventually("both are open", || async { secured.metrics().await.contains(open) }).await;
    let begun = clock::now();
    secured.proxy.stop().await;
    let took = clock::now() - begun;
    assert!(took < Duration::from_secs(8), "{took:?}, as long as a handshake may take");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_content() {
    if !is_there("curl") {
        return;
    }
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let secured = Secured::start(&blue, &green, "").await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, secured.authority.pem()).unwrap();
    let port = secured.proxy.address.port();
    let curl = |arguments: &'static [&'static str]| {
        let (ca, resolve) = (ca.clone(), format!("{SHOP}:{port}:127.0.0.1"));
        let url = format!("https://{SHOP}:{port}/");
        tokio::task::spawn_blocking(move || {
            std::process::Command::new("curl")
                .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert"])
                .arg(ca)
                .args(["--resolve", &resolve, "-w", " %{http_version}", &url])
                .args(arguments)
                .output()
                .unwrap()
        })
    };
    for (arguments, version) in [
        (&[][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--http1.0"], "1.1"),
        (&["--no-alpn"], "1.1"),
        (&["--tls-max", "1.2"], "2"),
        (&["--tlsv1.3", "--http1.1"], "1.1"),
    ] {
        let output = curl(arguments).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said == format!("blue {version}"),
            "{arguments:?}: {output:?}"
        );
    }
    secured.proxy.stop().await;
}

#[tokio::test]
async fn the_protocol_is_what_both_can_and_the_file_says() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let (h2, http1) = (&b"h2"[..], &b"http/1.1"[..]);
    for (listener, offered, agreed) in [
        ("", vec![http1, h2], Some(h2)),
        ("", vec![http1], Some(http1)),
        ("", vec![], None),
        ("protocols = [\"http/1.1\"]", vec![h2, http1], Some(http1)),
        ("protocols = [\"h2\"]", vec![http1, h2], Some(h2)),
    ] {
        let secured = Secured::start(&blue, &green, listener).await;
        let mut client = secured.authority.client(&[&TLS13]);
        client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let stream = secure(&Arc::new(client), secured.proxy.address, SHOP).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{listener}: {offered:?}");
        if agreed != Some(h2) {
            let mut client = Client::over(stream, SHOP).await.unwrap();
            assert_eq!(client.send("GET /", &[], "").await.unwrap().body, "blue");
        }
        secured.proxy.stop().await;
    }
    let secured = Secured::start(&blue, &green, "protocols = [\"h2\"]").await;
    let got = alert(&secured.client, secured.proxy.address, SHOP).await;
    assert_eq!(got, AlertDescription::NoApplicationProtocol);
    secured.proxy.stop().await;
}
