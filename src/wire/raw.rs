//! The codec without sockets, for benches and fuzz targets. They are crates of their own and see no
//! more of `wire` than anybody; here is the rest of what they need. Nothing else is to use it.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncWrite, DuplexStream};

pub use super::h1::framing::Framing;
use super::h1::framing::{Asked, Sent};
use super::h1::reader::Reader;
use super::h1::side::Io;
use super::h1::slab::Slab;
use super::h1::upload::Upload;
use super::h1::{chunked, parse};
use super::server::Rules;
use super::{Body, Error, Head, ResponseHead, head, response};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// What it is answered with.
    pub status: u16,
    /// What the client is told.
    pub reason: &'static str,
}

/// A request's head that was accepted.
#[derive(Debug)]
pub struct Request {
    /// Method, target and fields.
    pub head: Head,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the client means to keep the connection.
    pub keep: bool,
    /// Whether it is answered here, and goes no further.
    pub is_for_us: bool,
    /// How many bytes it took.
    pub used: usize,
}

/// How many bytes before a request are empty lines, which are ignored.
pub fn blank(bytes: &[u8]) -> usize {
    parse::blank(bytes)
}

/// Takes a request's head off `bytes`; `None` where more of it must come.
pub fn request(bytes: &[u8], rules: &Rules) -> Result<Option<Request>, Refused> {
    match Head::take(bytes, &rules.head_limits(), rules.body_bytes) {
        Ok(taken) => Ok(taken.map(|head::Taken { head, used, framing, asked, is_for_us }| {
            Request { head, framing, keep: asked.keep, is_for_us, used }
        })),
        Err(refusal) => Err(Refused { status: refusal.status, reason: refusal.reason }),
    }
}

/// The head as an upstream at `host` gets it.
pub fn write_request(head: &Head, host: &str) -> Written {
    let mut slab = Slab::new();
    head.write(host, &mut slab);
    Written(slab)
}

/// An answer's head that was accepted.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: ResponseHead,
    /// How its body is framed.
    pub framing: Framing,
    /// How many bytes it took.
    pub used: usize,
}

/// Takes an answer's head off `bytes`; `None` where more of it must come.
pub fn answer(bytes: &[u8], to_head: bool) -> Result<Option<Answer>, Error> {
    let taken = ResponseHead::take(bytes, to_head).map_err(|_| Error::Protocol)?;
    Ok(taken.map(|response::Taken { head, used, answered }| Answer {
        head,
        framing: answered.framing,
        used,
    }))
}

/// A client's request, as far as it decides how its answer is sent.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Whether it asked for the head alone.
    pub is_head: bool,
    /// Whether it speaks HTTP/1.1, or 1.0.
    pub is_1_1: bool,
    /// Whether it means to keep the connection.
    pub keep: bool,
}

/// The head as `client` gets it, how the body goes on, and whether the connection is kept.
pub fn write_answer(answer: &Answer, client: Client) -> (Written, Framing, bool) {
    let Client { is_head, is_1_1, keep } = client;
    let asked = Asked { is_head, is_1_1, keep, trailers: true };
    let mut slab = Slab::new();
    let Sent { framing, keep } = answer.head.write(asked, answer.framing, &mut slab);
    (Written(slab), framing, keep)
}

/// An interim answer as a client gets it.
pub fn write_interim(answer: &Answer) -> Written {
    let mut slab = Slab::new();
    answer.head.write_interim(&mut slab);
    Written(slab)
}

/// Bytes in a buffer of the worker's stock.
#[derive(Debug)]
pub struct Written(Slab);

impl Deref for Written {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.data()
    }
}

/// Takes a body off bytes that come in any pieces.
#[derive(Debug)]
pub struct Decoder(Reader);

impl Decoder {
    /// Decodes a body that is `framing`.
    pub const fn new(framing: Framing) -> Self {
        Self(Reader::new(framing))
    }

    /// Appends what of `piece` is the body's own to `body`, and tells how many bytes of `piece`
    /// follow the body's end.
    pub fn take(&mut self, piece: &[u8], body: &mut Vec<u8>) -> Result<usize, Error> {
        let mut slab = Slab::of(piece);
        let rest = self.0.take(&mut slab).map_err(|_| Error::ClientBody)?;
        body.extend_from_slice(slab.data());
        Ok(rest.map_or(0, |rest| rest.len()))
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// The trailers of a body that has ended, as whole lines.
    pub fn trailers(&self) -> &[u8] {
        self.0.trailers()
    }
}

/// A chunk with the bytes of `piece`; of none, nothing.
pub fn chunk(piece: &[u8]) -> Written {
    let mut slab = Slab::of(piece);
    chunked::encode(&mut slab);
    Written(slab)
}

/// The end of a chunked body.
pub fn last_chunk(trailers: &[u8]) -> Written {
    let mut slab = Slab::new();
    chunked::end(&mut slab, |slab| slab.push(trailers));
    Written(slab)
}

/// Sends a request as it is sent to an upstream at `host`, until the last byte of it has left. Must
/// be awaited by the task that serves the client.
///
/// # Errors
/// Those of the client's body.
pub async fn forward<I>(
    head: &Head,
    body: Body,
    host: &str,
    mut io: Pin<&mut I>,
) -> Result<(), Error>
where
    I: AsyncWrite,
{
    let mut upload = Upload::default();
    let Written(slab) = write_request(head, host);
    upload.begin(slab, body, head.framing() == Framing::Chunked);
    poll_fn(|cx| match upload.poll(io.as_mut(), cx) {
        Err(error) => Poll::Ready(Err(error)),
        Ok(_) if upload.is_over() => Poll::Ready(Ok(())),
        Ok(_) => Poll::Pending,
    })
    .await
}

/// A connection in memory.
impl Io for DuplexStream {
    fn reset_at_close(&self) {}

    fn is_broken(&self) -> bool {
        false
    }
}
