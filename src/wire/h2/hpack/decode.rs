//! From a header block to its fields.

use super::table::{OVERHEAD, Table};
use super::{Corrupt, huffman};
use crate::wire::stock::forget_large;

/// Longer numbers than this of a block's own length mean nothing good.
const NUMBER_MAX: usize = 1 << 24;
/// What all fields of a block may come to at least: a byte of it can stand for a whole entry of the
/// table, and what is read is a multiple of what is taken.
const FIELDS_BYTES_MIN: usize = 1 << 20;

/// Reads the header blocks of one connection, in order.
#[derive(Debug)]
pub(in crate::wire::h2) struct Decoder {
    table: Table,
    /// What all fields of a block may come to.
    fields_bytes_max: usize,
    /// A field that is no copy of a place in the block, or in the table.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Reads blocks of which as much as `taken` is taken.
    pub(in crate::wire::h2) fn new(taken: usize) -> Self {
        let fields_bytes_max = FIELDS_BYTES_MIN.max(taken.saturating_mul(2));
        Self { table: Table::new(), fields_bytes_max, name: Vec::new(), value: Vec::new() }
    }

    /// Gives each field of a block to `sink`, name and value.
    pub(in crate::wire::h2) fn decode(
        &mut self,
        mut block: &[u8],
        mut sink: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Corrupt> {
        let Self { table, fields_bytes_max, name, value } = self;
        let mut left = *fields_bytes_max;
        let mut sink = |name: &[u8], value: &[u8]| {
            let bytes = name.len() + value.len() + OVERHEAD;
            left = left.checked_sub(bytes).ok_or(Corrupt)?;
            sink(name, value);
            Ok(())
        };
        let mut is_first = true;
        while let Some(first) = block.first().copied() {
            match first {
                // Both are known (§6.1).
                0x80.. => {
                    let (name, value) = table.field(number(&mut block, 7)?)?;
                    sink(name, value)?;
                }
                // The table gets another size (§6.3), which is said before all else (§4.2).
                0x20..0x40 => {
                    let size = number(&mut block, 5)?;
                    if !is_first {
                        return Err(Corrupt);
                    }
                    table.resize(size)?;
                    continue;
                }
                _ => {
                    let is_kept = first >= 0x40;
                    let known = number(&mut block, if is_kept { 6 } else { 4 })?;
                    let name: &[u8] = if known > 0 {
                        name.clear();
                        name.extend_from_slice(table.field(known)?.0);
                        &name[..]
                    } else {
                        string(&mut block, name)?
                    };
                    let value = string(&mut block, value)?;
                    sink(name, value)?;
                    if is_kept {
                        table.add(name, value);
                    }
                }
            }
            is_first = false;
        }
        forget_large(name);
        forget_large(value);
        Ok(())
    }
}

/// §5.1
fn number(block: &mut &[u8], prefix: u32) -> Result<usize, Corrupt> {
    let (first, mut rest) = block.split_first().ok_or(Corrupt)?;
    let most = (1 << prefix) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(Corrupt)?;
            rest = after;
            number += usize::from(byte & 0x7f) << shift;
            if number > NUMBER_MAX {
                return Err(Corrupt);
            }
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 21 {
                return Err(Corrupt);
            }
        }
    }
    *block = rest;
    Ok(number)
}

/// A string (§5.2): a place in the block, or in `spare` where it was compressed.
fn string<'a, 'b: 'a>(block: &mut &'b [u8], spare: &'a mut Vec<u8>) -> Result<&'a [u8], Corrupt> {
    let is_compressed = block.first().ok_or(Corrupt)? & 0x80 != 0;
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Corrupt)?;
    *block = rest;
    if !is_compressed {
        return Ok(text);
    }
    spare.clear();
    huffman::decode(text, spare)?;
    Ok(spare)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<String, Corrupt> {
        let mut text = String::new();
        let all = decoder.decode(block, |name, value| {
            text += &format!("{}: {}\n", name.escape_ascii(), value.escape_ascii());
        });
        all.map(|()| text)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 7541, appendix C.3 and C.4: the same requests, as they are and compressed.
    #[test]
    fn the_examples_are_read() {
        const ONE: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
        const TWO: &str = "cache-control: no-cache\n";
        const THREE: &str = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n";
        let two = [ONE, TWO].concat();
        for blocks in [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ] {
            let mut decoder = Decoder::new(0);
            for (block, want) in blocks.into_iter().zip([ONE, &two, THREE]) {
                assert_eq!(decoded(&mut decoder, &bytes(block)).unwrap(), want);
            }
        }
    }

    #[test]
    fn literals_that_are_not_to_be_remembered_are_not() {
        let mut decoder = Decoder::new(0);
        assert_eq!(decoded(&mut decoder, b"\x10\x01a\x01b\x00\x01c\x00"), Ok("a: b\nc: \n".into()));
        assert_eq!(decoded(&mut decoder, &[0xbe]), Err(Corrupt));
    }

    /// A byte can stand for a whole entry of the table.
    #[test]
    fn a_block_may_stand_for_only_so_much() {
        let mut decoder = Decoder::new(0);
        let mut decoded = |block: &[u8]| {
            let mut bytes = 0;
            let all = decoder.decode(block, |name, value| bytes += name.len() + value.len());
            all.map(|()| bytes)
        };
        // As large as an entry can be.
        let entry = [&[0x40, 1, b'a', 0x7f, 0xe0, 0x1e][..], &[b'x'; 4063]].concat();
        let most = FIELDS_BYTES_MIN / 4096;
        assert_eq!(decoded(&entry), Ok(4096 - OVERHEAD));
        assert_eq!(decoded(&vec![0xbe; most]), Ok(most * (4096 - OVERHEAD)));
        assert_eq!(decoded(&vec![0xbe; most + 1]), Err(Corrupt));
    }

    #[test]
    fn what_is_no_block_is_corrupt() {
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x40],
            &[0x40, 0x01],
            &[0x40, 0x05, b'a'],
            &[0x44],
            &[0x44, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x44, 0x81, 0x00],
            &[0x7f],
            // A size that was not agreed on, or is said too late.
            &[0x3f, 0xe2, 0x1f],
            &[0x82, 0x20],
        ] {
            assert_eq!(decoded(&mut Decoder::new(0), block), Err(Corrupt), "{block:x?}");
        }
        assert_eq!(
            decoded(&mut Decoder::new(0), &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).unwrap(),
            ":method: GET\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)) {
            let mut decoder = Decoder::new(0);
            for block in blocks {
                let _ = decoded(&mut decoder, &block);
            }
        }
    }
}
