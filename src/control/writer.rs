//! Writes states to the store on a thread of its own, one after another, and says when they are
//! there. It keeps the revision of each state, so that a write by anybody else is noticed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::store::{Durability, Key, PutError, Revision, Store};

/// How many states may wait for the disk.
const QUEUE: usize = 256;
/// How many of them may be states that nothing waits for.
const IDLE: usize = QUEUE / 8;

/// What a state was read from: another one each time that it is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Base {
    revision: Revision,
    /// How often the process has read it again.
    readings: u64,
}

impl Base {
    /// Read as the process came to know the service.
    pub(super) const fn first(revision: Revision) -> Self {
        Self { revision, readings: 0 }
    }

    /// Read again, for somebody else had changed it.
    pub(super) const fn again(self, revision: Revision) -> Self {
        Self { revision, readings: self.readings + 1 }
    }
}

/// A state to write.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) service: String,
    pub(super) state: Vec<u8>,
    pub(super) durability: Durability,
    /// The last intent that this state knows of.
    pub(super) knows_intent: u64,
    /// Ended rollouts that the state no longer holds: they are kept before it is.
    pub(super) archive: Vec<(Key, Vec<u8>)>,
    pub(super) base: Base,
    /// Comes back with the answer.
    pub(super) token: u64,
}

/// A state that is on disk, or is not.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) service: String,
    pub(super) token: u64,
    pub(super) base: Base,
    /// These ended rollouts are kept, whatever became of the state.
    pub(super) archived: Vec<Key>,
    pub(super) result: Result<(), PutError>,
}

/// Writes states.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<dyn Store>,
    /// By service: what its state was last read from, and the last that was written since.
    revisions: HashMap<String, (Base, Revision)>,
}

impl Writer {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, revisions: HashMap::new() }
    }

    /// Writes what `jobs` bring until they end.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>, stored: &mpsc::Sender<Stored>) {
        while let Some(job) = jobs.blocking_recv() {
            if stored.blocking_send(self.write(job)).is_err() {
                return;
            }
        }
    }

    /// Writes one state, and before it what it no longer holds.
    pub(super) fn write(&mut self, job: Job) -> Stored {
        let mut archived = Vec::new();
        let result = self.keep(&job, &mut archived).and_then(|()| self.put(&job));
        let Job { service, token, base, .. } = job;
        Stored { service, token, base, archived, result }
    }

    fn keep(&self, job: &Job, archived: &mut Vec<Key>) -> Result<(), PutError> {
        for (key, rollout) in &job.archive {
            self.store.archive(&job.service, key, rollout)?;
            archived.push(key.clone());
        }
        Ok(())
    }

    fn put(&mut self, job: &Job) -> Result<(), PutError> {
        let expected = match self.revisions.get(&job.service) {
            Some((base, last)) if *base == job.base => *last,
            _ => job.base.revision,
        };
        let next = self.store.put(&job.service, expected, &job.state, job.durability)?;
        self.revisions.insert(job.service.clone(), (job.base, next));
        if job.durability == Durability::Disk
            && let Err(error) = self.store.clear_intents(&job.service, job.knows_intent)
        {
            // The state says that it knows of them, so they do no harm.
            tracing::warn!(service = job.service, %error, "cannot remove intents; trying again with the next write");
        }
        Ok(())
    }
}

/// Whether a state that nothing waits for may be written now: thousands of them, at the first start
/// or after a reload, must not stand before a decision.
pub(super) fn has_room(jobs: &mpsc::Sender<Job>) -> bool {
    jobs.capacity() > QUEUE - IDLE
}

/// The two ends of the queue of states.
pub(super) fn queue() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(QUEUE)
}
