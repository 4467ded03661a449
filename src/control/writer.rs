//! Writes states to disk on a thread of its own, one after another, and says when they are there.

use tokio::sync::mpsc;

use super::store::{Durability, Store};

/// How many states may wait for the disk.
const QUEUE: usize = 256;

/// A state to write.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) service: String,
    pub(super) json: Vec<u8>,
    pub(super) durability: Durability,
    /// The last intent whose rollback this state knows of.
    pub(super) knows_intent: u64,
    /// Comes back with the answer.
    pub(super) token: u64,
}

/// A state that is on disk, or is not.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) service: String,
    pub(super) token: u64,
    pub(super) result: std::io::Result<()>,
}

/// Writes what `jobs` bring until they end.
pub(super) fn run(store: &Store, mut jobs: mpsc::Receiver<Job>, stored: &mpsc::Sender<Stored>) {
    while let Some(job) = jobs.blocking_recv() {
        let result = write(store, &job);
        let Job { service, token, .. } = job;
        if stored.blocking_send(Stored { service, token, result }).is_err() {
            return;
        }
    }
}

fn write(store: &Store, job: &Job) -> std::io::Result<()> {
    store.save(&job.service, &job.json, job.durability)?;
    match job.durability {
        Durability::Disk => store.clear_intents(&job.service, job.knows_intent),
        Durability::Process => Ok(()),
    }
}

/// The two ends of the queue of states.
pub(super) fn queue() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(QUEUE)
}
