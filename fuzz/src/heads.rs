//! Heads: what is accepted is one message, and the same one to the next reader.

use std::collections::BTreeMap;

use serin::wire::raw::{self, Answer, Client, Decoder, Framing};

use super::peer::{self, Content, Seen};
use super::{RULES, UPSTREAM, block_on, lines};

/// A request's head, and what follows it as its body.
pub fn request_head(bytes: &[u8]) {
    let bytes = &bytes[raw::blank(bytes)..];
    let request = match raw::request(bytes, &RULES) {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(refused) => {
            let known = [400, 405, 413, 414, 417, 431, 501, 505];
            assert!(known.contains(&refused.status), "{refused:?}");
            return;
        }
    };
    let early = raw::request(&bytes[..request.used - 1], &RULES);
    assert!(matches!(early, Ok(None)), "a head that ends before its end: {early:?}");
    let head = &request.head;
    if request.is_for_us {
        assert_eq!(head.method(), "OPTIONS");
        return;
    }
    let body = read(request.framing, &bytes[request.used..]);
    let mut sent = raw::write_request(head, UPSTREAM).to_vec();
    lines::check_request(&sent);
    write(request.framing, &body, &mut sent);
    let seen = block_on(peer::requests(&sent));
    let target = target(head);
    if !peer::takes_target(&target) {
        assert_eq!(seen, [], "hyper takes a target that it takes for none");
        return;
    }
    let mut want = Seen {
        method: head.method().to_owned(),
        target,
        host: if head.authority().is_empty() { UPSTREAM } else { head.authority() }.to_owned(),
        length: peer::length(request.framing),
        body: body.content,
        fields: fields(head, request.framing),
    };
    let [seen] = &seen[..] else { panic!("hyper sees {} requests: {seen:#?}", seen.len()) };
    if !want.body.is_whole {
        // How much of a body that broke off is handed on before the break is noticed is no matter.
        want.body.bytes.clone_from(&seen.body.bytes);
        want.body.trailers.clear();
    }
    assert_eq!(*seen, want, "sent {:?}", String::from_utf8_lossy(&sent));
}

/// Path and query of a request.
pub fn target(head: &serin::wire::Head) -> String {
    match head.query() {
        Some(query) => format!("{}?{query}", head.path()),
        None => head.path().to_owned(),
    }
}

/// The fields that an upstream should see.
fn fields(head: &serin::wire::Head, framing: Framing) -> (BTreeMap<String, Vec<u8>>, usize) {
    let mut count = 0;
    let mut fields = BTreeMap::new();
    for name in head.field_names() {
        count += 1;
        fields.insert(name.to_ascii_lowercase(), head.field(name).unwrap_or_default().to_vec());
    }
    let ours = [
        ("host", UPSTREAM, head.authority().is_empty()),
        ("transfer-encoding", "chunked", framing == Framing::Chunked),
    ];
    for (name, value, _) in ours.into_iter().filter(|ours| ours.2) {
        count += 1;
        let before = fields.insert(name.to_owned(), value.as_bytes().to_vec());
        assert_eq!(before, None, "{name} goes on as it came");
    }
    (fields, count)
}

/// An answer's head, and what follows it as its body, for every kind of client.
pub fn response_head(bytes: &[u8]) {
    for is_head in [false, true] {
        let Ok(Some(answer)) = raw::answer(bytes, is_head) else { continue };
        let early = raw::answer(&bytes[..answer.used - 1], is_head);
        assert!(matches!(early, Ok(None)), "a head that ends before its end: {early:?}");
        let rest = &bytes[answer.used..];
        match answer.head.status() {
            101 => switches(&answer),
            100..200 => interim(&answer),
            _ => {
                for (is_1_1, keep) in [(true, true), (true, false), (false, true), (false, false)] {
                    sent_on(&answer, rest, Client { is_head, is_1_1, keep });
                }
            }
        }
    }
}

const NEW: Client = Client { is_head: false, is_1_1: true, keep: true };

/// It has no body, and only its status and what it switches to go on.
fn switches(answer: &Answer) {
    let (written, framing, _) = raw::write_answer(answer, NEW);
    lines::check_answer(&written, false);
    assert_eq!(framing, Framing::None, "an answer that switches has no body of its own");
    let seen = block_on(peer::answer(&written, NEW, false)).expect("hyper reads it");
    assert_eq!(seen.status, 101);
}

/// It is not the answer, and the answer follows right behind it.
fn interim(answer: &Answer) {
    let mut sent = raw::write_interim(answer).to_vec();
    lines::check_answer(&sent, false);
    sent.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
    let seen = block_on(peer::answer(&sent, NEW, true)).expect("hyper reads it");
    assert_eq!((seen.status, seen.next), (204, Some(299)), "{:?}", String::from_utf8_lossy(&sent));
}

fn sent_on(answer: &Answer, rest: &[u8], client: Client) {
    let mut body = read(answer.framing, rest);
    let (head, framing, keep) = raw::write_answer(answer, client);
    lines::check_answer(&head, !matches!(answer.head.status(), 204 | 304));
    let mut sent = head.to_vec();
    write(framing, &body, &mut sent);
    let what = String::from_utf8_lossy(&sent).into_owned();
    if framing == Framing::UntilClose {
        assert!(!keep, "an answer that ends with its connection, and another after it: {what:?}");
        // A client cannot tell: `reset_at_close` is what tells it.
        body.content.is_whole = true;
    }
    if framing == Framing::None {
        body.content = Content { is_whole: true, ..Content::default() };
    }
    if framing != Framing::Chunked {
        body.content.trailers.clear();
    }
    // hyper's 1.0 client has ways of its own to keep a connection.
    let again = keep && client.is_1_1 && body.content.is_whole;
    let seen = block_on(peer::answer(&sent, client, again));
    if matches!(framing, Framing::Length(length) if length > peer::LENGTH_MAX) {
        assert_eq!(seen, None, "hyper takes a length that it takes for none");
        return;
    }
    let seen = seen.unwrap_or_else(|| panic!("hyper takes this for no answer: {what:?}"));
    assert_eq!(seen.status, answer.head.status(), "{what:?}");
    assert_eq!(seen.body, body.content, "{what:?}");
    if !client.is_head {
        assert_eq!(seen.length, peer::length(framing), "{what:?}");
    }
    assert_eq!(seen.next, again.then_some(299), "what follows is another answer: {what:?}");
}

/// A body as our reader takes it.
#[derive(Debug)]
pub struct Body {
    pub content: Content,
    lines: Vec<u8>,
    /// How many bytes follow its end.
    pub rest: usize,
}

/// Reads a body at the beginning of `bytes`, after which the connection ends.
pub fn read(framing: Framing, bytes: &[u8]) -> Body {
    let mut decoder = Decoder::new(framing);
    let mut body = Vec::new();
    let took = decoder.take(bytes, &mut body);
    let is_whole = took.is_ok() && (decoder.is_done() || framing == Framing::UntilClose);
    if framing == Framing::None {
        body.clear();
    }
    let lines = if took.is_ok() { decoder.trailers().to_vec() } else { Vec::new() };
    let trailers = peer::trailers(&lines);
    Body {
        content: Content { bytes: body[..].into(), trailers, is_whole },
        lines,
        rest: took.unwrap_or(0),
    }
}

/// Writes a body, or what there is of it, as it is sent on.
fn write(framing: Framing, body: &Body, out: &mut Vec<u8>) {
    let Content { bytes, is_whole, .. } = &body.content;
    match framing {
        Framing::None => {}
        Framing::Length(_) | Framing::UntilClose => out.extend_from_slice(bytes),
        Framing::Chunked => {
            out.extend_from_slice(&raw::chunk(bytes));
            if *is_whole {
                out.extend_from_slice(&raw::last_chunk(&body.lines));
            }
        }
    }
}
