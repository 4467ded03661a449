//! Every pool that is known, whether or not a table uses it now.
//!
//! Control owns the registry. It turns what the file and deploys say into [`Pool`]s, keeps an
//! endpoint as long as its address stays, and runs the checks and look-ups of each.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::health::{self, Health};
use super::{Endpoint, Pool, resolve};
use crate::config::{self, Probe, Target};

/// Names a pool: service and pool.
pub type PoolKey = (String, String);

/// The addresses of a pool's targets after a look-up.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Which pool.
    pub key: PoolKey,
    /// In the order of the targets.
    pub addresses: Vec<(Target, Vec<SocketAddr>)>,
}

/// The pools and their tasks.
#[derive(Debug)]
pub struct Registry {
    service_thread: Handle,
    changed: Arc<Notify>,
    resolved: mpsc::Sender<Resolved>,
    pools: HashMap<PoolKey, Entry>,
    /// Pools whose old endpoints still serve.
    unsettled: Vec<PoolKey>,
}

#[derive(Debug)]
struct Entry {
    /// Whether it must not be without endpoints while new ones are checked for the first time.
    serves: bool,
    /// Endpoints of before, until one of the new ones is up.
    leaving: Vec<Checked>,
    config: config::Pool,
    targets: Vec<Target>,
    addresses: Vec<(Target, Vec<SocketAddr>)>,
    checked: HashMap<(Target, SocketAddr), Checked>,
    lookup: Option<AbortHandle>,
    pool: Arc<Pool>,
}

/// An endpoint and the task that checks it.
#[derive(Debug)]
struct Checked {
    endpoint: Arc<Endpoint>,
    task: AbortHandle,
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(lookup) = &self.lookup {
            lookup.abort();
        }
    }
}

impl Registry {
    /// Runs checks and look-ups on `service_thread`; `changed` hears of health, `resolved` of names.
    pub fn new(
        service_thread: Handle,
        changed: Arc<Notify>,
        resolved: mpsc::Sender<Resolved>,
    ) -> Self {
        Self { service_thread, changed, resolved, pools: HashMap::new(), unsettled: Vec::new() }
    }

    /// Returns the pool `key` as `config` and `targets` want it. What did not change stays: the
    /// endpoints, their health, their connections. A pool that `serves` keeps its old endpoints
    /// until one of the new ones is up; one that does not must never show what it was before.
    pub fn ensure(
        &mut self,
        key: &PoolKey,
        config: &config::Pool,
        targets: &[Target],
        serves: bool,
    ) -> Arc<Pool> {
        if let Some(entry) = self.pools.get_mut(key)
            && entry.config == *config
            && entry.targets == targets
            && (serves || entry.leaving.is_empty())
        {
            entry.serves = serves;
            return Arc::clone(&entry.pool);
        }
        let before = self.pools.remove(key);
        let keep_checks = before.as_ref().is_some_and(|entry| entry.config.health == config.health);
        let mut entry = Entry {
            serves,
            leaving: Vec::new(),
            config: config.clone(),
            targets: targets.to_vec(),
            addresses: Vec::new(),
            checked: HashMap::new(),
            lookup: None,
            pool: Arc::new(Pool {
                name: key.1.clone(),
                endpoints: Box::default(),
                balance: config.balance,
                timeouts: config.timeouts,
                health_path: None,
            }),
        };
        if let Some(mut before) = before {
            if keep_checks {
                entry.checked = std::mem::take(&mut before.checked);
            } else if serves {
                entry.leaving = before.checked.drain().map(|(_, checked)| checked).collect();
            }
            entry.leaving.append(&mut before.leaving);
            let known = std::mem::take(&mut before.addresses);
            entry.addresses = known.into_iter().filter(|a| targets.contains(&a.0)).collect();
        }
        // An address needs no look-up and is there at once.
        for target in targets {
            if let Ok(ip) = target.host.parse::<IpAddr>() {
                entry.addresses.retain(|known| known.0 != *target);
                entry.addresses.push((target.clone(), vec![SocketAddr::new(ip, target.port)]));
            }
        }
        let names: Vec<Target> =
            targets.iter().filter(|t| t.host.parse::<IpAddr>().is_err()).cloned().collect();
        if !names.is_empty() {
            let task = resolve::watch(key.clone(), names, self.resolved.clone());
            entry.lookup = Some(self.service_thread.spawn(task).abort_handle());
        }
        self.rebuild(&mut entry, key);
        let pool = Arc::clone(&entry.pool);
        self.pools.insert(key.clone(), entry);
        pool
    }

    /// Takes in a look-up's result. Returns the new pool if its endpoints changed.
    pub fn resolved(&mut self, resolved: Resolved) -> Option<Arc<Pool>> {
        let mut entry = self.pools.remove(&resolved.key)?;
        for (target, addresses) in resolved.addresses {
            if !entry.targets.contains(&target) || addresses.is_empty() {
                continue;
            }
            entry.addresses.retain(|known| known.0 != target);
            entry.addresses.push((target, addresses));
        }
        let before: Vec<u64> = entry.pool.endpoints.iter().map(|e| e.id).collect();
        self.rebuild(&mut entry, &resolved.key);
        let pool = Arc::clone(&entry.pool);
        self.pools.insert(resolved.key, entry);
        (pool.endpoints.iter().map(|e| e.id).collect::<Vec<_>>() != before).then_some(pool)
    }

    /// Lets old endpoints go where a new one is up by now, and returns the pools that changed.
    pub fn settle(&mut self) -> Vec<PoolKey> {
        let mut changed = Vec::new();
        for key in std::mem::take(&mut self.unsettled) {
            let Some(mut entry) = self.pools.remove(&key) else { continue };
            let before = entry.leaving.len();
            self.rebuild(&mut entry, &key);
            if entry.leaving.len() != before {
                changed.push(key.clone());
            }
            self.pools.insert(key, entry);
        }
        changed
    }

    /// The pool `key` as it stands.
    pub fn pool(&self, key: &PoolKey) -> Option<&Arc<Pool>> {
        self.pools.get(key).map(|entry| &entry.pool)
    }

    /// Forgets pools for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&PoolKey) -> bool) {
        self.pools.retain(|key, _| keep(key));
    }

    /// Makes endpoints of the entry's addresses, old ones where they are, and a pool of them.
    fn rebuild(&mut self, entry: &mut Entry, key: &PoolKey) {
        let mut before = std::mem::take(&mut entry.checked);
        let mut endpoints = Vec::new();
        for target in &entry.targets {
            let addresses = entry.addresses.iter().find(|known| known.0 == *target);
            for address in addresses.map(|known| known.1.as_slice()).unwrap_or_default() {
                let name = (target.clone(), *address);
                let checked = before.remove(&name).unwrap_or_else(|| self.check(entry, &name));
                endpoints.push(Arc::clone(&checked.endpoint));
                entry.checked.insert(name, checked);
            }
        }
        entry.leaving.extend(before.into_values());
        entry.leaving.retain(|checked| checked.endpoint.is_available());
        if !entry.serves || endpoints.iter().any(|endpoint| endpoint.is_available()) {
            entry.leaving.clear();
        } else if !entry.leaving.is_empty() {
            endpoints.extend(entry.leaving.iter().map(|checked| Arc::clone(&checked.endpoint)));
            if !self.unsettled.contains(key) {
                self.unsettled.push(key.clone());
            }
        }
        entry.pool = Arc::new(Pool {
            name: key.1.clone(),
            endpoints: endpoints.into(),
            balance: entry.config.balance,
            timeouts: entry.config.timeouts,
            health_path: match &entry.config.health.probe {
                Probe::Http(path) => Some(path.clone()),
                Probe::Tcp | Probe::Off => None,
            },
        });
    }

    fn check(&self, entry: &Entry, (target, address): &(Target, SocketAddr)) -> Checked {
        let endpoint = Endpoint::new(target.clone(), *address, Health::Unknown);
        let rule = Arc::new(entry.config.health.clone());
        let watch = health::watch(Arc::downgrade(&endpoint), rule, Arc::clone(&self.changed));
        let task = self.service_thread.spawn(watch).abort_handle();
        Checked { endpoint, task }
    }
}
