//! Upstreams that misbehave, and what their answers become on the way to the client.

use super::OK;
use crate::support::{RawClient, RawUpstream, Serin, Then, came_to, closed_after, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const LAST_GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn an_answer_that_is_none_is_a_502_and_charged() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(257));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(300_000));
    let interims = "HTTP/1.1 103 Early\r\n\r\n".repeat(17) + OK;
    #[rustfmt::skip]
    let table = [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "<html>ok</html>",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: half a head",
        "HTTP/1.1 103 Early\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        &many,
        &endless,
        &interims,
    ];
    for answer in table {
        let what = answer.chars().take(60).collect::<String>();
        let breaks_off = answer.ends_with("half a head") || answer.ends_with("Early\r\n\r\n");
        let then = if breaks_off { Then::Close } else { Then::Keep };
        let upstream = RawUpstream::answering(answer, then).await;
        let proxy = upstream.behind_proxy("", "").await;
        let got = closed_after(proxy.address, LAST_GET).await;
        let got = got.split("HTTP/1.1 103 Early\r\n\r\n").last().unwrap();
        assert!(got.starts_with("HTTP/1.1 502 "), "{what:?} became {got:?}");
        if then == Then::Keep {
            eventually("it is closed", || async { upstream.closed() == 1 }).await;
        }
        assert_eq!(upstream.seen().len(), 1, "asked again after {what:?}");
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for (answer, old) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
    ] {
        let upstream = RawUpstream::answering(answer, Then::Close).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        client.send(if old { "GET / HTTP/1.0\r\nhost: a\r\n\r\n" } else { GET }).await;
        let (got, clean) = client.rest().await;
        assert!(!got.ends_with("0\r\n\r\n") && !got.contains("content-length: 4"), "{got:?}");
        assert!(!old || !clean, "to a 1.0 client a clean end is a whole answer: {got:?}");
        eventually("it is charged", || async { proxy.shop().await.stable.errors == 1 }).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn what_an_upstream_ends_by_closing_is_whole_and_says_so() {
    let upstream = RawUpstream::answering("HTTP/1.1 200 OK\r\n\r\nall of it", Then::Close).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(GET).await;
    let got = client.until("0\r\n\r\n").await;
    assert!(got.contains("\r\ntransfer-encoding: chunked\r\n"), "{got}");
    client.send(LAST_GET).await;
    let (got, _) = client.rest().await;
    assert!(got.ends_with("9\r\nall of it\r\n0\r\n\r\n"), "the connection was not kept: {got}");
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn bytes_after_an_answer_cost_the_connection_and_nothing_else() {
    for answer in [format!("{OK}HTTP/1.1 200 OK\r\n\r\n"), format!("{OK}x")] {
        let upstream = RawUpstream::answering(answer, Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        for _ in 0..3 {
            client.send(GET).await;
            assert!(client.until("\r\n\r\nok").await.ends_with("ok"), "more than the answer came");
        }
        assert_eq!(upstream.seen().len(), 3, "a connection was used again");
        assert_eq!(proxy.shop().await.stable.errors, 0);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_keep_the_connection() {
    for (method, answer, want) in [
        ("HEAD", "200 OK\r\ncontent-length: 99\r\n", "200 OK\r\ncontent-length: 99\r\n"),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked\r\n", "200 OK\r\n"),
        ("GET", "204 No Content\r\ncontent-length: 0\r\n", "204 No Content\r\n"),
        (
            "GET",
            "304 Not Modified\r\ncontent-length: 99\r\n",
            "304 Not Modified\r\ncontent-length: 99\r\n",
        ),
        ("GET", "200 OK\r\ncontent-length: 0\r\n", "200 OK\r\ncontent-length: 0\r\n"),
    ] {
        let upstream =
            RawUpstream::answering(format!("HTTP/1.1 {answer}Date: x\r\n\r\n"), Then::Keep).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let got = client.until("\r\n\r\n").await;
            assert_eq!(got, format!("HTTP/1.1 {want}Date: x\r\nvia: 1.1 serin\r\n\r\n"));
        }
        assert_eq!(upstream.seen().len(), 1, "{answer:?} cost the connection");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn what_ends_at_an_upstreams_hop_does_not_reach_the_client() {
    let answer = "HTTP/1.1 200 Fine\r\nServer: x\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Authenticate: x\r\nUpgrade: h2c\r\nContent-Length: 2\r\nX-Stays: 1\r\nDate: x\r\n\r\nok";
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send(GET).await;
    assert_eq!(
        client.until("ok").await,
        "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 2\r\nX-Stays: 1\r\nDate: x\r\nvia: 1.1 serin\r\n\r\nok"
    );
    proxy.stop().await;
}

#[tokio::test]
async fn early_hints_reach_clients_that_know_them() {
    let answer =
        format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x\r\nx: 1\r\n\r\n{OK}");
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let got = closed_after(proxy.address, LAST_GET).await;
    assert!(
        got.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{got}"
    );
    let got = closed_after(proxy.address, "GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    proxy.stop().await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    for (status, then) in [
        ("413 Content Too Large", Then::Keep),
        ("413 Content Too Large", Then::Close),
        ("401 Unauthorized", Then::Keep),
    ] {
        let refusal = format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nbig");
        let upstream = RawUpstream::answering_after("x", refusal, then).await;
        let proxy = upstream.behind_proxy("limits = { body_bytes = \"64MiB\" }", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 33554432\r\n\r\n").await;
        let (mut reads, mut writes) = client.0.split();
        let sending = async {
            let piece = vec![b'x'; 1 << 16];
            for _ in 0..512 {
                if tokio::io::AsyncWriteExt::write_all(&mut writes, &piece).await.is_err() {
                    break;
                }
            }
        };
        let mut got = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut got);
        let _ = tokio::join!(sending, reading);
        let got = String::from_utf8_lossy(&got);
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status}\r\n")) && got.ends_with("\r\n\r\nbig"),
            "{then:?}: {got}"
        );
        assert!(got.contains("\r\nconnection: close\r\n"), "{got}");
        came_to(&proxy, "4xx", 1).await;
        proxy.stop().await;
    }
}

/// What still comes of a request that was answered is no other one.
#[tokio::test]
async fn behind_an_upload_that_was_answered_early_the_next_request_is_served() {
    let next = "GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for (status, expect, is_kept) in [
        ("200 OK", "", true),
        ("302 Found", "", true),
        ("401 Unauthorized", "", false),
        // Who may never send its body has to know that nothing can follow it.
        ("200 OK", "expect: 100-continue\r\n", false),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        let upstream = RawUpstream::answering(answer, Then::Close).await;
        let proxy = upstream.behind_proxy("", "").await;
        let mut client = RawClient::connect(proxy.address).await;
        let fields = format!("host: a\r\ncontent-length: 8\r\n{expect}");
        client.send(format!("POST / HTTP/1.1\r\n{fields}\r\n")).await;
        let got = client.until("\r\n\r\nok").await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{got}");
        assert_eq!(!got.contains("\r\nconnection: close\r\n"), is_kept, "{got}");
        if is_kept {
            client.send("GET ").await;
            client.send(format!("/ no{next}")).await;
            let (got, clean) = client.rest().await;
            assert!(clean && got.starts_with("HTTP/1.1 ") && got.ends_with("ok"), "{got}");
            assert!(upstream.seen().concat().contains("GET /next HTTP/1.1\r\n"));
        }
        proxy.stop().await;
    }
}

/// A client that is slow in sending makes an answer late that has begun, through no fault of the pool.
#[tokio::test]
async fn an_answer_is_not_late_while_its_request_still_comes() {
    let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
    let upstream = RawUpstream::answering_after("\r\n\r\nx", half, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "timeouts = { total = \"300ms\" }").await;
    let mut client = RawClient::connect(proxy.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nx").await;
    client.until("2\r\nok\r\n").await;
    for _ in 0..6 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.send("x").await;
    }
    eventually("all of it goes on", || async { upstream.only().ends_with("xxxxxxx") }).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    // Now the upstream is waited for, which says nothing more.
    client.send("x").await;
    let (got, _) = client.rest().await;
    assert!(!got.contains("0\r\n\r\n"), "it looks whole: {got}");
    came_to(&proxy, "timeout", 1).await;
    proxy.stop().await;
    // And where a body need not come, nobody waits for it.
    let upstream = RawUpstream::answering(half, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "timeouts = { total = \"300ms\" }").await;
    let expects = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\nexpect: 100-continue\r\n\r\n";
    let (got, clean) = {
        let mut client = RawClient::connect(proxy.address).await;
        client.send(expects).await;
        client.rest().await
    };
    assert!(!clean || !got.contains("0\r\n\r\n"), "it looks whole: {got}");
    came_to(&proxy, "timeout", 1).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_we_have_no_descriptor_left_is_no_fault_of_a_pool() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let (_dir, serin) = Serin::before(upstream.address, "");
    let mut client = RawClient::connect(serin.address).await;
    // It is accepted, and no upstream is asked.
    client.send("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 204 "));
    // What is open stays open; no other number is below this one.
    let limit = serin.limit_descriptors(Some(1));
    client.send(GET).await;
    let got = client.until("\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 503 ") && got.contains("\r\nretry-after: 1\r\n"), "{got}");
    serin.limit_descriptors(limit);
    client.send(LAST_GET).await;
    assert!(client.rest().await.0.ends_with("ok"));
    assert_eq!(serin.shop()["stable"]["errors"], 0);
}

#[tokio::test]
async fn trailers_reach_clients_that_ask_for_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  2;ext\r\nok\r\n0\r\nx-sum: 7\r\nset-cookie: a=b\r\n\r\n";
    let upstream = RawUpstream::answering(answer, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let with_te = "GET / HTTP/1.1\r\nhost: a\r\nTE: trailers\r\nconnection: te, close\r\n\r\n";
    let got = closed_after(proxy.address, with_te).await;
    assert!(got.ends_with("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n"), "{got}");
    assert!(upstream.only().contains("\r\nte: trailers\r\n"));
    let got = closed_after(proxy.address, LAST_GET).await;
    assert!(got.ends_with("\r\n\r\n2\r\nok\r\n0\r\n\r\n"), "{got}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_repeated_once_when_nothing_came_back() {
    let upstream = RawUpstream::answering("", Then::Close).await;
    for (request, attempts) in [
        (LAST_GET, 2),
        ("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\n\r\n\r\n", 1),
    ] {
        let proxy = upstream.behind_proxy("", "").await;
        let before = upstream.seen().len();
        let got = closed_after(proxy.address, request).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
        let asked = upstream.seen().len() - before;
        assert_eq!(asked, attempts, "{request:?}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_post() {
    let upstream = RawUpstream::answering_after("body", OK, Then::Close).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = RawClient::connect(proxy.address).await;
    for number in 1..=3 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
        let got = client.until("\r\n\r\nok").await;
        assert!(got.starts_with("HTTP/1.1 200 "), "{number}: {got}");
        // It is idle, and its end has arrived.
        eventually("it is closed", || async { upstream.left() == number }).await;
    }
    let seen = upstream.seen();
    assert!(
        seen.len() == 3 && seen.iter().all(|seen| seen.matches("POST").count() == 1),
        "{seen:?}"
    );
    proxy.stop().await;
}
