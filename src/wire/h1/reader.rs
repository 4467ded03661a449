//! A body on its way in: which bytes belong to it, and when it has ended. Pure.

use super::chunked::Decoder;
use super::framing::Framing;
use super::parse::Malformed;
use super::slab::Slab;
use super::trailers;

/// Takes a body off the bytes of a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Done,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    /// It broke a rule: where it ends cannot be told any more, so it never does.
    Broken,
}

impl Reader {
    pub(crate) const DONE: Self = Self { kind: Kind::Done };

    pub(crate) const fn new(framing: Framing) -> Self {
        let kind = match framing {
            Framing::None | Framing::Length(0) => Kind::Done,
            Framing::Length(left) => Kind::Length(left),
            Framing::Chunked => Kind::Chunked(Decoder::new()),
            Framing::UntilClose => Kind::UntilClose,
        };
        Self { kind }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Done => true,
            Kind::Chunked(decoder) => decoder.is_done(),
            Kind::Length(_) | Kind::UntilClose | Kind::Broken => false,
        }
    }

    /// How the rest of the body is framed.
    pub(crate) fn framing(&self) -> Framing {
        match &self.kind {
            Kind::Done => Framing::None,
            Kind::Length(left) => Framing::Length(*left),
            Kind::Chunked(_) | Kind::Broken => Framing::Chunked,
            Kind::UntilClose => Framing::UntilClose,
        }
    }

    /// Leaves in `slab` what is the body's own, and returns what follows its end.
    pub(crate) fn take(&mut self, slab: &mut Slab) -> Result<Option<Slab>, Malformed> {
        match &mut self.kind {
            Kind::Done => Ok(slab.split_off(0)),
            Kind::UntilClose => Ok(None),
            Kind::Length(left) => {
                let whole = usize::try_from(*left).ok().filter(|left| *left <= slab.len());
                let Some(rest_of_body) = whole else {
                    *left -= slab.len() as u64;
                    return Ok(None);
                };
                self.kind = Kind::Done;
                Ok(slab.split_off(rest_of_body))
            }
            Kind::Chunked(decoder) => {
                let rest = take_chunks(decoder, slab);
                if rest.is_err() {
                    self.kind = Kind::Broken;
                }
                rest
            }
            Kind::Broken => Err(Malformed),
        }
    }

    /// So many bytes of a body of known length have been taken elsewhere.
    pub(crate) fn skip(&mut self, count: usize) {
        if let Kind::Length(left) = &mut self.kind {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                self.kind = Kind::Done;
            }
        }
    }

    /// The connection has ended. Only a body that ends with it is whole.
    pub(crate) fn close(&mut self) -> Result<(), Malformed> {
        match self.kind {
            Kind::UntilClose => {
                self.kind = Kind::Done;
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// The trailers of a body that has ended, as whole lines.
    pub(crate) fn trailers(&self) -> &[u8] {
        match &self.kind {
            Kind::Chunked(decoder) if decoder.is_done() => &decoder.trailers,
            _ => &[],
        }
    }
}

fn take_chunks(decoder: &mut Decoder, slab: &mut Slab) -> Result<Option<Slab>, Malformed> {
    let decoded = decoder.decode(slab.data_mut())?;
    let rest = slab.split_off(decoded.used);
    slab.truncate(decoded.data);
    if decoder.is_done() {
        trailers::filter(&mut decoder.trailers)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says_and_what_follows_is_left() {
        for (framing, bytes, body, rest) in [
            (Framing::None, "next", "", Some("next")),
            (Framing::Length(4), "bodynext", "body", Some("next")),
            (Framing::Length(4), "body", "body", None),
            (Framing::Chunked, "4\r\nbody\r\n0\r\n\r\nnext", "body", Some("next")),
            (Framing::Chunked, "4\r\nbody\r\n0\r\nx: y\r\nhost: z\r\n\r\n", "body", None),
        ] {
            let mut reader = Reader::new(framing);
            let mut slab = Slab::of(bytes.as_bytes());
            let left = reader.take(&mut slab).unwrap();
            assert_eq!(slab.data(), body.as_bytes(), "{bytes:?}");
            assert_eq!(left.as_ref().map(Slab::data), rest.map(str::as_bytes), "{bytes:?}");
            assert!(reader.is_done() && reader.close().is_ok(), "{bytes:?}");
            let trailers = if bytes.contains("x: y") { &b"x: y\r\n"[..] } else { b"" };
            assert_eq!(reader.trailers(), trailers);
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_not_whole() {
        for (framing, bytes, whole) in [
            (Framing::Length(5), "body", false),
            (Framing::Chunked, "4\r\nbody\r\n", false),
            (Framing::Chunked, "4\r\nbody\r\n0\r\n", false),
            (Framing::UntilClose, "body", true),
        ] {
            let mut reader = Reader::new(framing);
            let mut slab = Slab::of(bytes.as_bytes());
            assert!(reader.take(&mut slab).unwrap().is_none());
            assert!(!reader.is_done());
            assert_eq!((slab.data(), reader.close().is_ok()), (&b"body"[..], whole), "{bytes:?}");
        }
    }

    #[test]
    fn a_body_that_broke_a_rule_never_ends() {
        for bytes in ["x", "1\r\nab", "0\r\nx : y\r\n\r\nnext", "0\r\nx\r\n\r\n"] {
            let mut reader = Reader::new(Framing::Chunked);
            let broke = reader.take(&mut Slab::of(bytes.as_bytes()));
            assert!(matches!(broke, Err(Malformed)), "{bytes:?}");
            assert!(!reader.is_done() && reader.close().is_err(), "{bytes:?}");
            assert!(reader.take(&mut Slab::of(b"0\r\n\r\n")).is_err(), "{bytes:?}");
            assert_eq!(reader.trailers(), b"", "{bytes:?}");
        }
    }
}
