//! Streams that were answered before the client had ended them, until it is told to. Pure.

use std::collections::VecDeque;

/// How many are remembered: at most this, and half of those that a client may have open, for it still
/// counts them.
const MOST: usize = 64;

/// Their numbers, oldest first.
#[derive(Debug)]
pub(super) struct Unended {
    ids: VecDeque<u32>,
    most: usize,
}

impl Unended {
    /// Of a client that may have `streams` open.
    pub(super) fn new(streams: u32) -> Self {
        let streams = usize::try_from(streams).unwrap_or(usize::MAX);
        Self { ids: VecDeque::new(), most: MOST.min(streams / 2) }
    }

    /// Adds one; tells which is remembered no longer, so that the client has to be told now.
    pub(super) fn add(&mut self, id: u32) -> Option<u32> {
        self.ids.push_back(id);
        if self.ids.len() > self.most { self.ids.pop_front() } else { None }
    }

    /// Forgets one; tells whether it was there.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let at = self.ids.iter().position(|unended| *unended == id);
        at.is_some_and(|at| self.ids.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut unended = Unended::new(5);
        assert_eq!((unended.add(1), unended.add(3)), (None, None));
        assert_eq!(unended.add(5), Some(1));
        assert!(unended.remove(3) && !unended.remove(3) && !unended.remove(1));
        assert_eq!((unended.add(7), unended.add(9)), (None, Some(5)));
        // Where there is no room at all, nobody waits.
        assert_eq!(Unended::new(1).add(1), Some(1));
    }
}
