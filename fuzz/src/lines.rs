//! A head as the grammar has it, and nothing that some reader takes for more: hyper finds its lines
//! as we do, with httparse, so it would not notice.

/// The first line, and the names of the fields in lower case. Panics where a line is not as the
/// strictest reader wants it.
fn names(head: &[u8]) -> (String, Vec<String>) {
    let what = String::from_utf8_lossy(head);
    let lines = head.strip_suffix(b"\r\n\r\n").unwrap_or_else(|| panic!("no end: {what:?}"));
    let mut names = Vec::new();
    let mut rest = Some(lines);
    let mut first = None;
    while let Some(from) = rest {
        let end = from.windows(2).position(|pair| pair == b"\r\n");
        let line = &from[..end.unwrap_or(from.len())];
        rest = end.map(|end| &from[end + 2..]);
        let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        assert!(line.iter().all(is_text), "a byte that is no text: {what:?}");
        if first.is_none() {
            first = Some(String::from_utf8_lossy(line).into_owned());
            continue;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        assert!(name.len() < line.len(), "no colon: {what:?}");
        assert!(!name.is_empty() && name.iter().all(is_token), "a bad name: {what:?}");
        names.push(String::from_utf8_lossy(name).to_ascii_lowercase());
    }
    let framed =
        names.iter().filter(|name| ["content-length", "transfer-encoding"].contains(&&name[..]));
    assert!(framed.count() <= 1, "framed twice: {what:?}");
    (first.unwrap_or_default(), names)
}

/// Checks a request's head.
pub fn check_request(head: &[u8]) {
    let (line, names) = names(head);
    let words: Vec<_> = line.split(' ').collect();
    assert!(matches!(words[..], [_, _, "HTTP/1.1"]), "{line:?}");
    assert!(words[0].bytes().all(|byte| is_token(&byte)), "{line:?}");
    assert!(
        words[1].starts_with('/') && words[1].bytes().all(|b| b.is_ascii_graphic()),
        "{line:?}"
    );
    assert_eq!(names.iter().filter(|name| *name == "host").count(), 1, "hosts of {line:?}");
}

/// Checks an answer's head. `has_body` is whether its status allows one.
pub fn check_answer(head: &[u8], has_body: bool) {
    let (line, names) = names(head);
    assert!(line.starts_with("HTTP/1.1 "), "{line:?}");
    // A length may stand there: that of 304 is its body's, had it one.
    let is_chunked = names.iter().any(|name| name == "transfer-encoding");
    assert!(has_body || !is_chunked, "{line:?} has chunks");
}

const fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
