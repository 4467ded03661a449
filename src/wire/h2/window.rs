//! How much either side may send (RFC 9113 §5.2, §6.9). Pure.

use super::frame::MAX;

/// So much is worth a frame. A larger part of a window could be owed for ever, where the rest of it
/// is held by streams that nobody reads.
const WORTH: usize = 64 << 10;

/// What we may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit(i64);

/// A window that is wider than there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooWide;

impl Credit {
    pub(super) fn new(bytes: u32) -> Self {
        Self(bytes.into())
    }

    /// How much may be sent. A window may be below zero after new settings (§6.9.2).
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.0 -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Makes it wider, or after new settings narrower.
    pub(super) fn add(&mut self, bytes: i64) -> Result<(), TooWide> {
        let sum = self.0 + bytes;
        if sum > MAX.into() {
            return Err(TooWide);
        }
        self.0 = sum;
        Ok(())
    }
}

/// What the client may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    whole: usize,
    left: usize,
    /// What was used up, and has not been allowed again.
    owed: usize,
}

impl Allowance {
    pub(super) const fn new(whole: usize) -> Self {
        Self { whole, left: whole, owed: 0 }
    }

    /// How much the client may send at once.
    pub(super) const fn left(self) -> usize {
        self.left
    }

    /// The client has sent so much; false where that is more than it may.
    pub(super) const fn spend(&mut self, bytes: usize) -> bool {
        let Some(left) = self.left.checked_sub(bytes) else { return false };
        self.left = left;
        true
    }

    /// So much of it was used up. Tells how much is to be allowed again, once that is worth a frame.
    pub(super) fn give_back(&mut self, bytes: usize) -> Option<u32> {
        self.owed += bytes;
        if self.owed < (self.whole / 2).min(WORTH) {
            return None;
        }
        self.left += self.owed;
        u32::try_from(std::mem::take(&mut self.owed)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_fall_below_zero_but_not_rise_above_its_limit() {
        let mut credit = Credit::new(10);
        credit.spend(8);
        assert_eq!(credit.bytes(), 2);
        credit.add(-5).unwrap();
        assert_eq!(credit.bytes(), 0);
        credit.add(4).unwrap();
        assert_eq!(credit.bytes(), 1);
        assert_eq!(credit.add(i64::from(MAX)), Err(TooWide));
        assert_eq!(credit.bytes(), 1);
    }

    #[test]
    fn what_was_used_up_is_allowed_again_in_large_parts() {
        let mut allowance = Allowance::new(100);
        assert!(allowance.spend(100) && !allowance.spend(1));
        assert_eq!(allowance.give_back(49), None);
        assert!(!allowance.spend(1));
        assert_eq!(allowance.give_back(11), Some(60));
        assert!(allowance.spend(60) && !allowance.spend(1));
        // Of a large window no more than this is ever owed.
        let mut allowance = Allowance::new(100 * WORTH);
        assert!(allowance.spend(2 * WORTH));
        assert_eq!(allowance.give_back(WORTH - 1), None);
        assert_eq!(allowance.give_back(1), Some(64 << 10));
    }
}
