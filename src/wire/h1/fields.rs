//! Field lines as spans into one buffer: nothing is copied out, and lines that stay as they were
//! are written in runs. Pure.

use std::ops::Range;

/// Fields that decide something here, or end at this hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tag {
    Other,
    Connection,
    ContentLength,
    Expect,
    Host,
    Http2Settings,
    KeepAlive,
    MaxForwards,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Te,
    TransferEncoding,
    Upgrade,
}

impl Tag {
    /// Finds out by length first: most names differ there. `name` is a token.
    pub(crate) fn of(name: &[u8]) -> Self {
        match name.len() {
            2 if is_token(name, b"te") => Self::Te,
            4 if is_token(name, b"host") => Self::Host,
            6 if is_token(name, b"expect") => Self::Expect,
            7 if is_token(name, b"upgrade") => Self::Upgrade,
            10 if is_token(name, b"connection") => Self::Connection,
            10 if is_token(name, b"keep-alive") => Self::KeepAlive,
            12 if is_token(name, b"max-forwards") => Self::MaxForwards,
            14 if is_token(name, b"content-length") => Self::ContentLength,
            14 if is_token(name, b"http2-settings") => Self::Http2Settings,
            16 if is_token(name, b"proxy-connection") => Self::ProxyConnection,
            17 if is_token(name, b"transfer-encoding") => Self::TransferEncoding,
            18 if is_token(name, b"proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is_token(name, b"proxy-authorization") => Self::ProxyAuthorization,
            _ => Self::Other,
        }
    }

    /// The fields that end at this hop whatever `Connection` says (RFC 9110 §7.6.1).
    const HOPS: u32 = Self::Connection.bit()
        | Self::Http2Settings.bit()
        | Self::KeepAlive.bit()
        | Self::ProxyAuthenticate.bit()
        | Self::ProxyAuthorization.bit()
        | Self::ProxyConnection.bit()
        | Self::Te.bit()
        | Self::TransferEncoding.bit()
        | Self::Upgrade.bit();

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// One field line, `name: value CRLF`.
#[derive(Clone, Debug)]
struct Line {
    start: usize,
    name_end: usize,
    value: Range<usize>,
    end: usize,
    tag: Tag,
    kept: bool,
}

/// The field lines of a message, with the bytes that they and the start line are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) bytes: Vec<u8>,
    lines: Vec<Line>,
    /// A bit for each tag that was seen, and that was seen more than once.
    seen: u32,
    repeated: u32,
    /// A bit for each length of a name, so that a look-up in vain costs nothing.
    lengths: u64,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        (self.seen, self.repeated, self.lengths) = (0, 0, 0);
    }

    /// Notes a line that is in `bytes` already.
    pub(crate) fn note(&mut self, start: usize, name_end: usize, value: Range<usize>, end: usize) {
        let tag = Tag::of(&self.bytes[start..name_end]);
        self.repeated |= self.seen & tag.bit();
        self.seen |= tag.bit();
        self.lengths |= length_bit(name_end - start);
        self.lines.push(Line { start, name_end, value, end, tag, kept: true });
    }

    /// Adds a line of our own.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.note_added(start, name, at);
    }

    /// Adds a line of our own whose value is that of another span of the buffer.
    pub(crate) fn add_copy(&mut self, name: &str, of: Range<usize>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let at = self.bytes.len();
        self.bytes.extend_from_within(of);
        self.note_added(start, name, at);
    }

    fn note_added(&mut self, start: usize, name: &str, at: usize) {
        let value = at..self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        self.note(start, start + name.len(), value, self.bytes.len());
    }

    /// Whether a line with this tag came or was added.
    pub(crate) const fn has(&self, tag: Tag) -> bool {
        self.seen & tag.bit() != 0
    }

    /// Whether more than one came.
    pub(crate) const fn repeats(&self, tag: Tag) -> bool {
        self.repeated & tag.bit() != 0
    }

    /// The values of the lines with this tag, those included that end at this hop.
    pub(crate) fn tagged(&self, tag: Tag) -> impl Iterator<Item = &[u8]> {
        let lines = if self.has(tag) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| line.tag == tag).map(|line| self.value(line))
    }

    /// Where the value of the first line with this tag is.
    pub(crate) fn span(&self, tag: Tag) -> Option<Range<usize>> {
        self.lines.iter().find(|line| line.tag == tag).map(|line| line.value.clone())
    }

    /// What stands between the colon and the end of each line with this tag, untrimmed.
    pub(crate) fn untrimmed(&self, tag: Tag) -> impl Iterator<Item = &[u8]> {
        let lines = self.lines.iter().filter(move |line| line.tag == tag);
        lines.map(|line| &self.bytes[line.name_end + 1..line.end - 2])
    }

    /// Drops every line with this tag.
    pub(crate) fn drop_tagged(&mut self, tag: Tag) {
        if self.has(tag) {
            self.lines.iter_mut().filter(|line| line.tag == tag).for_each(|line| line.kept = false);
        }
    }

    /// The first value of field `name` that goes on.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Every value of field `name` that goes on.
    pub(crate) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.named(name).map(|line| self.value(line))
    }

    /// The names of the lines that go on.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let kept = self.lines.iter().filter(|line| line.kept);
        kept.map(|line| text(&self.bytes[line.start..line.name_end]))
    }

    /// Whether `byte` is in the name of a line that goes on.
    pub(crate) fn is_in_a_name(&self, byte: u8) -> bool {
        let mut kept = self.lines.iter().filter(|line| line.kept);
        kept.any(|line| self.bytes[line.start..line.name_end].contains(&byte))
    }

    /// Names, values and tags of the lines that go on.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>, Tag)> {
        let kept = self.lines.iter().filter(|line| line.kept);
        kept.map(|line| (line.start..line.name_end, line.value.clone(), line.tag))
    }

    /// Drops every line of field `name`.
    pub(crate) fn remove(&mut self, name: &str) {
        if self.lengths & length_bit(name.len()) == 0 {
            return;
        }
        let Self { bytes, lines, .. } = self;
        for line in lines {
            let named = &bytes[line.start..line.name_end];
            line.kept &= !named.eq_ignore_ascii_case(name.as_bytes());
        }
    }

    /// Drops what ends at this hop, and what `Connection` names (RFC 9110 §7.6.1). Lines that are
    /// added later cannot be dropped by a message.
    pub(crate) fn drop_hop_by_hop(&mut self) {
        let Self { bytes, lines, seen, .. } = self;
        if *seen & Tag::HOPS == 0 {
            return;
        }
        for at in 0..lines.len() {
            lines[at].kept &= lines[at].tag.bit() & Tag::HOPS == 0;
            if lines[at].tag != Tag::Connection {
                continue;
            }
            let value = lines[at].value.clone();
            for token in tokens(&bytes[value]) {
                // These speak of the connection itself and are the usual ones.
                if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive")
                {
                    continue;
                }
                for line in lines.iter_mut() {
                    let name = &bytes[line.start..line.name_end];
                    if name.eq_ignore_ascii_case(token) && !is_end_to_end(name) {
                        line.kept = false;
                    }
                }
            }
        }
    }

    /// Appends the lines that go on, each with its end, in as few runs as there are.
    pub(crate) fn write(&self, mut out: impl FnMut(&[u8])) {
        let mut run: Option<Range<usize>> = None;
        for line in self.lines.iter().filter(|line| line.kept) {
            match &mut run {
                Some(run) if run.end == line.start => run.end = line.end,
                _ => {
                    if let Some(run) = run.replace(line.start..line.end) {
                        out(&self.bytes[run]);
                    }
                }
            }
        }
        if let Some(run) = run {
            out(&self.bytes[run]);
        }
    }

    fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Line> + use<'a, 'n> {
        let some = self.lengths & length_bit(name.len()) != 0;
        let lines = if some { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| {
            line.kept
                && line.name_end - line.start == name.len()
                && self.bytes[line.start..line.name_end].eq_ignore_ascii_case(name.as_bytes())
        })
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.bytes[line.value.clone()]
    }
}

/// The elements of a comma-separated list, trimmed; empty ones are left out (RFC 9110 §5.6.1).
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Bytes that the parser has found to be text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Whether a token is `known`, which is in lower case, in any case: where two bytes of tokens differ in
/// the bit 0x20 alone, they are one letter.
fn is_token<const LENGTH: usize>(token: &[u8], known: &[u8; LENGTH]) -> bool {
    let Ok(token) = <&[u8; LENGTH]>::try_from(token) else { return false };
    token.iter().zip(known).fold(0, |differs, (a, b)| differs | (a | 0x20) ^ b) == 0
}

const fn length_bit(length: usize) -> u64 {
    1 << if length < 63 { length } else { 63 }
}

/// Fields that a `Connection` header must not take from a message: without them it is another.
fn is_end_to_end(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 7] = [
        b"host",
        b"cookie",
        b"authorization",
        b"expect",
        b"trailer",
        b"content-length",
        b"content-type",
    ];
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::h1::framing;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.add(name, value.as_bytes()));
        fields
    }

    fn written(fields: &Fields) -> (String, usize) {
        let (mut out, mut runs) = (Vec::new(), 0);
        fields.write(|run| {
            out.extend_from_slice(run);
            runs += 1;
        });
        (String::from_utf8(out).unwrap(), runs)
    }

    #[test]
    fn lines_that_stay_are_written_in_runs() {
        let mut fields = fields(&[("a", "1"), ("b", "2"), ("x", "3"), ("c", "4")]);
        assert_eq!(written(&fields), ("a: 1\r\nb: 2\r\nx: 3\r\nc: 4\r\n".into(), 1));
        fields.remove("X");
        assert_eq!(written(&fields), ("a: 1\r\nb: 2\r\nc: 4\r\n".into(), 2));
        assert_eq!(fields.first("x"), None);
        fields.add("x", b"5");
        assert_eq!(fields.first("X"), Some(&b"5"[..]));
        assert_eq!(fields.names().collect::<Vec<_>>(), ["a", "b", "c", "x"]);
    }

    #[test]
    fn what_ends_at_this_hop_is_dropped_and_what_connection_names() {
        let mut fields = fields(&[
            ("Connection", "close, X-Private ,, host, cookie"),
            ("Host", "a"),
            ("Cookie", "k=v"),
            ("x-private", "1"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "b"),
            ("Proxy-Authenticate", "b"),
            ("Transfer-Encoding", "chunked"),
            ("Accept", "*/*"),
        ]);
        fields.drop_hop_by_hop();
        fields.add("x-private", b"ours");
        let want = "Host: a\r\nCookie: k=v\r\nAccept: */*\r\nx-private: ours\r\n";
        assert_eq!(written(&fields).0, want);
        assert_eq!(fields.tagged(Tag::Te).next(), Some(&b"trailers"[..]), "facts stay");
    }

    #[test]
    fn every_tag_is_found_in_any_case_and_nothing_else_is() {
        for known in *b"abcdefghijklmnopqrstuvwxyz-2" {
            for byte in (0..=u8::MAX).filter(|byte| framing::is_token_byte(*byte)) {
                assert_eq!(is_token(&[byte], &[known]), byte.eq_ignore_ascii_case(&known));
            }
        }
        for (name, tag) in [
            ("CONNECTION", Tag::Connection),
            ("content-Length", Tag::ContentLength),
            ("Expect", Tag::Expect),
            ("hOst", Tag::Host),
            ("http2-settings", Tag::Http2Settings),
            ("keep-alive", Tag::KeepAlive),
            ("Max-Forwards", Tag::MaxForwards),
            ("proxy-authenticate", Tag::ProxyAuthenticate),
            ("proxy-authorization", Tag::ProxyAuthorization),
            ("proxy-connection", Tag::ProxyConnection),
            ("te", Tag::Te),
            ("transfer-encoding", Tag::TransferEncoding),
            ("upgrade", Tag::Upgrade),
            ("transfer_encoding", Tag::Other),
            ("hos", Tag::Other),
            ("", Tag::Other),
        ] {
            assert_eq!(Tag::of(name.as_bytes()), tag, "{name}");
        }
    }
}
