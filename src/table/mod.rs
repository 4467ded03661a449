//! The routing table: an immutable value that every worker reads and only control publishes.
//!
//! A request keeps the table it began with to its end, so that no request sees half a change.

mod cell;
pub mod matching;

use std::sync::Arc;

use crate::measure::SlotId;
use crate::measure::routes::Routes;
use crate::split::issued::Issuer;
use crate::split::sticky::Source;
use crate::split::{Bucket, Role, Salt, Split, Weight, assign};
use crate::upstream::Pool;

pub use cell::{Cell, Held, Reader};
// What a request is judged by at the door, in the words of the file.
pub use crate::config::{Force, Network};
pub use matching::Matcher;

/// One generation of all services.
#[derive(Debug)]
pub struct Table {
    /// Grows by one with every publication.
    pub generation: u64,
    /// In the order of their names.
    pub services: Vec<Arc<Service>>,
    /// Finds the service of a request.
    pub matcher: Arc<Matcher>,
    /// Rehearsals under way; nearly always none.
    pub rehearsals: Vec<Rehearsal>,
}

/// A service as a request sees it.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How requests are divided now.
    pub split: Split,
    /// Where keys come from, in order.
    pub sticky: Vec<Source>,
    /// Signs the cookies that are issued.
    pub issuer: Option<Issuer>,
    /// Rules for testers.
    pub force: Vec<Force>,
    /// The pool known to be good.
    pub stable: Side,
    /// The pool being tried.
    pub canary: Option<Side>,
    /// Routes that are counted on their own; none are where it is empty.
    pub routes: Arc<Routes>,
    /// Measures half of stable on its own, to compare it with the other half.
    pub placebo: Option<Placebo>,
}

/// A pool in its role, and where it is measured.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its endpoints.
    pub pool: Arc<Pool>,
    /// Its counters.
    pub slot: SlotId,
}

/// Half of what stable serves, measured on its own: two halves of one pool are equal, so a judge
/// that finds them different is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Placebo {
    /// Chooses the half.
    pub salt: Salt,
    /// Its counters.
    pub slot: SlotId,
}

impl Placebo {
    const HALF: Option<Weight> = Weight::from_basis_points(5_000);

    /// The bucket under which `key` is in one half or the other.
    pub fn bucket(&self, key: &[u8]) -> Bucket {
        Bucket::of(key, self.salt)
    }

    /// Whether `bucket` is in the half that is measured on its own.
    pub fn holds(bucket: Bucket) -> bool {
        Self::HALF.is_some_and(|half| assign(bucket, half) == Role::Canary)
    }
}

/// A rollout that is played through with requests of our own, which nobody else can make.
#[derive(Clone)]
pub struct Rehearsal {
    /// What its requests carry, 32 hexadecimal digits.
    pub token: String,
    /// The number of its service in the table.
    pub service: usize,
    /// The side that its requests go to, unless they ask for stable.
    pub to: Role,
    /// Whether those that reach the canary are failed without asking it.
    pub fail: bool,
    /// Its counters of stable.
    pub stable: SlotId,
    /// Its counters of the canary.
    pub canary: SlotId,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Service {
    /// The side that plays `role`; stable where there is no canary.
    pub fn side(&self, role: Role) -> &Side {
        match (role, &self.canary) {
            (Role::Canary, Some(canary)) => canary,
            _ => &self.stable,
        }
    }
}

impl Table {
    /// A table that matches nothing.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            services: Vec::new(),
            matcher: Arc::default(),
            rehearsals: Vec::new(),
        }
    }
}
