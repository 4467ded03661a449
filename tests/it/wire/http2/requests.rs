//! Requests: what is refused, and what goes upstream of those that are not.

use bytes::Bytes;

use super::{collect, connect, request};
use crate::support::frames::{DATA, END_STREAM, Fate, FrameClient, GET, frame, head};
use crate::support::{RawUpstream, Then, came_to, eventually};
use crate::wire::OK;

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// A request with `fields` besides the usual ones, or instead of them.
fn get<'a>(fields: &[(&'a str, &'a str)]) -> Fields<'a> {
    let usual = GET.into_iter().filter(|(name, _)| fields.iter().all(|(other, _)| other != name));
    // Those that stand for a line come first (RFC 9113 §8.3).
    let (lines, others): (Fields<'_>, Fields<'_>) =
        usual.chain(fields.iter().copied()).partition(|(name, _)| name.starts_with(':'));
    lines.into_iter().chain(others).filter(|(_, value)| *value != "-").collect()
}

#[tokio::test]
async fn nothing_of_a_bad_request_is_ever_forwarded() {
    const MALFORMED: Fate = Fate::Reset(1);
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { body_bytes = \"1KiB\" }", "").await;
    let long = format!("/{}", "x".repeat(9 << 10));
    let big = "y".repeat(40 << 10);
    let many: Fields<'_> = GET.into_iter().chain([("x", "y"); 101]).collect();
    let crumbs: Fields<'_> = GET.into_iter().chain([("cookie", "a=b"); 101]).collect();
    let twice: Fields<'_> = GET.into_iter().chain([(":path", "/b")]).collect();
    let again = |name| -> Fields<'_> {
        let more = GET.into_iter().filter(|(other, _)| *other == name);
        GET.into_iter().chain(more).collect()
    };
    let late: Fields<'_> = [("x", "y")].into_iter().chain(GET).collect();
    #[rustfmt::skip]
    let table: Vec<(Fields<'_>, Fate)> = vec![
        (get(&[("X-Upper", "y")]), MALFORMED),
        (get(&[("connection", "close")]), MALFORMED),
        (get(&[("keep-alive", "5")]), MALFORMED),
        (get(&[("proxy-connection", "x")]), MALFORMED),
        (get(&[("upgrade", "h2c")]), MALFORMED),
        (get(&[("transfer-encoding", "chunked")]), MALFORMED),
        (get(&[("te", "gzip")]), MALFORMED),
        (twice, MALFORMED),
        (late, MALFORMED),
        (get(&[(":method", "-")]), MALFORMED),
        (get(&[(":scheme", "-")]), MALFORMED),
        (get(&[(":path", "-")]), MALFORMED),
        (again(":method"), MALFORMED),
        (again(":scheme"), MALFORMED),
        (again(":authority"), MALFORMED),
        ([&[(":method", "CONNECT"), (":protocol", "websocket"), (":protocol", "websocket")], &GET[1..]].concat(), MALFORMED),
        (get(&[("host", "a"), ("host", "b")]), Fate::Status(400)),
        (get(&[(":authority", "-"), ("host", "a"), ("host", "a")]), Fate::Status(400)),
        (get(&[(":authority", "-"), ("host", "a,b")]), Fate::Status(400)),
        (get(&[(":authority", "-"), ("host", "")]), Fate::Status(400)),
        (get(&[(":authority", "")]), Fate::Status(400)),
        (get(&[(":path", "")]), MALFORMED),
        (get(&[(":status", "200")]), MALFORMED),
        (get(&[(":other", "x")]), MALFORMED),
        (get(&[(":protocol", "websocket")]), MALFORMED),
        (get(&[(":method", "CONNECT"), (":protocol", "websocket"), ("content-length", "0")]), MALFORMED),
        (get(&[("content-length", "3")]), MALFORMED),
        (get(&[("x", "a\nb")]), MALFORMED),
        (get(&[("x", "a\rb")]), MALFORMED),
        (get(&[("x", "a\0b")]), MALFORMED),
        (get(&[("x y", "a")]), MALFORMED),
        (get(&[("x", " a")]), Fate::Status(400)),
        (get(&[("x", "a ")]), Fate::Status(400)),
        (get(&[("host", "b")]), Fate::Status(400)),
        (get(&[(":authority", "-")]), Fate::Status(400)),
        (get(&[(":authority", "-"), ("host", "a/b")]), Fate::Status(400)),
        (get(&[(":authority", "u@a")]), Fate::Status(400)),
        (get(&[(":authority", "a:99999")]), Fate::Status(400)),
        (get(&[(":path", "*")]), Fate::Status(400)),
        (get(&[(":path", "/a#b")]), Fate::Status(400)),
        (get(&[(":path", "/\u{e9}")]), Fate::Status(400)),
        (get(&[(":path", "a")]), MALFORMED),
        (get(&[(":path", "/a b")]), MALFORMED),
        (vec![(":method", "CONNECT"), (":authority", "a:80")], Fate::Status(405)),
        (get(&[(":method", "TRACE")]), Fate::Status(405)),
        (get(&[("expect", "tea")]), Fate::Status(417)),
        (get(&[(":path", &long)]), Fate::Status(414)),
        (get(&[("x", &big)]), Fate::Status(431)),
        (many, Fate::Status(431)),
        (crumbs, Fate::Status(431)),
    ];
    for (fields, want) in table {
        let what: String = format!("{fields:?}").chars().take(160).collect();
        let mut client = FrameClient::connect(proxy.address).await;
        client.send(head(1, &fields, true)).await;
        let fate = client.fate(1).await;
        // A broken rule may end the connection as well.
        let is_same = fate == want || want == MALFORMED && fate == Fate::Goaway(1);
        assert!(is_same, "{what} came to {fate:?} and not to {want:?}");
    }
    assert_eq!(upstream.seen(), [""; 0], "something was forwarded");
    for (fields, body, want) in [
        (vec![("content-length", "3")], "ab", MALFORMED),
        (vec![("content-length", "3")], "abcd", MALFORMED),
        (vec![("content-length", "+2")], "ab", MALFORMED),
        (vec![("content-length", "2"), ("content-length", "2")], "ab", Fate::Status(400)),
        (vec![("content-length", "1025")], "", Fate::Status(413)),
    ] {
        let mut client = FrameClient::connect(proxy.address).await;
        let fields: Fields<'_> = get(&[(":method", "POST")]).into_iter().chain(fields).collect();
        client.send(head(1, &fields, false)).await;
        if !body.is_empty() {
            client.send(frame(DATA, END_STREAM, 1, body.as_bytes())).await;
        }
        assert_eq!(client.fate(1).await, want, "{fields:?} {body:?}");
    }
    for trailer in [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("te", "gzip"),
        (":path", "/b"),
        ("X-Upper", "y"),
        ("x", "a\nb"),
    ] {
        let mut client = FrameClient::connect(proxy.address).await;
        let post = head(1, &get(&[(":method", "POST")]), false);
        client.send([post, frame(DATA, 0, 1, b"ab"), head(1, &[trailer], true)].concat()).await;
        assert_eq!(client.fate(1).await, MALFORMED, "{trailer:?}");
    }
    // What is found out when half of it is on its way is forwarded to nobody as a whole.
    let whole = |seen: &String| seen.contains("\r\n\r\nab") || seen.contains("\r\n0\r\n");
    assert!(!upstream.seen().iter().any(whole), "{:?}", upstream.seen());
    proxy.stop().await;
}

#[tokio::test]
async fn a_good_request_goes_on_as_http_1_says_it() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "A.example:80"),
        (":path", "/a%20b?c=d&e"),
        ("range", "bytes=0-1"),
        ("cookie", "a=b"),
        ("accept-encoding", "br"),
        ("cookie", "c=d"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("host", "a.example:80"),
        ("x-forwarded-for", "6.6.6.6"),
        ("proxy-authorization", "x"),
        ("x-empty", ""),
        ("via", "1.0 fred"),
    ];
    client.send(head(1, &fields, true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    assert_eq!(
        upstream.only(),
        "GET /a%20b?c=d&e HTTP/1.1\r\nhost: A.example:80\r\nrange: bytes=0-1\r\n\
         accept-encoding: br\r\nx-twice: 1\r\nx-twice: 2\r\nx-empty: \r\ncookie: a=b; c=d\r\n\
         x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\
         x-forwarded-host: A.example:80\r\nvia: 1.0 fred, 2 serin\r\n\r\n"
    );
    // Whoever names only a host is served as well.
    client.send(head(3, &get(&[(":authority", "-"), ("host", "b")]), true)).await;
    assert_eq!(client.fate(3).await, Fate::Status(200));
    assert!(upstream.only().contains("GET / HTTP/1.1\r\nhost: b\r\n"), "{}", upstream.only());
    client.send(head(5, &get(&[(":method", "OPTIONS"), (":path", "*")]), true)).await;
    assert_eq!(client.fate(5).await, Fate::Status(204));
    client.send(head(7, &get(&[(":path", "/other"), ("x", "y")]), true)).await;
    assert_eq!(client.fate(7).await, Fate::Status(200));
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_answered_here_goes_no_further() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "paths = [\"/shop\"]").await;
    let options =
        |forwards| get(&[(":method", "OPTIONS"), (":path", "/shop"), ("max-forwards", forwards)]);
    for (fields, want) in [(get(&[]), 404), (options("0"), 204)] {
        let mut client = FrameClient::connect(proxy.address).await;
        client.send(head(1, &fields, true)).await;
        assert_eq!(client.fate(1).await, Fate::Status(want));
    }
    assert_eq!(upstream.seen(), [""; 0]);
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &options("3"), true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    assert!(upstream.only().contains("\r\nmax-forwards: 2\r\n"), "{}", upstream.only());
    proxy.stop().await;
}

#[tokio::test]
async fn bodies_and_trailers_go_on() {
    let upstream = RawUpstream::answering_after("end", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let post = request("POST", "/").header("content-length", "8").body(()).unwrap();
    let (answer, mut body) = client.send_request(post, false).unwrap();
    body.send_data(Bytes::from_static(b"a "), false).unwrap();
    body.send_data(Bytes::from_static(b"re end"), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["content-length"], "2");
    assert_eq!(collect(answer.into_body()).await.0, "ok");
    let seen = upstream.only();
    assert!(seen.contains("content-length: 8\r\n") && seen.ends_with("\r\n\r\na re end"), "{seen}");
    proxy.stop().await;

    let upstream = RawUpstream::answering_after("\r\n\r\n", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let (mut client, _connection) = connect(proxy.address).await;
    let post = request("POST", "/").header("te", "trailers").body(()).unwrap();
    let (answer, mut body) = client.send_request(post, false).unwrap();
    body.send_data(Bytes::from_static(b"piece"), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    for name in ["authorization", "content-length", "host", "set-cookie"] {
        trailers.insert(name, "9".parse().unwrap());
    }
    body.send_trailers(trailers).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let ends = || async { upstream.only().ends_with("5\r\npiece\r\n0\r\nx-sum: 7\r\n\r\n") };
    eventually("the trailer goes on, and no other", ends).await;
    assert!(upstream.only().contains("transfer-encoding: chunked\r\n"));
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_and_the_connection_lives_on() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("limits = { body_bytes = \"1KiB\" }", "").await;
    let (client, _connection) = connect(proxy.address).await;
    let post = request("POST", "/").body(()).unwrap();
    let mut client = client.ready().await.unwrap();
    let (answer, mut body) = client.send_request(post, false).unwrap();
    body.send_data(Bytes::from(vec![b'x'; 1025]), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 413);
    let mut client = client.ready().await.unwrap();
    let (answer, _) = client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    proxy.stop().await;
}

#[tokio::test]
async fn whoever_takes_a_request_back_is_not_charged_to_the_pool() {
    let upstream = RawUpstream::answering_after("never", OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let (mut client, connection) = connect(proxy.address).await;
    let (answer, mut body) =
        client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    eventually("it is asked", || async { upstream.seen().len() == 1 }).await;
    body.send_reset(h2::Reason::CANCEL);
    assert!(answer.await.is_err());
    eventually("the upstream's connection is closed", || async { upstream.closed() == 1 }).await;
    // The end of the connection takes back all that is under way on it.
    let (_answer, _body) =
        client.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    eventually("it is asked again", || async { upstream.seen().len() == 2 }).await;
    connection.abort();
    eventually("that one too", || async { upstream.closed() == 2 }).await;
    came_to(&proxy, "abandoned", 2).await;
    assert_eq!(proxy.shop().await.stable.errors, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_port_may_speak_both_and_each_client_gets_its_own() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    for _ in 0..2 {
        let got = crate::support::closed_after(
            proxy.address,
            "PRI-CE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        );
        assert!(got.await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut client = FrameClient::connect(proxy.address).await;
        client.send(head(1, &GET, true)).await;
        assert_eq!(client.fate(1).await, Fate::Status(200));
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_port_speaks_what_it_is_told_to() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let old = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let proxy = upstream.behind_proxy("protocols = [\"h2\"]", "").await;
    let got = crate::support::closed_after(proxy.address, old).await;
    assert!(got.starts_with("HTTP/1.1 505 "), "{got}");
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(1, &GET, true)).await;
    assert_eq!(client.fate(1).await, Fate::Status(200));
    proxy.stop().await;

    let proxy = upstream.behind_proxy("protocols = [\"http/1.1\"]", "").await;
    let got = crate::support::closed_after(proxy.address, crate::support::frames::PREFACE).await;
    assert!(got.starts_with("HTTP/1.1 505 "), "{got}");
    let got = crate::support::closed_after(proxy.address, old).await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    proxy.stop().await;
}

/// A number that was passed over is as good as one that was used (RFC 9113 §5.1.1).
#[tokio::test]
async fn a_request_with_a_lower_number_than_the_one_before_ends_the_connection() {
    let upstream = RawUpstream::answering(OK, Then::Keep).await;
    let proxy = upstream.behind_proxy("", "").await;
    let mut client = FrameClient::connect(proxy.address).await;
    client.send(head(5, &GET, true)).await;
    assert_eq!(client.fate(5).await, Fate::Status(200));
    // What is no request may have been sent before the client knew that its stream is closed.
    client.send(head(5, &[("x-sum", "7 ")], true)).await;
    client.send(head(7, &GET, true)).await;
    assert_eq!(client.fate(7).await, Fate::Status(200));
    client.send(head(3, &GET, true)).await;
    assert_eq!(client.fate(3).await, Fate::Goaway(1));
    assert_eq!(upstream.only().matches("HTTP/1.1").count(), 2);
    proxy.stop().await;
}
