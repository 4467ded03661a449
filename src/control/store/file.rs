//! The store of one process: a directory of small files that a person can read.
//!
//! ```text
//! services/SERVICE.json            the state, replaced as a whole, with its revision
//! intents/SERVICE.NUMBER.json      a way back that the state may not know of
//! history/SERVICE/STARTED_MS-ID-HASH.json    an ended rollout, written once
//! cookie.key                       signs issued cookies
//! lock                             held while a process has the directory open
//! ```
//!
//! A file is written aside, flushed, renamed into place, and the folder is flushed: after a crash
//! there is the old file or the new one, never half of one. An intent is not flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::disk::{Disk, Real};
use super::name::{Name, SUFFIX};
use super::{
    Change, Durability, Entry, HISTORY_MAX, Kept, Key, PutError, Revision, Store, Unusable,
};

const SERVICES: &str = "services";
const INTENTS: &str = "intents";
const HISTORY: &str = "history";
/// What is written aside ends so, and is never read.
const ASIDE: &str = ".new";

/// An open state directory. No other process may have it open.
#[derive(Clone, Debug)]
pub struct FileStore {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    _lock: Arc<File>,
}

impl FileStore {
    /// Opens, and if need be makes, the directory `dir`.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn open(dir: &Path) -> Result<Self, Unusable> {
        let unusable = |what: &str, error: &io::Error| {
            Unusable::new(format!(
                "state directory {}: {what}: {error}; set `state.path` to a directory that serin may write",
                dir.display()
            ))
        };
        let folders = [dir.to_owned(), dir.join(SERVICES), dir.join(INTENTS), dir.join(HISTORY)];
        let is_new = !folders.iter().all(|folder| folder.is_dir());
        for folder in folders {
            Real.make_folder(&folder).map_err(|e| unusable("cannot be made", &e))?;
        }
        if is_new {
            Real.sync_folder(dir).map_err(|e| unusable("cannot be flushed", &e))?;
            // The folder above may be one that we cannot open: it is there, which is what counts.
            let _ = Real.sync_folder(&dir.join(".."));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|e| unusable("cannot be written", &e))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                Unusable::new(format!(
                    "state directory {}: another serin uses it; stop that one, or give this one a `state.path` of its own",
                    dir.display()
                ))
            } else {
                unusable("cannot be locked", &error.into())
            }
        })?;
        let probe = dir.join(SERVICES).join(".probe");
        let probed = Real.write(&probe, b"").and_then(|_| Real.remove(&probe));
        probed.map_err(|e| unusable("cannot be written", &e))?;
        Ok(Self::on(dir, Arc::new(Real), lock))
    }

    /// The folders are on `disk`, and `lock` is held.
    pub(in crate::control) fn on(dir: &Path, disk: Arc<dyn Disk>, lock: File) -> Self {
        Self { dir: dir.to_owned(), disk, _lock: Arc::new(lock) }
    }

    fn state_path(&self, service: &str) -> PathBuf {
        self.dir.join(SERVICES).join(format!("{service}{SUFFIX}"))
    }

    /// The bytes of a file, `None` where it is not there.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.disk.read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `bytes` in place of the file `name` of `folder`.
    fn replace(
        &self,
        folder: &Path,
        name: &str,
        bytes: &[u8],
        durability: Durability,
    ) -> io::Result<()> {
        let aside = folder.join(format!(".{name}{ASIDE}"));
        let file = self.disk.write(&aside, bytes)?;
        // A file that is renamed before its bytes are on disk may be empty after a power loss.
        self.disk.sync(&file, &aside)?;
        self.disk.rename(&aside, &folder.join(name))?;
        match durability {
            Durability::Disk => self.disk.sync_folder(folder),
            Durability::Process => Ok(()),
        }
    }

    /// Every intent: whose, its number, its file's name; by service the oldest first.
    fn intents(&self) -> io::Result<Vec<(String, u64, String)>> {
        let mut intents = Vec::new();
        for name in self.disk.list(&self.dir.join(INTENTS))? {
            let parts = name.strip_suffix(SUFFIX).and_then(|stem| stem.rsplit_once('.'));
            if let Some((service, number)) = parts
                && let Ok(number) = number.parse()
            {
                intents.push((service.to_owned(), number, name));
            }
        }
        intents.sort_unstable();
        Ok(intents)
    }

    /// Reads the intents of `service` among `all`.
    fn intents_of(
        &self,
        service: &str,
        all: &[(String, u64, String)],
    ) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut intents = Vec::new();
        for (_, number, name) in all.iter().filter(|intent| intent.0 == service) {
            let bytes = self.read(&self.dir.join(INTENTS).join(name))?;
            intents.extend(bytes.map(|bytes| (*number, bytes)));
        }
        Ok(intents)
    }

    fn entry(&self, service: &str, intents: &[(String, u64, String)]) -> io::Result<Entry> {
        let path = self.state_path(service);
        let state = self.read(&path)?;
        Ok(Entry {
            // Whoever reads a torn state finds out, and can say more about it.
            revision: state.as_deref().and_then(|s| revision(s).ok()).unwrap_or_default(),
            state,
            intents: self.intents_of(service, intents)?,
            place: format!("state file {}", path.display()),
        })
    }

    /// The names of the ended rollouts of `only` or of all services, oldest first.
    fn kept(&self, only: Option<&str>) -> io::Result<Vec<Name>> {
        let folder = self.dir.join(HISTORY);
        let services = match only {
            Some(service) => vec![service.to_owned()],
            None => self.disk.list(&folder)?,
        };
        let mut kept = Vec::new();
        for service in services {
            match self.disk.list(&folder.join(&service)) {
                Ok(files) => {
                    kept.extend(files.into_iter().filter_map(|file| Name::of(&service, file)));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        kept.sort_unstable();
        Ok(kept)
    }

    /// Reads those that are still there: one may be removed by age at any time.
    fn read_kept(&self, names: Vec<Name>) -> Vec<Kept> {
        let read = |name: Name| {
            let path = self.dir.join(HISTORY).join(&name.service).join(&name.file);
            let place = path.display().to_string();
            match self.read(&path) {
                Ok(rollout) => Some(Kept { service: name.service, rollout: rollout?, place }),
                Err(error) => {
                    tracing::warn!(file = place, %error, "an ended rollout cannot be read");
                    None
                }
            }
        };
        names.into_iter().filter_map(read).collect()
    }

    /// Removes what is more than [`HISTORY_MAX`].
    fn prune(&self, service: &str) -> io::Result<()> {
        let kept = self.kept(Some(service))?;
        let excess = kept.len().saturating_sub(HISTORY_MAX);
        for name in &kept[..excess] {
            self.disk.remove(&self.dir.join(HISTORY).join(service).join(&name.file))?;
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<BTreeMap<String, Entry>, Unusable> {
        let unusable = |error: io::Error| {
            Unusable::new(format!(
                "state directory {}: cannot be read: {error}",
                self.dir.display()
            ))
        };
        let intents = self.intents().map_err(unusable)?;
        let files = self.disk.list(&self.dir.join(SERVICES)).map_err(unusable)?;
        let states = files.iter().filter_map(|name| name.strip_suffix(SUFFIX));
        // A service may have been rolled back before its first state was on disk.
        let mut services: BTreeSet<&str> = states.filter(|name| !name.starts_with('.')).collect();
        services.extend(intents.iter().map(|intent| intent.0.as_str()));
        let mut all = BTreeMap::new();
        for service in services {
            let entry = self.entry(service, &intents).map_err(|error| {
                let path = self.state_path(service);
                Unusable::new(format!("state file {}: cannot be read: {error}", path.display()))
            })?;
            all.insert(service.to_owned(), entry);
        }
        Ok(all)
    }

    fn get(&self, service: &str) -> io::Result<Entry> {
        self.entry(service, &self.intents()?)
    }

    fn put(
        &self,
        service: &str,
        expected: Revision,
        state: &[u8],
        durability: Durability,
    ) -> Result<Revision, PutError> {
        let path = self.state_path(service);
        let found = match self.read(&path)? {
            None => Revision::NONE,
            Some(state) => revision(&state).map_err(|error| {
                let why = format!("{}: was changed by hand and is torn ({error})", path.display());
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?,
        };
        if found != expected {
            return Err(PutError::Conflict(Box::new(self.get(service)?)));
        }
        let next = Revision(found.0 + 1);
        let numbered = with_revision(state, next)?;
        self.replace(
            &self.dir.join(SERVICES),
            &format!("{service}{SUFFIX}"),
            &numbered,
            durability,
        )?;
        Ok(next)
    }

    fn intend(&self, service: &str, number: u64, intent: &[u8]) -> io::Result<()> {
        let folder = self.dir.join(INTENTS);
        let aside = folder.join(format!(".{service}{ASIDE}"));
        self.disk.write(&aside, intent)?;
        self.disk.rename(&aside, &folder.join(format!("{service}.{number}{SUFFIX}")))
    }

    fn clear_intents(&self, service: &str, number: u64) -> io::Result<()> {
        for (of, known, name) in self.intents()? {
            if of == service && known <= number {
                self.disk.remove(&self.dir.join(INTENTS).join(name))?;
            }
        }
        Ok(())
    }

    fn archive(&self, service: &str, key: &Key, rollout: &[u8]) -> io::Result<()> {
        let all = self.dir.join(HISTORY);
        let folder = all.join(service);
        self.disk.make_folder(&folder)?;
        self.disk.sync_folder(&all)?;
        self.replace(&folder, &Name::file_of(key), rollout, Durability::Disk)?;
        // What is too much is no reason not to keep what is new.
        if let Err(error) = self.prune(service) {
            tracing::warn!(service, %error, "cannot remove old rollouts from the history");
        }
        Ok(())
    }

    fn history(&self, service: Option<&str>, limit: usize) -> io::Result<Vec<Kept>> {
        let mut names = self.kept(service)?;
        let excess = names.len().saturating_sub(limit);
        names.drain(..excess);
        Ok(self.read_kept(names))
    }

    fn find(&self, id: &str) -> io::Result<Vec<Kept>> {
        let mut names = self.kept(None)?;
        names.retain(|name| name.may_be_of(id));
        let excess = names.len().saturating_sub(HISTORY_MAX);
        names.drain(..excess);
        Ok(self.read_kept(names))
    }

    fn cookie_key(&self) -> io::Result<Vec<u8>> {
        match self.read(&self.dir.join("cookie.key"))? {
            Some(key) if key.len() >= 32 => Ok(key),
            Some(_) => Err(io::Error::other("cookie.key in the state directory is too short")),
            None => {
                let key: [u8; 32] = rand::random();
                self.replace(&self.dir, "cookie.key", &key, Durability::Disk)?;
                Ok(key.to_vec())
            }
        }
    }

    fn watch(&self) -> mpsc::Receiver<Change> {
        // Only this process has the lock, so there is nobody to hear of.
        mpsc::channel(1).1
    }
}

/// The revision that a state file holds; none in one that was written before there were any.
fn revision(state: &[u8]) -> serde_json::Result<Revision> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        revision: u64,
    }
    serde_json::from_slice(state).map(|head: Head| Revision(head.revision))
}

/// The JSON object `state` with its revision in front.
fn with_revision(state: &[u8], revision: Revision) -> io::Result<Vec<u8>> {
    let Some(rest) = state.strip_prefix(b"{").filter(|rest| rest.starts_with(b"\"")) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a state is a JSON object"));
    };
    let mut numbered = format!("{{\"revision\":{},", revision.0).into_bytes();
    numbered.extend_from_slice(rest);
    Ok(numbered)
}
