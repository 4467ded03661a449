//! What a client begins with that speaks HTTP/2. Pure.

/// RFC 9113 §3.4
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether `bytes` begin with the preface of HTTP/2 (RFC 9113 §3.4), or, where it is false, may do
/// so when more of them have come.
pub(crate) fn preface(bytes: &[u8]) -> Option<bool> {
    let known = bytes.len().min(PREFACE.len());
    (bytes[..known] == PREFACE[..known]).then_some(known == PREFACE.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_of_http_2_is_told_from_a_request() {
        for (bytes, want) in [
            ("", Some(false)),
            ("P", Some(false)),
            ("PRI * HTTP/2.0\r\n\r\n", Some(false)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(true)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", Some(true)),
            ("PO", None),
            ("PRI * HTTP/2.0\r\n\r\nXX", None),
        ] {
            assert_eq!(preface(bytes.as_bytes()), want, "{bytes:?}");
        }
    }
}
