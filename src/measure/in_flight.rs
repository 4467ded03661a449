//! First attempts that have no answer yet: a worker's own list, looked through now and then for
//! those that take too long.
//!
//! A pool that hangs completes nothing. Without this list it would look idle until its time-outs.

use tokio::time::Instant;

use super::SlotId;

/// So many first attempts of one worker are watched at once; further ones are counted only when
/// they end.
const WATCHED_MAX: usize = 1 << 16;

/// Names a first attempt in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket(u32);

impl Ticket {
    /// Names none.
    pub const NONE: Self = Self(u32::MAX);
}

/// The first attempts of one worker that have no answer yet.
#[derive(Default)]
pub(super) struct InFlight {
    entries: Vec<Entry>,
    /// The head of the list of entries that are free.
    free: Option<u32>,
}

struct Entry {
    started: Instant,
    slot: SlotId,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Waiting,
    /// It was counted as slow.
    Counted,
    Free {
        next: Option<u32>,
    },
}

impl InFlight {
    pub(super) fn begin(&mut self, slot: SlotId, started: Instant) -> Ticket {
        let entry = Entry { started, slot, state: State::Waiting };
        if let Some(index) = self.free
            && let Some(place) = self.entries.get_mut(index as usize)
            && let State::Free { next } = place.state
        {
            *place = entry;
            self.free = next;
            return Ticket(index);
        }
        match u32::try_from(self.entries.len()) {
            Ok(index) if self.entries.len() < WATCHED_MAX => {
                self.entries.push(entry);
                Ticket(index)
            }
            _ => Ticket::NONE,
        }
    }

    /// Gives `ticket` back; whether it was counted as slow.
    pub(super) fn end(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.entries.get_mut(ticket.0 as usize) else { return false };
        let counted = match entry.state {
            State::Free { .. } => return false,
            State::Waiting => false,
            State::Counted => true,
        };
        entry.state = State::Free { next: self.free };
        self.free = Some(ticket.0);
        counted
    }

    /// Counts with `is_slow` every attempt that is slow now and was not before.
    pub(super) fn overdue(&mut self, mut is_slow: impl FnMut(SlotId, Instant) -> bool) {
        for entry in &mut self.entries {
            if matches!(entry.state, State::Waiting) && is_slow(entry.slot, entry.started) {
                entry.state = State::Counted;
            }
        }
    }
}
