//! The routing table: an immutable value that every worker reads and only control publishes.
//!
//! A request keeps the table it began with to its end, so that no request sees half a change.

mod cell;
pub mod matching;

use std::sync::Arc;

use crate::measure::SlotId;
use crate::split::issued::Issuer;
use crate::split::sticky::Source;
use crate::split::{Role, Split};
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
}

/// A pool in its role, and where it is measured.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its endpoints.
    pub pool: Arc<Pool>,
    /// Its counters.
    pub slot: SlotId,
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
        Self { generation: 0, services: Vec::new(), matcher: Arc::default() }
    }
}
