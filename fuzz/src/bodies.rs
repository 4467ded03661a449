//! Chunked bodies: what they say does not depend on how they arrive, nor on who reads them.

use serin::wire::raw::{self, Decoder, Framing};

use super::block_on;
use super::peer::{self, Content, Seen};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: b\r\n\r\n";

/// What became of some bytes.
#[derive(Debug, Eq, PartialEq)]
enum Read {
    Malformed,
    /// The body has not ended; so much of it has come.
    Partial(Vec<u8>),
    Whole {
        body: Vec<u8>,
        trailers: Vec<u8>,
        used: usize,
    },
}

/// A chunked body, and whatever follows it.
pub fn chunked(bytes: &[u8]) {
    let read = decode(std::iter::once(bytes));
    for size in [1, 2, 3, 7] {
        assert_eq!(decode(bytes.chunks(size)), read, "in pieces of {size}");
    }
    assert_eq!(decode(uneven(bytes)), read, "in uneven pieces");
    match read {
        // We are the stricter ones: hyper lets pass some whitespace, which nobody has to send.
        Read::Malformed => {}
        Read::Partial(_) => {
            let seen = block_on(peer::requests(&[HEAD, bytes].concat()));
            assert!(seen.iter().all(|seen| !seen.body.is_whole), "hyper sees an end: {seen:#?}");
        }
        Read::Whole { body, trailers, used } => {
            let again = [&raw::chunk(&body)[..], &raw::last_chunk(&trailers)].concat();
            let came = peer_reads(&bytes[..used]);
            let want = Content {
                bytes: body[..].into(),
                trailers: peer::trailers(&trailers),
                is_whole: true,
            };
            // Trailers that must not go on have been taken off.
            assert_eq!((&came.bytes, came.is_whole), (&want.bytes, true));
            for trailer in &want.trailers {
                assert!(came.trailers.contains(trailer), "{trailer:?} was not sent");
            }
            assert_eq!(peer_reads(&again), want, "as it goes on");
        }
    }
}

/// What hyper takes for the body of one request, after which another begins.
fn peer_reads(body: &[u8]) -> Content {
    let mut seen = block_on(peer::requests(&[HEAD, body, NEXT].concat()));
    let what = String::from_utf8_lossy(body);
    let next = seen.pop().expect("hyper reads two requests");
    assert_eq!((seen.len(), &next.target[..]), (1, "/next"), "{what:?} does not end where it ends");
    let Some(Seen { body, .. }) = seen.pop() else { unreachable!("there is one") };
    body
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let (mut decoder, mut body, mut used) = (Decoder::new(Framing::Chunked), Vec::new(), 0);
    for piece in pieces {
        match decoder.take(piece, &mut body) {
            Err(_) => return Read::Malformed,
            Ok(rest) => used += piece.len() - rest,
        }
        if decoder.is_done() {
            let trailers = decoder.trailers().to_vec();
            return Read::Whole { body, trailers, used };
        }
    }
    Read::Partial(body)
}

/// Pieces whose sizes follow from the bytes themselves.
fn uneven(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (piece, others) = rest.split_at(rest.len().min(1 + usize::from(first % 19)));
        rest = others;
        Some(piece)
    })
}
