//! Where states and ended rollouts are kept: what control asks of a store, and nothing of how it
//! is done.
//!
//! A store maps a service to its state and guards each write by the revision that the writer has
//! seen. It also keeps *intents* (a way back that was decided, written without waiting), and the
//! rollouts that ended. It knows nothing of what is in them.
//!
//! [`FileStore`] is a directory that one process has open. The trait is cut so that etcd fits as
//! well: a [`Revision`] is the key's `mod_revision` (0: no such key), [`Store::put`] is a
//! transaction that compares it and answers with a get when it differs, and [`Store::watch`] is a
//! watch on the prefix that leaves out what this process wrote itself.

mod disk;
mod file;
mod name;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use tokio::sync::mpsc;

#[cfg(test)]
pub(super) use disk::Disk;
pub use file::FileStore;

/// How many ended rollouts a store keeps of each service.
pub const HISTORY_MAX: usize = 200;

/// Keeps what must outlive the process. Calls block until they are done.
pub trait Store: fmt::Debug + Send + Sync {
    /// Everything that is known, by service.
    ///
    /// # Errors
    /// When it cannot be read: state is never begun anew in silence.
    fn load(&self) -> Result<BTreeMap<String, Entry>, Unusable>;

    /// What is known of `service`, which may be nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, service: &str) -> io::Result<Entry>;

    /// Replaces the state of `service`, a JSON object, if its revision still is `expected`, and
    /// returns the new revision. After an error the state is the old or the new one, never half
    /// of one.
    ///
    /// # Errors
    /// A conflict when somebody else wrote in between; nothing was changed then.
    fn put(
        &self,
        service: &str,
        expected: Revision,
        state: &[u8],
        durability: Durability,
    ) -> Result<Revision, PutError>;

    /// Notes a way back of `service` under `number`, higher than those before. It survives the
    /// end of the process once this returns, and does not wait for more.
    ///
    /// # Errors
    /// When it cannot be written.
    fn intend(&self, service: &str, number: u64, intent: &[u8]) -> io::Result<()>;

    /// Forgets the intents up to `number`: a state that knows of them is kept. A later one stays,
    /// for it was written while that state was on its way.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn clear_intents(&self, service: &str, number: u64) -> io::Result<()>;

    /// Keeps an ended rollout; the same key again replaces it. It survives a power loss once this
    /// returns. Of each service the newest [`HISTORY_MAX`] are kept.
    ///
    /// # Errors
    /// When it cannot be written.
    fn archive(&self, service: &str, key: &Key, rollout: &[u8]) -> io::Result<()>;

    /// The newest `limit` ended rollouts of `service`, or of all together, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed. One that cannot be read is left out.
    fn history(&self, service: Option<&str>, limit: usize) -> io::Result<Vec<Kept>>;

    /// The ended rollouts with this id, of every service, oldest first and at most
    /// [`HISTORY_MAX`]. It may cost a look at every name that is kept, not at every rollout.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn find(&self, id: &str) -> io::Result<Vec<Kept>>;

    /// The signing key for issued cookies, made at first use.
    ///
    /// # Errors
    /// When it cannot be read or made.
    fn cookie_key(&self) -> io::Result<Vec<u8>>;

    /// Changes made by others, as they come. A store that nobody else can write ends it at once.
    fn watch(&self) -> mpsc::Receiver<Change>;
}

/// Which write of a state it is. Each write has a higher one than the write before.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

impl Revision {
    /// There is no state, or one that was written before states had revisions.
    pub const NONE: Self = Self(0);
}

/// What waits for the disk, and what need not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// Survives a power loss.
    Disk,
    /// Survives the end of the process.
    Process,
}

/// What is known of one service; by default nothing is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The state as it was put, if it was; a store may have added keys of its own.
    pub state: Option<Vec<u8>>,
    /// Which write of it this is.
    pub revision: Revision,
    /// Ways back with their numbers, oldest first. The state may know of them.
    pub intents: Vec<(u64, Vec<u8>)>,
    /// Where the state is, in words for a person who has to mend it.
    pub place: String,
}

/// Why a state was not written.
#[derive(Debug)]
pub enum PutError {
    /// Somebody else wrote: this is what is there now.
    Conflict(Box<Entry>),
    /// The store failed.
    Io(io::Error),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(_) => f.write_str("somebody else changed it"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PutError {}

impl From<io::Error> for PutError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Names an ended rollout of a service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The release's id.
    pub id: String,
}

/// An ended rollout as it was archived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Whose it is.
    pub service: String,
    /// What was archived.
    pub rollout: Vec<u8>,
    /// Where it is, in words.
    pub place: String,
}

/// Somebody else's change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of which service.
    pub service: String,
    /// What is there now.
    pub entry: Entry,
}

/// Why a store cannot be used, and what to do about it.
#[derive(Debug)]
pub struct Unusable(String);

impl Unusable {
    /// An error that says `why`.
    pub const fn new(why: String) -> Self {
        Self(why)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
pub(super) mod tests;
