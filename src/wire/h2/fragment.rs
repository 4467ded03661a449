//! Finds a fragment in the `:path` of a header block. A path with one is no path and is refused
//! (RFC 9113 §8.3.1), but the h2 crate cuts it off and says nothing. Pure.
//!
//! Only literals are looked at: whatever a block takes from a table stood there as a literal once.

/// Whether `:path` has a `#` in this block (RFC 7541 §6).
pub(super) fn is_in_path(block: &[u8]) -> bool {
    find(block).unwrap_or(false)
}

/// `None` where the block is none.
fn find(mut block: &[u8]) -> Option<bool> {
    while let Some(first) = block.first() {
        let prefix = match first {
            0x80.. => {
                integer(&mut block, 7)?;
                continue;
            }
            0x20..0x40 => {
                integer(&mut block, 5)?;
                continue;
            }
            0x40..0x80 => 6,
            _ => 4,
        };
        let is_path = match integer(&mut block, prefix)? {
            0 => matches!(string(&mut block)?, (false, b":path") | (true, b"\xb9\x58\xd3\x3f")),
            // The two entries of the static table with this name (appendix A).
            name => matches!(name, 4 | 5),
        };
        let (is_huffman, value) = string(&mut block)?;
        let has = if is_huffman { has_coded_hash(value) } else { value.contains(&b'#') };
        if is_path && has {
            return Some(true);
        }
    }
    Some(false)
}

/// RFC 7541 §5.1
fn integer(block: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1 << prefix) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        for shift in [0, 7, 14, 21] {
            let (byte, after) = rest.split_first()?;
            rest = after;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Some(number)
}

/// Whether a string is compressed, and its bytes (§5.2).
fn string<'a>(block: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((is_huffman, text))
}

/// Whether a compressed string has a `#`. The code is canonical: how many symbols have how many
/// bits tells where each ends (appendix B).
fn has_coded_hash(text: &[u8]) -> bool {
    /// How many symbols have a code of so many bits.
    const SYMBOLS: [u32; 31] = [
        0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15,
        19, 29, 0, 4,
    ];
    const HASH: (usize, u32) = (12, 0xffa);
    let bits = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    let (mut length, mut code, mut first) = (0, 0, 0);
    for bit in bits {
        length += 1;
        code = code << 1 | bit;
        first <<= 1;
        let Some(symbols) = SYMBOLS.get(length) else { return false };
        if code - first < *symbols {
            if (length, code) == HASH {
                return true;
            }
            (length, code, first) = (0, 0, 0);
        } else {
            first += symbols;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/a#b`, compressed by hand: `/` is 011000, `a` 00011, `#` 111111111010, `b` 100011.
    const CODED: &[u8] = &[0b0110_0000, 0b0111_1111, 0b1111_0101, 0b0001_1111];
    /// `/?!*0zZ~`, of short codes and long ones.
    const OTHERS: &[u8] = &[
        0b0110_0011,
        0b1111_1100,
        0b1111_1110,
        0b0011_1111,
        0b1001_0000,
        0b0111_1011,
        0b1111_1101,
        0b1111_1111,
        0b1111_0111,
    ];

    fn literal(kind: u8, name: &[u8], value: &[u8], coded: bool) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap() | if coded { 0x80 } else { 0 };
        [&[kind], name, &[length], value].concat()
    }

    #[test]
    fn a_fragment_is_found_however_the_path_is_written() {
        let by_name: &[u8] = b"\x05:path";
        let by_coded_name: &[u8] = b"\x84\xb9\x58\xd3\x3f";
        for (kind, name) in [
            (0x44, &b""[..]),
            (0x45, b""),
            (0x04, b""),
            (0x14, b""),
            (0x40, by_name),
            (0x10, by_coded_name),
        ] {
            for (value, coded, found) in [
                (&b"/a#b"[..], false, true),
                (b"/ab", false, false),
                (CODED, true, true),
                (OTHERS, true, false),
            ] {
                // Fields from the tables, and a table's new size, stand around it.
                let path = literal(kind, name, value, coded);
                let block = [&[0x3f, 0xe1, 0x1f, 0x82, 0x87][..], &path, &[0xc0]].concat();
                assert_eq!(is_in_path(&block), found, "{kind:#x} {name:?} {value:?}");
            }
        }
    }

    #[test]
    fn other_fields_may_have_one_and_half_a_block_has_none() {
        assert!(!is_in_path(&literal(0x41, b"", b"a#b", false)));
        assert!(!is_in_path(&literal(0x40, b"\x05x-url", b"/a#b", false)));
        let block = literal(0x44, b"", b"/a#b", false);
        for end in 0..block.len() {
            assert!(!is_in_path(&block[..end]), "{end}");
        }
        assert!(!is_in_path(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    }
}
