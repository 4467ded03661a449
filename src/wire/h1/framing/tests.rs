use super::super::parse::{self, HeadLimits};
use super::*;

const LIMITS: HeadLimits = HeadLimits { fields: 100, bytes: 32 << 10, target_bytes: 8 << 10 };

fn judge(head: &str) -> Result<(Accepted, Fields), Refusal> {
    let mut fields = Fields::default();
    let line = parse::request(head.as_bytes(), &LIMITS, &mut fields)?.expect("half a head");
    let accepted = request(&line, &fields, Framing::None, 1 << 20)?;
    Ok((accepted, fields))
}

/// Judges `line` with a Host and `fields`.
fn with(line: &str, fields: &str) -> Result<Accepted, u16> {
    judge(&format!("{line}\r\nhost: a\r\n{fields}\r\n"))
        .map(|judged| judged.0)
        .map_err(|refusal| refusal.status)
}

#[test]
fn unsound_requests_are_refused() {
    #[rustfmt::skip]
    let table: &[(&str, &str, u16)] = &[
        ("POST / HTTP/1.1", "content-length: 3\r\ntransfer-encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked\r\ncontent-length: 3\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 3\r\ncontent-length: 3\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 3\r\nContent-Length: 4\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 3, 3\r\n", 400),
        ("POST / HTTP/1.1", "content-length: +3\r\n", 400),
        ("POST / HTTP/1.1", "content-length: -1\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 0x3\r\n", 400),
        ("POST / HTTP/1.1", "content-length: \r\n", 400),
        ("POST / HTTP/1.1", "content-length: 3 4\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 18446744073709551616\r\n", 400),
        ("POST / HTTP/1.1", "content-length: 18446744073709551615\r\n", 413),
        ("POST / HTTP/1.0", "transfer-encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked, chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked, gzip\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked, identity\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding:\tchunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked \r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding:  chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked,\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: ,chunked\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: \"chunked\"\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunked;q=1\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: chunk\u{e9}d\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding:\r\n", 400),
        ("POST / HTTP/1.1", "transfer-encoding: gzip, chunked\r\n", 501),
        ("POST / HTTP/1.1", "transfer-encoding: identity\r\n", 501),
        ("POST / HTTP/1.1", "transfer-encoding: gzip\r\n", 501),
        ("POST / HTTP/1.1", "transfer-encoding: xchunked\r\n", 501),
        ("GET / HTTP/1.1", "host: a\r\n", 400),
        ("GET / HTTP/1.0", "host: b\r\n", 400),
        ("GET * HTTP/1.1", "", 400),
        ("GET x HTTP/1.1", "", 400),
        ("GET a:80 HTTP/1.1", "", 400),
        ("GET /#top HTTP/1.1", "", 400),
        ("GET /\u{e9} HTTP/1.1", "", 400),
        ("GET http://u@b/ HTTP/1.1", "", 400),
        ("GET http:///x HTTP/1.1", "", 400),
        ("GET ftp://b/ HTTP/1.1", "", 400),
        ("GET http://b,c/ HTTP/1.1", "", 400),
        ("CONNECT a:443 HTTP/1.1", "", 405),
        ("TRACE / HTTP/1.1", "", 405),
        ("POST / HTTP/1.1", "content-length: 1048577\r\n", 413),
        ("GET / HTTP/1.1", "expect: tea\r\n", 417),
        ("GET / HTTP/1.1", "expect: 100-continue, tea\r\n", 417),
    ];
    for (line, fields, status) in table {
        assert_eq!(with(line, fields).unwrap_err(), *status, "{line} with {fields:?}");
    }
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET http://b/ HTTP/1.1\r\n\r\n"] {
        assert_eq!(judge(head).unwrap_err(), Refusal::NO_HOST, "{head:?}");
    }
    for host in ["", "a/b", "user@a", "a,b", "a:b", "a b", "[::1"] {
        let judged = judge(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(judged.unwrap_err(), Refusal::BAD_HOST, "{host}");
    }
}

#[test]
fn bodies_are_framed_by_what_the_head_says() {
    for (fields, framing) in [
        ("", Framing::None),
        ("content-length: 0\r\n", Framing::None),
        ("content-length: 007\r\n", Framing::Length(7)),
        ("transfer-encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding:CHUNKED\r\n", Framing::Chunked),
    ] {
        assert_eq!(with("POST / HTTP/1.1", fields).unwrap().framing, framing, "{fields:?}");
    }
}

#[test]
fn connections_are_kept_as_the_version_and_the_client_say() {
    for (line, fields, keep) in [
        ("GET / HTTP/1.1", "", true),
        ("GET / HTTP/1.1", "connection: Close\r\n", false),
        ("GET / HTTP/1.1", "connection: x, close\r\n", false),
        ("GET / HTTP/1.0", "", false),
        ("GET / HTTP/1.0", "connection: Keep-Alive\r\n", true),
        ("GET / HTTP/1.0", "connection: keep-alive\r\nconnection: close\r\n", false),
    ] {
        assert_eq!(with(line, fields).unwrap().keep, keep, "{line} with {fields:?}");
    }
}

#[test]
fn only_protocols_that_carry_no_requests_are_upgraded_to() {
    for (line, fields, upgrade) in [
        ("GET / HTTP/1.1", "connection: Upgrade\r\nupgrade: websocket\r\n", true),
        ("GET / HTTP/1.1", "connection: keep-alive, upgrade\r\nupgrade: SPDY/3.1\r\n", true),
        ("GET / HTTP/1.1", "upgrade: websocket\r\n", false),
        ("GET / HTTP/1.1", "connection: upgrade\r\n", false),
        ("GET / HTTP/1.1", "connection: upgrade\r\nupgrade: h2c\r\n", false),
        ("GET / HTTP/1.1", "connection: upgrade\r\nupgrade: websocket, h2c\r\n", false),
        ("GET / HTTP/1.1", "connection: upgrade\r\nupgrade: TLS/1.0\r\n", false),
        ("GET / HTTP/1.0", "connection: upgrade\r\nupgrade: websocket\r\n", false),
        (
            "POST / HTTP/1.1",
            "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n",
            false,
        ),
    ] {
        assert_eq!(with(line, fields).unwrap().upgrade, upgrade, "{line} with {fields:?}");
    }
}

#[test]
fn what_is_asked_of_this_server_goes_no_further() {
    for (line, fields, ours) in [
        ("OPTIONS * HTTP/1.1", "", true),
        ("OPTIONS http://a HTTP/1.1", "", true),
        ("OPTIONS / HTTP/1.1", "max-forwards: 0\r\n", true),
        ("OPTIONS / HTTP/1.1", "max-forwards: 1\r\n", false),
        ("OPTIONS / HTTP/1.1", "max-forwards: many\r\n", false),
        ("GET / HTTP/1.1", "max-forwards: 0\r\n", false),
    ] {
        assert_eq!(with(line, fields).unwrap().is_for_us, ours, "{line} with {fields:?}");
    }
}

#[test]
fn the_targets_authority_wins_over_host() {
    let (accepted, fields) = judge("GET HTTP://b:80?q HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let Target::Absolute { path, authority } = accepted.target else { panic!("{accepted:?}") };
    assert_eq!((&fields.bytes[authority], &fields.bytes[path]), (&b"b:80"[..], &b"?q"[..]));
    let (accepted, _) = judge("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(accepted.target, Target::Origin { path: 4..5, host: None });
}

#[test]
fn interim_answers_and_trailers_are_for_clients_that_know_them() {
    let expect = "expect: 100-Continue\r\ncontent-length: 1\r\n";
    assert!(with("POST / HTTP/1.1", expect).unwrap().awaits_100);
    assert!(!with("POST / HTTP/1.0", expect).unwrap().awaits_100);
    assert!(!with("GET / HTTP/1.1", "expect: 100-continue\r\n").unwrap().awaits_100);
    assert!(with("GET / HTTP/1.1", "te: gzip, trailers\r\n").unwrap().trailers);
    assert!(!with("GET / HTTP/1.0", "te: trailers\r\n").unwrap().trailers);
    assert!(!with("GET / HTTP/1.1", "te: trailersx\r\n").unwrap().trailers);
}

fn answer(head: &str, to_head: bool) -> Option<Answered> {
    let mut fields = Fields::default();
    let line = parse::response(head.as_bytes(), 1 << 18, 256, &mut fields).unwrap().unwrap();
    response(&line, &fields, to_head)
}

#[test]
fn answers_are_framed_by_what_their_head_says() {
    let kept = |framing| Some(Answered { framing, keep: true });
    let closed = |framing| Some(Answered { framing, keep: false });
    #[rustfmt::skip]
    let table = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", kept(Framing::Length(5))),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", kept(Framing::None)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", kept(Framing::Chunked)),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n", closed(Framing::Length(5))),
        ("HTTP/1.1 200 OK\r\n", closed(Framing::UntilClose)),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n", closed(Framing::Length(5))),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n", kept(Framing::Length(5))),
        ("HTTP/1.1 204 No Content\r\n", kept(Framing::None)),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n", kept(Framing::None)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", None),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n", None),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n", None),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n", None),
    ];
    for (head, want) in table {
        assert_eq!(answer(&format!("{head}\r\n"), false), want, "{head:?}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(answer(head, true), kept(Framing::None), "an answer to HEAD");
}

#[test]
fn an_answer_is_sent_as_its_client_understands_it() {
    let new = Asked { is_head: false, is_1_1: true, keep: true, trailers: false };
    let old = Asked { is_1_1: false, ..new };
    let (chunked, close) = (Framing::Chunked, Framing::UntilClose);
    for (asked, status, framing, want, keep) in [
        (new, 200, Framing::Length(5), Framing::Length(5), true),
        (new, 200, Framing::None, Framing::None, true),
        (new, 200, chunked, chunked, true),
        (new, 200, close, chunked, true),
        (old, 200, Framing::Length(5), Framing::Length(5), true),
        (old, 200, chunked, close, false),
        (old, 200, close, close, false),
        (new, 204, Framing::Length(5), Framing::None, true),
        (Asked { is_head: true, ..new }, 200, chunked, Framing::None, true),
        (Asked { keep: false, ..new }, 200, chunked, chunked, false),
    ] {
        assert_eq!(sent(asked, status, framing), Sent { framing: want, keep }, "{framing:?}");
    }
}
