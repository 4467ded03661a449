//! Texts of others, made fit to be kept and shown; and the placeholders of texts that go out. Pure.

use serde_json::Value;

/// The most bytes of a text that is kept as evidence.
pub(super) const WORDS_BYTES_MAX: usize = 2 * 1024;
/// The most bytes of an answer that are shown in a sentence.
const EXCERPT_BYTES_MAX: usize = 240;
/// What stands where something was left out.
const CUT: char = '…';

/// What the placeholders of one question stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) service: &'a str,
    pub(super) pool: &'a str,
    pub(super) version: &'a str,
    pub(super) role: &'a str,
    /// The endpoint that is asked; all of them, parted by spaces, where it is no single one.
    pub(super) endpoint: &'a str,
}

impl Names<'_> {
    /// Puts what they stand for into `text`, each written by `write`. What was put in is not looked
    /// at again, and braces around anything else stay.
    pub(super) fn fill(&self, text: &str, write: fn(&str) -> String) -> String {
        let known = [
            ("{service}", self.service),
            ("{pool}", self.pool),
            ("{version}", self.version),
            ("{role}", self.role),
            ("{endpoint}", self.endpoint),
        ];
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            filled.push_str(&rest[..brace]);
            rest = &rest[brace..];
            if let Some((name, value)) = known.iter().find(|(name, _)| rest.starts_with(name)) {
                filled.push_str(&write(value));
                rest = &rest[name.len()..];
            } else {
                filled.push('{');
                rest = &rest[1..];
            }
        }
        filled + rest
    }

    /// Fills a body: in JSON a value stays inside its string, whatever it holds.
    pub(super) fn fill_body(&self, body: &str) -> String {
        let json = body.trim_start().starts_with(['{', '[']);
        self.fill(body, if json { in_json } else { as_it_is })
    }
}

/// Writes a value as it is.
pub(super) fn as_it_is(value: &str) -> String {
    value.to_owned()
}

/// Writes a value inside a path or a query: all but unreserved characters in percent (RFC 3986 §2.3).
pub(super) fn in_url(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

/// Writes a value inside a string of JSON.
fn in_json(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Writes a value inside a string of PromQL, whichever quotes it has but backticks.
pub(super) fn in_promql(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\x22").replace('\'', "\\x27")
}

/// The first `bytes_max` bytes of `text`, with a mark where it was cut.
pub(in crate::control) fn bounded(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max.saturating_sub(CUT.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

/// The last `bytes_max` bytes of `text`, with a mark where it was cut.
pub(super) fn bounded_end(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut start = (text.len() + CUT.len_utf8()).saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    format!("{CUT}{}", &text[start..])
}

/// The beginning of a body, on one line, to be shown in a sentence.
pub(in crate::control) fn excerpt(body: &[u8]) -> String {
    // Four bytes for each that is shown are enough, however much of it is white space or broken.
    let head = &body[..body.len().min(4 * EXCERPT_BYTES_MAX)];
    let text = printable(&String::from_utf8_lossy(head));
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match bounded(&line, EXCERPT_BYTES_MAX) {
        line if line.is_empty() => "an empty body".to_owned(),
        line if head.len() < body.len() && !line.ends_with(CUT) => format!("{line}{CUT}"),
        line => line,
    }
}

/// `text` without what would drive a terminal: escape sequences, and control characters but for
/// line ends and tabs.
pub(super) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // A control sequence ends with a byte of `@` to `~` (ECMA-48 §5.4).
            for char in chars.by_ref() {
                if ('@'..='~').contains(&char) {
                    break;
                }
            }
        } else if !char.is_control() || matches!(char, '\n' | '\t') {
            clean.push(char);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        service: "shop",
        pool: "green",
        version: "4.2 \"rc\" {pool}",
        role: "canary",
        endpoint: "app:3000",
    };

    #[test]
    fn known_names_are_filled_in_and_other_braces_stay() {
        let filled = |text| NAMES.fill(text, as_it_is);
        assert_eq!(
            filled("/{service}/{pool}/{role}?at={endpoint}"),
            "/shop/green/canary?at=app:3000"
        );
        assert_eq!(filled(r#"{"a": {"b": {pool}}}"#), r#"{"a": {"b": green}}"#);
        assert_eq!(filled("{ pool } {pools} {"), "{ pool } {pools} {");
    }

    #[test]
    fn what_was_filled_in_is_not_filled_in_again() {
        assert_eq!(NAMES.fill("{version}", as_it_is), "4.2 \"rc\" {pool}");
    }

    #[test]
    fn a_value_cannot_leave_the_place_it_was_put_into() {
        assert_eq!(NAMES.fill("/v/{version}", in_url), "/v/4.2%20%22rc%22%20%7Bpool%7D");
        assert_eq!(NAMES.fill_body(r#"{"v": "{version}"}"#), r#"{"v": "4.2 \"rc\" {pool}"}"#);
        assert_eq!(NAMES.fill_body("v={version}"), "v=4.2 \"rc\" {pool}");
        let hostile = Names { version: r#"x"} or vector(1) # '\"#, ..NAMES };
        assert_eq!(
            hostile.fill(r#"up{v="{version}"}"#, in_promql),
            r#"up{v="x\x22} or vector(1) # \x27\\"}"#
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("ééééé", 8), "éé…");
        assert_eq!(bounded_end("ééééé", 8), "…éé");
        for bytes_max in 3..20 {
            assert!(bounded("aéa€aéa€aéa€", bytes_max).len() <= bytes_max);
            assert!(bounded_end("aéa€aéa€aéa€", bytes_max).len() <= bytes_max);
        }
    }

    #[test]
    fn an_excerpt_is_one_bounded_line_without_controls() {
        assert_eq!(excerpt(b"  {\r\n  \"a\":\t1\n}\x07\x1b[31m!"), "{ \"a\": 1 }!");
        assert_eq!(excerpt(b" \n"), "an empty body");
        assert_eq!(excerpt(b"\xff\xfe ok"), "\u{fffd}\u{fffd} ok");
        let long = excerpt(&[b'a'; 10_000]);
        assert!(long.ends_with("a…") && long.len() == EXCERPT_BYTES_MAX, "{long}");
        assert!(excerpt(&[b' '; 10_000]).len() < 20);
    }
}
