//! Makes tables of services and publishes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::service::{Pools, Service};
use crate::measure::SlotId;
use crate::measure::routes::Routes;
use crate::split::{Role, Split};
use crate::table::{self, Cell, Matcher, Rehearsal, Side, Table};
use crate::upstream::Pool;
use crate::upstream::registry::Registry;

/// Whose counters a slot holds.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Owner {
    pub(super) service: String,
    pub(super) pool: String,
    pub(super) cohort: Cohort,
}

/// Whose requests a slot counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Cohort {
    /// A pool's.
    Pool,
    /// Those of the half of stable that is measured apart.
    Half,
    /// Those of a rehearsal.
    Rehearsal,
}

/// Owns the one cell, and everything that a table is made of.
#[derive(Debug)]
pub(super) struct Publisher {
    cell: Cell,
    pub(super) registry: Registry,
    slots: HashMap<Owner, SlotId>,
    /// Where the release before was counted.
    spare: HashMap<Owner, SlotId>,
    /// Whose slot is whose, by the slot's number.
    owners: Vec<Owner>,
    /// The rehearsals under way, by service.
    rehearsals: BTreeMap<String, Rehearsal>,
    matcher: Arc<Matcher>,
    services: Vec<Arc<table::Service>>,
    pub(super) generation: u64,
}

impl Publisher {
    pub(super) fn new(cell: Cell, registry: Registry) -> Self {
        Self {
            cell,
            registry,
            slots: HashMap::new(),
            spare: HashMap::new(),
            owners: Vec::new(),
            rehearsals: BTreeMap::new(),
            matcher: Arc::default(),
            services: Vec::new(),
            generation: 0,
        }
    }

    /// The pools of `service` as they should be now.
    pub(super) fn pools(&mut self, service: &Service) -> Option<Pools> {
        let stable = self.pool(service, &service.live.stable)?;
        let canary = service.live.canary.as_ref().and_then(|name| self.pool(service, name));
        Some(Pools { stable, canary })
    }

    /// Pool `name` of `service` as it should be now.
    pub(super) fn pool(&mut self, service: &Service, name: &str) -> Option<Arc<Pool>> {
        let config = service.config.pools.get(name)?;
        let key = (service.config.name.clone(), name.to_owned());
        let targets = service.live.targets(name, &service.config);
        let serves = name == service.live.stable;
        let pool = self.registry.ensure(&key, config, targets, serves);
        let drained = service.live.pools.get(name).map(|live| &live.drained);
        for endpoint in &pool.endpoints {
            endpoint.set_drained(drained.is_some_and(|drained| drained.contains(&endpoint.target)));
        }
        Some(pool)
    }

    /// Publishes all of `services` anew, with what they match.
    pub(super) fn publish_all(&mut self, services: &mut BTreeMap<String, Service>) {
        self.registry.retain(|(service, pool)| {
            services.get(service).is_some_and(|service| service.config.pools.contains_key(pool))
        });
        self.rehearsals.retain(|service, _| {
            services.get(service).is_some_and(|service| service.rehearsing.is_some())
        });
        self.generation += 1;
        let mut all = Vec::with_capacity(services.len());
        for service in services.values_mut() {
            service.generation = self.generation;
            all.extend(self.service(service).map(Arc::new));
        }
        // The matcher numbers services as the table does.
        let listed = all.iter().filter_map(|service| services.get(&service.name));
        self.matcher = Arc::new(Matcher::new(listed.map(|service| &service.config)));
        self.services = all;
        self.swap();
    }

    /// Publishes `service` anew; the others stay as they are.
    pub(super) fn publish(&mut self, service: &mut Service) {
        let Some(new) = self.service(service).map(Arc::new) else { return };
        self.generation += 1;
        service.generation = self.generation;
        if let Ok(at) = self.services.binary_search_by(|known| known.name.cmp(&new.name)) {
            self.services[at] = new;
        }
        self.swap();
    }

    fn swap(&self) {
        let number = |name: &str| self.services.binary_search_by(|known| (*known.name).cmp(name));
        let rehearsals = self.rehearsals.iter().filter_map(|(name, rehearsal)| {
            let service = number(name).ok()?;
            Some(Rehearsal { service, ..rehearsal.clone() })
        });
        self.cell.publish(Arc::new(Table {
            generation: self.generation,
            services: self.services.clone(),
            matcher: Arc::clone(&self.matcher),
            rehearsals: rehearsals.collect(),
        }));
    }

    /// Lets a rehearsal of the service `name` begin, or end.
    pub(super) fn rehearse(&mut self, name: &str, rehearsal: Option<Rehearsal>) {
        match rehearsal {
            Some(rehearsal) => self.rehearsals.insert(name.to_owned(), rehearsal),
            None => self.rehearsals.remove(name),
        };
        self.generation += 1;
        self.swap();
    }

    /// Takes the way back of a rehearsal.
    pub(super) fn roll_back_rehearsal(&mut self, name: &str) {
        if let Some(rehearsal) = self.rehearsals.get_mut(name) {
            rehearsal.to = Role::Stable;
            self.generation += 1;
            self.swap();
        }
    }

    fn service(&mut self, service: &Service) -> Option<table::Service> {
        let Pools { stable, canary } = self.pools(service)?;
        let name = service.config.name.clone();
        let mut side = |pool: Arc<Pool>| {
            let slot = self.slot(&name, &pool.name, Cohort::Pool)?;
            Some(Side { pool, slot })
        };
        let (stable, canary) = (side(stable), canary.and_then(&mut side));
        let Some(stable) = stable else {
            tracing::error!(service = name, "more pools than can be measured");
            return None;
        };
        let placebo = service.live.next_salt.filter(|_| service.is_placebo());
        let placebo = placebo.and_then(|salt| {
            let slot = self.slot(&name, &stable.pool.name, Cohort::Half)?;
            Some(table::Placebo { salt, slot })
        });
        Some(table::Service {
            split: Split { weight: service.live.share(), salt: service.live.salt },
            sticky: service.config.sticky.clone(),
            issuer: service.issuer.clone(),
            force: service.config.force.clone(),
            stable,
            canary,
            routes: Arc::new(Routes::new(service.live.routes().iter().cloned())),
            placebo,
            name,
        })
    }

    /// From now on another version runs in a pool. It is counted in another place, for requests of
    /// the one before may still be under way; a third finds the place of the first.
    pub(super) fn turn(&mut self, service: &str, pool: &str) {
        let (service, pool) = (service.to_owned(), pool.to_owned());
        let owner = Owner { service, pool, cohort: Cohort::Pool };
        let next = self.spare.remove(&owner);
        self.spare.extend(self.slots.remove(&owner).map(|before| (owner.clone(), before)));
        self.slots.extend(next.map(|next| (owner, next)));
    }

    /// Whose counters are in `slot`, and whether they are those of the version that runs there now.
    pub(super) fn owner(&self, slot: SlotId) -> Option<(&Owner, bool)> {
        let owner = self.owners.get(slot.index())?;
        Some((owner, self.slots.get(owner) == Some(&slot)))
    }

    /// Where the requests of `cohort` to a pool are counted, if it has such a place.
    pub(super) fn known_slot(&self, service: &str, pool: &str, cohort: Cohort) -> Option<SlotId> {
        let (service, pool) = (service.to_owned(), pool.to_owned());
        self.slots.get(&Owner { service, pool, cohort }).copied()
    }

    /// Where the requests of `cohort` to a pool are counted.
    pub(super) fn slot(&mut self, service: &str, pool: &str, cohort: Cohort) -> Option<SlotId> {
        let owner = Owner { service: service.to_owned(), pool: pool.to_owned(), cohort };
        if let Some(slot) = self.slots.get(&owner) {
            return Some(*slot);
        }
        let slot = SlotId::new(self.owners.len())?;
        self.owners.push(owner.clone());
        self.slots.insert(owner, slot);
        Some(slot)
    }
}
