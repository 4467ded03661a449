//! The age at which a request in flight counts as slow, as the judge says it and workers apply it.

use std::time::Duration;

use crate::measure::{Drain, SlotId};

/// What was last set for a service.
#[derive(Debug, Default)]
pub(in crate::control) struct Limited {
    slots: Vec<SlotId>,
    limit_ms: Option<f64>,
    /// The table that it was set under: its pools may have other slots in another.
    generation: u64,
}

impl Limited {
    /// Whether what is set differs from this.
    pub(in crate::control) fn differs(&self, limit_ms: Option<f64>, generation: u64) -> bool {
        self.limit_ms != limit_ms || (self.generation != generation && limit_ms.is_some())
    }

    /// Sets the limit of `slots`, and none any more of those that had one.
    pub(in crate::control) fn set(
        &mut self,
        drain: &Drain,
        slots: Vec<SlotId>,
        limit_ms: Option<f64>,
        generation: u64,
    ) {
        let slots = if limit_ms.is_some() { slots } else { Vec::new() };
        for slot in self.slots.iter().filter(|slot| !slots.contains(slot)) {
            drain.limit(*slot, None);
        }
        // An absurd limit is the same as none.
        let limit = limit_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        for slot in &slots {
            drain.limit(*slot, limit);
        }
        *self = Self { slots, limit_ms, generation };
    }
}
