//! From fields to a header block.

use super::statics::of_answer;
use crate::wire::response::decimal;

/// Tells the client, before the first block of a connection, that we remember nothing: so a table of
/// whatever size it has is ours too (RFC 7541 §4.2).
pub(in crate::wire::h2) fn begin(block: &mut Vec<u8>) {
    block.push(0x20);
}

/// The status of an answer.
pub(in crate::wire::h2) fn status(block: &mut Vec<u8>, status: u16) {
    let known = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            block.extend_from_slice(&[0x08, 3]);
            block.extend_from_slice(decimal(status.into(), &mut [0; 20]));
            return;
        }
    };
    block.push(0x80 | known);
}

/// A field, whose name becomes lower case (RFC 9113 §8.2.1).
pub(in crate::wire::h2) fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = block.len();
    // Its number is known when the name is lower case: the name stands where it stays if it has none.
    block.push(0);
    number(block, 7, name.len());
    let at = block.len();
    block.extend_from_slice(name);
    block[at..].make_ascii_lowercase();
    let known = of_answer(&block[at..]);
    if known > 0 {
        block.truncate(start);
        number(block, 4, usize::from(known));
    }
    number(block, 7, value.len());
    block.extend_from_slice(value);
}

/// A number behind so many bits that are 0 (§5.1).
fn number(block: &mut Vec<u8>, prefix: u32, number: usize) {
    let most = (1 << prefix) - 1;
    let low = |number: usize| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    if number < most {
        return block.push(low(number));
    }
    block.push(low(most));
    let mut rest = number - most;
    while rest >= 0x80 {
        block.push(low(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    block.push(low(rest));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::h2::hpack::Decoder;

    #[test]
    fn an_answer_is_what_its_reader_gets() {
        let long = "x".repeat(70_000);
        let mut block = Vec::new();
        begin(&mut block);
        for code in [200, 204, 206, 304, 400, 404, 500, 503, 101] {
            status(&mut block, code);
        }
        field(&mut block, b"Content-Type", b"text/plain");
        field(&mut block, b"X-Other", b"");
        field(&mut block, b"www-authenticate", long.as_bytes());
        let mut got = Vec::new();
        let mut note = |name: &[u8], value: &[u8]| got.push((name.to_vec(), value.to_vec()));
        Decoder::new(0).decode(&block, &mut note).unwrap();
        let codes: Vec<_> =
            got.drain(..9).map(|(_, code)| String::from_utf8(code).unwrap()).collect();
        assert_eq!(codes, ["200", "204", "206", "304", "400", "404", "500", "503", "101"]);
        let want: [(&[u8], &[u8]); 3] = [
            (b"content-type", b"text/plain"),
            (b"x-other", b""),
            (b"www-authenticate", long.as_bytes()),
        ];
        assert!(got.iter().map(|(name, value)| (&name[..], &value[..])).eq(want));
    }

    proptest! {
        #[test]
        fn every_field_is_what_its_reader_gets(
            name in "[a-zA-Z0-9-]{1,200}",
            value in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut block = Vec::new();
            field(&mut block, name.as_bytes(), &value);
            let mut got = Vec::new();
            let mut note = |name: &[u8], value: &[u8]| got.push((name.to_vec(), value.to_vec()));
            Decoder::new(0).decode(&block, &mut note).unwrap();
            prop_assert_eq!(got, [(name.to_ascii_lowercase().into_bytes(), value)]);
        }
    }
}
