//! What becomes of requests and answers on their way.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    Behaviour, Client, LOOPBACK, PATIENCE, TestProxy, Upstream, closed_after, config, eventually,
    get, read_head,
};

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..20 {
        let answer = client.send("GET /a?b=c", &[], "").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "blue"));
    }
    assert_eq!((blue.hits(), blue.connections()), (20, 1));
    assert_eq!(blue.last().0, "GET /a?b=c");
    proxy.stop().await;
}

#[tokio::test]
async fn the_next_hop_is_told_who_asks_and_not_what_ends_here() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let sent = [
        ("host", "shop.example.com"),
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=9"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers, gzip"),
        ("upgrade", "h2c"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x_forwarded_for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.0 cdn"),
        ("authorization", "Bearer t"),
        ("range", "bytes=0-1"),
    ];
    let answer = get(proxy.address, "/", &sent).await;
    let (_, fields) = blue.last();
    let field = |name: &str| fields.get(name).map(|value| value.to_str().unwrap());
    for gone in ["x-private", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert_eq!(field(gone), None, "{gone} went on");
    }
    assert!(!fields.contains_key("x_forwarded_for"));
    assert_eq!(field("te"), Some("trailers"));
    assert_eq!(field("host"), Some("shop.example.com"));
    assert_eq!(field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field("x-forwarded-proto"), Some("http"));
    assert_eq!(field("x-forwarded-host"), Some("shop.example.com"));
    assert_eq!(field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(field("forwarded"), Some("for=127.0.0.1;proto=http"));
    assert_eq!(field("via"), Some("1.0 cdn, 1.1 serin"));
    assert_eq!(field("authorization"), Some("Bearer t"));
    assert_eq!(field("range"), Some("bytes=0-1"));
    assert!(!answer.fields.contains_key("keep-alive"), "the upstream's own hop");
    assert_eq!(answer.fields["via"], "1.1 serin");
    assert_eq!(answer.fields["x-upstream"], "blue");
    proxy.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], "", "")
        .replace("[listeners.web]", "[listeners.web]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let proxy = TestProxy::start(&text).await;
    let sent = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
    get(proxy.address, "/", &sent).await;
    let (_, fields) = blue.last();
    assert_eq!(fields["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    assert_eq!(fields["x-forwarded-proto"], "https");
    proxy.stop().await;
}

/// 64 MB through the proxy and back, held in no buffer: what comes out is checked on the way.
#[tokio::test]
async fn bodies_of_any_size_pass_in_both_directions_at_once() {
    const SIZE: usize = 64 << 20;
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Echo);
    let text = config(&[&blue], &[&green], "", "")
        .replace("[listeners.web]", "[listeners.web]\nlimits = { body_bytes = \"100MiB\" }");
    let proxy = TestProxy::start(&text).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reads, mut writes) = stream.split();
    let piece: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 16).collect();
    let sending = async {
        for _ in 0..SIZE / piece.len() {
            writes.write_all(&piece).await.unwrap();
        }
    };
    let receiving = async {
        let mut buffer = vec![0; 1 << 16];
        let (mut got, mut head_ended) = (0usize, false);
        while got < SIZE {
            let n = reads.read(&mut buffer).await.unwrap();
            assert!(n > 0, "ended after {got}");
            let mut bytes = &buffer[..n];
            if !head_ended {
                let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
                (bytes, head_ended) = (&bytes[end..], true);
            }
            for (at, byte) in bytes.iter().enumerate() {
                assert_eq!(usize::from(*byte), (got + at) % 256, "at {}", got + at);
            }
            got += bytes.len();
        }
    };
    let both = async { tokio::join!(sending, receiving) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("stalled");
    proxy.stop().await;
}

/// An upstream that speaks bytes: it reads a head and then does what `answer` says.
async fn scripted<F, Fut>(answer: F) -> std::net::SocketAddr
where
    F: Fn(TcpStream, String) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let Ok(head) = read_head(&mut stream).await else { return };
                if head.starts_with("GET /health ") {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    return;
                }
                answer(stream, head).await;
            });
        }
    });
    address
}

async fn proxy_to(stable: std::net::SocketAddr, green: &Upstream, keys: &str) -> TestProxy {
    let text = config(&[], &[green], keys, "");
    let text = text.replacen("endpoints = []", &format!("endpoints = [\"{stable}\"]"), 1);
    TestProxy::start(&text).await
}

#[tokio::test]
async fn the_first_piece_of_an_answer_is_not_held_back() {
    let green = Upstream::start("green").await;
    let (more, wanted) = tokio::sync::watch::channel(false);
    let stable = scripted(move |mut stream, _| {
        let mut wanted = wanted.clone();
        async move {
            let first = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            stream.write_all(first).await.unwrap();
            wanted.wait_for(|wanted| *wanted).await.unwrap();
            stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let proxy = proxy_to(stable, &green, "").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    while !got.windows(5).any(|w| w == b"first") {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0);
    }
    more.send(true).unwrap();
    while !got.ends_with(b"0\r\n\r\n") {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole_and_is_charged() {
    let green = Upstream::start("green").await;
    for whole in ["content-length: 100\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n9\r\nhalf"]
    {
        let stable = scripted(move |mut stream, _| async move {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{whole}").as_bytes()).await.unwrap();
        })
        .await;
        let proxy = proxy_to(stable, &green, "").await;
        let got = closed_after(proxy.address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(got.contains("half") && !got.ends_with("0\r\n\r\n"), "{got}");
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        assert_eq!(proxy.shop().await.stable.total["truncated"], 1);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn garbage_from_an_upstream_is_a_502() {
    let green = Upstream::start("green").await;
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let stable = scripted(move |mut stream, _| async move {
            stream.write_all(garbage.as_bytes()).await.unwrap();
        })
        .await;
        let proxy = proxy_to(stable, &green, "").await;
        let answer = Client::connect(proxy.address).await.send("POST /", &[], "x").await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{garbage}");
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_is_not_the_upstreams_fault_and_the_upstream_hears_of_it() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Hang);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the upstream has it", || async { blue.hits() == 1 }).await;
    drop(stream);
    eventually("the upstream hears of it", || async { blue.cancelled() == 1 }).await;
    eventually("it is counted", || async {
        proxy.shop().await.stable.total.get("abandoned") == Some(&1)
    })
    .await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_costs_no_request() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::OneEach);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..5 {
        assert_eq!(client.send("GET /", &[], "").await.unwrap().status, StatusCode::OK);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let green = Upstream::start("green").await;
    let hits = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&hits);
    let stable = scripted(move |stream, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { drop(stream) }
    })
    .await;
    let proxy = proxy_to(stable, &green, "").await;
    let mut client = Client::connect(proxy.address).await;
    let answer = client.send("POST /pay", &[], "amount=5").await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(hits.load(std::sync::atomic::Ordering::SeqCst), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_request_while_another_lives() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let green = Upstream::start("green").await;
    // Nothing checks them, so the dead one stays among the candidates.
    let text = config(&[&one, &two], &[&green], "health = { off = true }", "");
    let proxy = TestProxy::start(&text).await;
    one.stop().await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..30 {
        let answer = client.send("POST /", &[], "x").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "two"));
    }
    two.stop().await;
    let answer = client.send("GET /", &[], "").await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    proxy.stop().await;
}

#[tokio::test]
async fn a_canary_that_cannot_be_reached_is_charged_and_stable_serves() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = "health = { off = true }\njudge = { watch = false }";
    let proxy = TestProxy::start(&config(&[&blue], &[&green], keys, "")).await;
    proxy.weight("100%").await;
    green.stop().await;
    for _ in 0..3 {
        assert_eq!(get(proxy.address, "/", &[]).await.body, "blue");
    }
    eventually("it is charged", || async {
        proxy.shop().await.canary.is_some_and(|canary| canary.errors == 3)
    })
    .await;
    assert_eq!(proxy.shop().await.stable.requests, 0, "stable was judged for a second attempt");
    proxy.stop().await;
}

#[tokio::test]
async fn checks_of_many_endpoints_do_not_go_on_all_at_once() {
    const EVERY: Duration = Duration::from_secs(1);
    let (mut blue, green) = (Vec::new(), Upstream::start("green").await);
    for _ in 0..30 {
        blue.push(Upstream::start("blue").await);
    }
    let keys = "health = { path = \"/health\", every = \"1s\" }";
    let blue_pool: Vec<_> = blue.iter().collect();
    let proxy = TestProxy::start(&config(&blue_pool, &[&green], keys, "")).await;
    eventually("each was checked three times", || async {
        blue.iter().all(|one| one.checks().len() >= 3)
    })
    .await;
    let pauses = |nth: usize| {
        let checks = blue.iter().map(Upstream::checks);
        checks.map(move |checks| checks[nth] - checks[nth - 1]).min().unwrap()
    };
    assert!(pauses(1) < EVERY / 2, "all of 30 waited for {:?}", pauses(1));
    assert!(pauses(2) >= EVERY, "the spread is for once: {:?}", pauses(2));
    proxy.stop().await;
}

#[tokio::test]
async fn a_stable_pool_that_is_down_is_a_503_with_the_reason() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.is_healthy(false);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let answer = get(proxy.address, "/", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.fields["retry-after"], "1");
    assert!(answer.body.contains("pool blue passes GET /health"), "{}", answer.body);
    assert_eq!(green.hits(), 0, "the canary became stable in silence");
    blue.is_healthy(true);
    eventually("it comes back", || async { get(proxy.address, "/", &[]).await.body == "blue" })
        .await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_a_504() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Hang);
    let keys = "timeouts = { first_byte = \"100ms\" }";
    let proxy = TestProxy::between(&blue, &green, keys).await;
    assert_eq!(get(proxy.address, "/", &[]).await.status, StatusCode::GATEWAY_TIMEOUT);
    eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_under_way() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    blue.does(Behaviour::Wait);
    let proxy = TestProxy::between(&blue, &green, "").await;
    let address = proxy.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let request = tokio::spawn(async move { get(address, "/", &[]).await });
    eventually("the upstream has it", || async { blue.hits() == 1 }).await;
    let stopping = tokio::spawn(proxy.stop());
    eventually("nobody listens", || async { TcpStream::connect(address).await.is_err() }).await;
    // Whoever did not wait would have cut it off by now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    blue.may_answer();
    assert_eq!(request.await.unwrap().body, "blue");
    tokio::time::timeout(PATIENCE, stopping).await.expect("it does not stop").unwrap();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0, "an idle connection stayed open");
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_resolved_to_all_its_addresses_and_start_up_does_not_wait_for_it() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], "", "")
        .replace(&blue.address.to_string(), &format!("localhost:{}", blue.address.port()))
        .replace(
            &format!("endpoints = [\"{}\"]", green.address),
            "endpoints = [\"nowhere.invalid:80\"]",
        );
    // A name that does not resolve has no first health result, so this does not wait for it.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("proxy.toml"), &text).unwrap();
    let serin = crate::support::Serin::start(dir.path());
    eventually("localhost is found", || async {
        get(serin.address, "/", &[]).await.body == "blue"
    })
    .await;
    let endpoint = &serin.shop()["canary"]["endpoints"][0];
    assert_eq!(endpoint["target"], "nowhere.invalid:80");
    assert!(endpoint["address"].is_null(), "{endpoint}");
}
