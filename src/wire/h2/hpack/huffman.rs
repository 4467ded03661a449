//! Strings that are compressed (RFC 7541 §5.2). The code is canonical: the lengths of its words tell
//! the words, those of one length counting up from symbol to symbol.

use super::Corrupt;

/// How many bits the word of each byte has (appendix B). The word that ends a string has 30, and
/// must not occur.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
/// The longest word.
const LONGEST: usize = 30;
/// Words of up to so many bits, those of nearly all text, are looked up.
const QUICK: u32 = 8;

/// All symbols, by their word.
struct Code {
    symbols: [u8; 256],
    /// For each length the first word, and where its symbol is.
    first: [u32; LONGEST + 2],
    at: [usize; LONGEST + 2],
    /// For whatever begins with a short word, its symbol and length; 0 where none does.
    quick: [(u8, u8); 1 << QUICK],
}

const CODE: Code = {
    let mut code = Code {
        symbols: [0; 256],
        first: [0; LONGEST + 2],
        at: [0; LONGEST + 2],
        quick: [(0, 0); 1 << QUICK],
    };
    let (mut word, mut at, mut length) = (0, 0, 1);
    while length <= LONGEST {
        code.first[length] = word;
        code.at[length] = at;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
                let byte = symbol as u8;
                code.symbols[at] = byte;
                if length <= QUICK as usize {
                    let spare = QUICK as usize - length;
                    let mut rest = 0;
                    while rest < 1 << spare {
                        code.quick[((word as usize) << spare) + rest] = (byte, LENGTHS[symbol]);
                        rest += 1;
                    }
                }
                at += 1;
                word += 1;
            }
            symbol += 1;
        }
        length += 1;
        word <<= 1;
        code.at[length] = at;
        code.first[length] = word;
    }
    code
};

/// Appends what `text` means to `into`.
pub(super) fn decode(text: &[u8], into: &mut Vec<u8>) -> Result<(), Corrupt> {
    static TABLE: Code = CODE;
    let mut rest = text.iter();
    // Bits that have come and have not been used are the lowest `count` of them.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        if count < QUICK {
            return decode_end(bits, count, into);
        }
        #[expect(clippy::cast_possible_truncation, reason = "eight bits are looked at")]
        let (symbol, length) = TABLE.quick[usize::from((bits >> (count - QUICK)) as u8)];
        if length > 0 {
            into.push(symbol);
            count -= u32::from(length);
            continue;
        }
        let Some((symbol, length)) = long(&TABLE, bits, count) else {
            // What is left may still be the padding, which is of less than eight bits.
            return Err(Corrupt);
        };
        into.push(symbol);
        count -= length;
    }
}

/// The symbol of a word that is too long for the quick table.
fn long(table: &Code, bits: u64, count: u32) -> Option<(u8, u32)> {
    let most = u32::try_from(LONGEST).unwrap_or(u32::MAX).min(count);
    (QUICK + 1..=most).find_map(|length| {
        let word = u32::try_from(bits >> (count - length) & ((1 << length) - 1)).ok()?;
        let index = usize::try_from(length).ok()?;
        let at = table.at[index] + usize::try_from(word.checked_sub(table.first[index])?).ok()?;
        (at < table.at[index + 1]).then(|| (table.symbols[at], length))
    })
}

/// The last bits of a string: short words, and ones to fill the last byte.
fn decode_end(bits: u64, mut count: u32, into: &mut Vec<u8>) -> Result<(), Corrupt> {
    while count > 0 {
        let left = u32::try_from(bits & ((1 << count) - 1)).map_err(|_| Corrupt)?;
        let filled = left << (QUICK - count) | ((1 << (QUICK - count)) - 1);
        let (symbol, length) = CODE.quick[usize::try_from(filled).map_err(|_| Corrupt)?];
        if length == 0 || u32::from(length) > count {
            // All ones is the beginning of the word that ends a string.
            return if left == (1 << count) - 1 { Ok(()) } else { Err(Corrupt) };
        }
        into.push(symbol);
        count -= u32::from(length);
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = String::new();
    for byte in text {
        let length = usize::from(LENGTHS[usize::from(*byte)]);
        let rank = CODE.symbols[CODE.at[length]..].iter().position(|s| s == byte).unwrap();
        let word = CODE.first[length] + u32::try_from(rank).unwrap();
        bits += &format!("{word:0length$b}");
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    bits.as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut into = Vec::new();
        decode(text, &mut into).map(|()| into)
    }

    /// The examples of RFC 7541, appendix C.4 and C.6.
    #[test]
    fn the_examples_are_read() {
        for (coded, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (&[], ""),
        ] {
            assert_eq!(decoded(coded).unwrap(), text.as_bytes());
            assert_eq!(encode(text.as_bytes()), coded);
        }
    }

    #[test]
    fn what_ends_otherwise_than_with_less_than_a_byte_of_ones_is_corrupt() {
        for coded in [&[0xff][..], &[0x00], &[0x1f, 0xff], &[0xff; 4], &[0x18, 0xfe], &[0xff; 9]] {
            assert_eq!(decoded(coded), Err(Corrupt), "{coded:x?}");
        }
        assert_eq!(decoded(&[0x1f]).unwrap(), b"a");
    }

    proptest! {
        #[test]
        fn every_text_is_what_it_was(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decoded(&text);
        }
    }
}
