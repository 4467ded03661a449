//! The fields that a client has told us to remember (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use super::Corrupt;
use super::statics::STATICS;

/// What our settings leave the client's encoder: the size that holds where nothing is said.
pub(super) const SIZE_MAX: usize = 4096;
/// What a field costs beside its bytes, here (§4.1) and in the size of a list (RFC 9113 §6.5.2).
pub(in crate::wire::h2) const OVERHEAD: usize = 32;

/// A field that is remembered.
#[derive(Debug)]
struct Entry {
    /// The name, and the value behind it.
    bytes: Box<[u8]>,
    name_end: usize,
}

/// The dynamic table; the newest entry comes first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: SIZE_MAX }
    }

    /// Name and value of the field with this number.
    pub(super) fn field(&self, number: usize) -> Result<(&[u8], &[u8]), Corrupt> {
        let at = number.checked_sub(1).ok_or(Corrupt)?;
        if let Some(known) = STATICS.get(at) {
            return Ok(*known);
        }
        let entry = self.entries.get(at - STATICS.len()).ok_or(Corrupt)?;
        Ok(entry.bytes.split_at(entry.name_end))
    }

    /// Remembers a field. One that is larger than the table empties it (§4.4).
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            let bytes = [name, value].concat().into_boxed_slice();
            self.entries.push_front(Entry { bytes, name_end: name.len() });
            self.size += size;
        }
    }

    /// Changes how much is remembered (§4.3).
    pub(super) fn resize(&mut self, size_max: usize) -> Result<(), Corrupt> {
        if size_max > SIZE_MAX {
            return Err(Corrupt);
        }
        self.size_max = size_max;
        self.evict(size_max);
        Ok(())
    }

    fn evict(&mut self, size_max: usize) {
        while self.size > size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.bytes.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_what_is_too_large_empties_it() {
        let mut table = Table::new();
        table.resize(100).unwrap();
        table.add(b"a", b"1");
        table.add(b"b", b"2");
        assert_eq!(table.field(62), Ok((&b"b"[..], &b"2"[..])));
        assert_eq!(table.field(63), Ok((&b"a"[..], &b"1"[..])));
        table.add(b"c", b"3");
        assert_eq!(table.field(63), Ok((&b"b"[..], &b"2"[..])));
        assert_eq!((table.field(64), table.field(0)), (Err(Corrupt), Err(Corrupt)));
        table.add(b"d", &[b'4'; 68]);
        assert_eq!(table.field(62), Err(Corrupt));
        assert_eq!(table.size, 0);
        table.add(b"e", b"5");
        table.resize(0).unwrap();
        assert_eq!((table.field(62), table.size), (Err(Corrupt), 0));
        assert_eq!(table.resize(SIZE_MAX + 1), Err(Corrupt));
    }
}
