//! The state directory: one JSON file a service, replaced as a whole.
//!
//! A file is written aside, flushed, renamed into place, and the folder is flushed (so that after
//! a crash there is the old or the new state, never half of one). An *intent* says that a rollback
//! was decided; it is written without waiting for the disk, and cleared once the state says so too.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use super::live::{FORMAT, Live};
use crate::rollout::End;

/// What is known of a service: its state, and by number the ways back that it may not know of.
type Known = (Live, Vec<(u64, Intent)>);

/// Why the state directory cannot be used, and what to do about it.
#[derive(Debug)]
pub struct Unusable(String);

impl Unusable {
    pub(super) const fn new(why: String) -> Self {
        Self(why)
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// An open state directory. No other process may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    _lock: Arc<File>,
}

/// What waits for the disk, and what need not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Durability {
    /// Survives a power loss once `save` returns.
    Disk,
    /// Survives the end of the process.
    Process,
}

const SERVICES: &str = "services";
const INTENTS: &str = "intents";

impl Store {
    /// Opens, and if need be makes, the directory `dir`.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn open(dir: &Path) -> Result<Self, Unusable> {
        let unusable = |what: &str, error: &io::Error| {
            Unusable(format!(
                "state directory {}: {what}: {error}; set `state.path` to a directory that serin may write",
                dir.display()
            ))
        };
        for folder in [dir.to_owned(), dir.join(SERVICES), dir.join(INTENTS)] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|e| unusable("cannot be made", &e))?;
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
                Unusable(format!(
                    "state directory {}: another serin uses it; stop that one, or give this one a `state.path` of its own",
                    dir.display()
                ))
            } else {
                unusable("cannot be locked", &error.into())
            }
        })?;
        let probe = dir.join(SERVICES).join(".probe");
        write_file(&probe, b"").map_err(|e| unusable("cannot be written", &e))?;
        let _ = fs::remove_file(probe);
        Ok(Self { dir: dir.to_owned(), _lock: Arc::new(lock) })
    }

    /// Reads every service's state, and the rollbacks that it may not know of, oldest first.
    ///
    /// # Errors
    /// When a file is torn or of a newer version: state is never begun anew in silence.
    pub(super) fn load(&self) -> Result<BTreeMap<String, Known>, Unusable> {
        let mut all = BTreeMap::new();
        for path in json_files(&self.dir.join(SERVICES))? {
            all.insert(stem(&path), (read(&path)?, Vec::new()));
        }
        for (name, (_, intents)) in &mut all {
            for (number, path) in self.intents(name).map_err(|error| {
                Unusable(format!("{}: cannot be listed: {error}", self.dir.display()))
            })? {
                // It is renamed into place, so half of one is never seen but after a power loss.
                let intent = fs::read(path).ok();
                let intent = intent.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                intents.extend(intent.map(|intent| (number, intent)));
            }
        }
        Ok(all)
    }

    /// Replaces the state of service `name`.
    pub(super) fn save(&self, name: &str, json: &[u8], durability: Durability) -> io::Result<()> {
        let folder = self.dir.join(SERVICES);
        let aside = folder.join(format!(".{name}.new"));
        let mut file = open_new(&aside)?;
        file.write_all(json)?;
        // A file that is renamed before its bytes are on disk may be empty after a power loss.
        file.sync_data()?;
        fs::rename(&aside, self.state_path(name))?;
        if durability == Durability::Disk {
            File::open(&folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Notes that the canary of service `name` was rolled back. Does not wait for the disk.
    pub(super) fn write_intent(&self, name: &str, number: u64, intent: &Intent) -> io::Result<()> {
        let aside = self.dir.join(INTENTS).join(format!(".{name}.new"));
        write_file(&aside, &serde_json::to_vec(intent)?)?;
        fs::rename(aside, self.dir.join(INTENTS).join(format!("{name}.{number}.json")))
    }

    /// The state says what the intents up to `number` said. A later one stays: it was written
    /// while this state was on its way to the disk.
    pub(super) fn clear_intents(&self, name: &str, number: u64) -> io::Result<()> {
        for (known, path) in self.intents(name)? {
            if known <= number {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The intents of service `name` with their numbers, oldest first.
    fn intents(&self, name: &str) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut intents = Vec::new();
        for entry in fs::read_dir(self.dir.join(INTENTS))? {
            let path = entry?.path();
            let stem = stem(&path);
            let number = stem.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                intents.push((number, path));
            }
        }
        intents.sort_unstable();
        Ok(intents)
    }

    /// The signing key for issued cookies, made at first use.
    pub(super) fn cookie_key(&self) -> io::Result<Vec<u8>> {
        let path = self.dir.join("cookie.key");
        match fs::read(&path) {
            Ok(key) if key.len() >= 32 => Ok(key),
            Ok(_) => Err(io::Error::other("cookie.key in the state directory is too short")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let aside = self.dir.join(".cookie.key.new");
                let mut file = open_new(&aside)?;
                file.write_all(&key)?;
                file.sync_all()?;
                fs::rename(aside, path)?;
                Ok(key.to_vec())
            }
            Err(error) => Err(error),
        }
    }

    fn state_path(&self, name: &str) -> PathBuf {
        self.dir.join(SERVICES).join(format!("{name}.json"))
    }
}

/// A way back that was decided.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Intent {
    pub(super) back: Back,
    pub(super) decision: super::live::Decision,
}

/// What goes back.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Back {
    /// The share set by hand, to what the decision says.
    Share,
    /// A rollout.
    Rollout {
        id: String,
        /// When it began, in milliseconds since the epoch.
        started_ms: u64,
        /// How it ends.
        end: End,
        /// Whether the release is refused from now on.
        rejected: bool,
    },
}

fn read(path: &Path) -> Result<Live, Unusable> {
    let refuse = |what: String| {
        Unusable(format!(
            "state file {}: {what}. Nothing was changed. Restore it from a backup, or move it away to let this service begin with what the configuration says",
            path.display()
        ))
    };
    let bytes = fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| refuse(format!("is torn or not JSON ({error})")))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => Err(refuse(format!(
            "has format {format}, and this serin knows up to {FORMAT}: it was written by a newer version, run that one"
        ))),
        Some(_) => {
            serde_json::from_value(value).map_err(|error| refuse(format!("is damaged ({error})")))
        }
        None => Err(refuse("has no `format`".into())),
    }
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, Unusable> {
    let unusable = |e: io::Error| Unusable(format!("{}: cannot be listed: {e}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        if path.extension().is_some_and(|e| e == "json") && !stem(&path).starts_with('.') {
            files.push(path);
        }
    }
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    open_new(path)?.write_all(bytes)
}

/// Which boot of the machine this is; after another one an intent may have been lost.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
