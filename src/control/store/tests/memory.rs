//! A store in memory that behaves as one on etcd would: one counter numbers the writes of all
//! services, states hold nothing of it, and others may write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::control::store::{
    Change, Durability, Entry, HISTORY_MAX, Kept, Key, PutError, Revision, Store, Unusable,
};

#[derive(Debug, Default)]
pub(in crate::control) struct Memory(Mutex<Kv>);

#[derive(Debug, Default)]
struct Kv {
    revision: u64,
    states: BTreeMap<String, (Revision, Vec<u8>)>,
    intents: BTreeMap<(String, u64), Vec<u8>>,
    history: BTreeMap<(String, Key), Vec<u8>>,
    cookie_key: Option<Vec<u8>>,
    watching: Option<mpsc::Sender<Change>>,
    broken: bool,
}

impl Memory {
    /// One whose history cannot be read.
    pub(in crate::control) fn broken() -> Self {
        Self(Mutex::new(Kv { broken: true, ..Kv::default() }))
    }

    fn kv(&self) -> MutexGuard<'_, Kv> {
        self.0.lock().unwrap()
    }

    /// Another replica writes a state, and those who watch hear of it.
    pub(in crate::control) fn other_puts(&self, service: &str, state: &[u8]) {
        let mut kv = self.kv();
        kv.put(service, state);
        let entry = kv.entry(service);
        let change = Change { service: service.to_owned(), entry };
        if let Some(watching) = &kv.watching {
            watching.try_send(change).unwrap();
        }
    }
}

impl Kv {
    fn put(&mut self, service: &str, state: &[u8]) -> Revision {
        self.revision += 1;
        let revision = Revision(self.revision);
        self.states.insert(service.to_owned(), (revision, state.to_vec()));
        revision
    }

    fn entry(&self, service: &str) -> Entry {
        let intents = self.intents.iter().filter(|((of, _), _)| of == service);
        let state = self.states.get(service);
        Entry {
            state: state.map(|(_, state)| state.clone()),
            revision: state.map_or(Revision::NONE, |(revision, _)| *revision),
            intents: intents.map(|((_, number), intent)| (*number, intent.clone())).collect(),
            place: format!("key {service}"),
        }
    }

    fn kept(&self, wanted: impl Fn(&str, &Key) -> bool, limit: usize) -> io::Result<Vec<Kept>> {
        if self.broken {
            return Err(io::Error::other("the disk is gone"));
        }
        let wanted = self.history.iter().filter(|((of, key), _)| wanted(of, key));
        let mut kept: Vec<_> = wanted.collect();
        kept.sort_by_key(|((_, key), _)| key.started_ms);
        let excess = kept.len().saturating_sub(limit);
        let kept = kept.into_iter().skip(excess).map(|((service, _), rollout)| Kept {
            service: service.clone(),
            rollout: rollout.clone(),
            place: String::new(),
        });
        Ok(kept.collect())
    }
}

impl Store for Memory {
    fn load(&self) -> Result<BTreeMap<String, Entry>, Unusable> {
        let kv = self.kv();
        let names = kv.states.keys().chain(kv.intents.keys().map(|(of, _)| of));
        Ok(names.map(|name| (name.clone(), kv.entry(name))).collect())
    }

    fn get(&self, service: &str) -> io::Result<Entry> {
        Ok(self.kv().entry(service))
    }

    fn put(
        &self,
        service: &str,
        expected: Revision,
        state: &[u8],
        _: Durability,
    ) -> Result<Revision, PutError> {
        let mut kv = self.kv();
        let entry = kv.entry(service);
        match entry.revision == expected {
            true => Ok(kv.put(service, state)),
            false => Err(PutError::Conflict(Box::new(entry))),
        }
    }

    fn intend(&self, service: &str, number: u64, intent: &[u8]) -> io::Result<()> {
        self.kv().intents.insert((service.to_owned(), number), intent.to_vec());
        Ok(())
    }

    fn clear_intents(&self, service: &str, number: u64) -> io::Result<()> {
        self.kv().intents.retain(|(of, known), _| of != service || *known > number);
        Ok(())
    }

    fn archive(&self, service: &str, key: &Key, rollout: &[u8]) -> io::Result<()> {
        let mut kv = self.kv();
        kv.history.insert((service.to_owned(), key.clone()), rollout.to_vec());
        let of: Vec<_> = kv.history.keys().filter(|(of, _)| of == service).cloned().collect();
        for key in &of[..of.len().saturating_sub(HISTORY_MAX)] {
            kv.history.remove(key);
        }
        Ok(())
    }

    fn history(&self, service: Option<&str>, limit: usize) -> io::Result<Vec<Kept>> {
        self.kv().kept(|of, _| service.is_none_or(|service| service == of), limit)
    }

    fn find(&self, id: &str) -> io::Result<Vec<Kept>> {
        self.kv().kept(|_, key| key.id == id, HISTORY_MAX)
    }

    fn cookie_key(&self) -> io::Result<Vec<u8>> {
        Ok(self.kv().cookie_key.get_or_insert_with(|| vec![7; 32]).clone())
    }

    fn watch(&self) -> mpsc::Receiver<Change> {
        let (changes, watching) = mpsc::channel(8);
        self.kv().watching = Some(changes);
        watching
    }
}
