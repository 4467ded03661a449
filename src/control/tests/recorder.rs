//! A disk in memory that keeps a copy of the state directory after every single operation, with
//! what was published and promised by then.
//!
//! It also knows what a power loss would leave: the bytes that were flushed, under the names that
//! were flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::control::Decision;
use crate::control::saved::{Back, Intent};
use crate::control::store::{Disk, Durability, FileStore};
use crate::split::Weight;
use crate::table::Cell;

/// The files of a directory by their paths in it.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What clients are served by.
#[derive(Clone, Debug, Default, Hash, PartialEq)]
pub(super) struct Published {
    pub(super) stable: String,
    pub(super) canary: Option<String>,
    pub(super) weight: Weight,
}

impl Published {
    pub(super) fn of(cell: &Cell) -> Option<Self> {
        let table = cell.load();
        let service = table.services.iter().find(|service| service.name == "shop")?;
        Some(Self {
            stable: service.stable.pool.name.clone(),
            canary: service.canary.as_ref().map(|side| side.pool.name.clone()),
            weight: service.split.weight,
        })
    }

    /// What `pool` gets of all requests.
    pub(super) fn share(&self, pool: &str) -> Weight {
        let canary = self.canary.as_deref() == Some(pool);
        match self.stable == pool {
            true => Weight::FULL,
            false if canary => self.weight,
            false => Weight::ZERO,
        }
    }
}

/// What must be found again.
#[derive(Clone, Debug, Default)]
pub(super) struct Promised {
    pub(super) decisions: Vec<Decision>,
    /// The stable pool of the last state that was stored.
    pub(super) stable: String,
}

/// The world after one operation.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) operation: String,
    /// How many operations began before the one that it is of.
    pub(super) number: usize,
    pub(super) files: Files,
    /// Files whose bytes were not flushed.
    pub(super) unflushed: BTreeSet<PathBuf>,
    pub(super) flushed: Files,
    pub(super) published: Published,
    /// The pool that is being released.
    pub(super) tried: String,
    /// After the end of the process.
    pub(super) process: Promised,
    /// After a power loss.
    pub(super) power: Promised,
    /// The pools that have been stable since the last state that survives one.
    pub(super) unwritten: BTreeSet<String>,
}

/// Done before an operation, while a state is being written; returns whether it could be done.
pub(super) type Interrupt = Box<dyn FnMut() -> bool + Send>;

/// Where the directory is said to be.
const ROOT: &str = "/state";

/// The state of service `shop`.
pub(super) const STATE: &str = "services/shop.json";

pub(super) struct Recorder {
    now: Mutex<Now>,
    interrupt: Mutex<Option<(usize, Interrupt)>>,
}

struct Now {
    files: Files,
    unflushed: BTreeSet<PathBuf>,
    flushed: Files,
    folders: BTreeSet<PathBuf>,
    flushed_folders: BTreeSet<PathBuf>,
    cell: Cell,
    published: Published,
    tried: String,
    process: Promised,
    power: Promised,
    unwritten: BTreeSet<String>,
    snapshots: Vec<Snapshot>,
    operations: usize,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// A disk with `files`, on which `tried` is being released.
    pub(super) fn new(files: Files, tried: &str) -> Self {
        let folders = ["services", "intents", "history", ""].map(PathBuf::from);
        let made = files.keys().filter_map(|path| Some(path.parent()?.to_owned()));
        let now = Now {
            folders: folders.clone().into_iter().chain(made).collect(),
            flushed: files.clone(),
            files,
            unflushed: BTreeSet::new(),
            flushed_folders: folders.into(),
            cell: Cell::default(),
            published: Published::default(),
            tried: tried.to_owned(),
            process: Promised::default(),
            power: Promised::default(),
            unwritten: BTreeSet::new(),
            snapshots: Vec::new(),
            operations: 0,
        };
        Self { now: Mutex::new(now), interrupt: Mutex::default() }
    }

    /// A store on this disk.
    pub(super) fn store(self: &Arc<Self>) -> Arc<FileStore> {
        Arc::new(FileStore::on(Path::new(ROOT), Arc::clone(self) as _, nothing()))
    }

    /// Another process publishes into `cell`.
    pub(super) fn publishes(&self, cell: &Cell) {
        self.now().cell = cell.clone();
    }

    /// From now on `pool` is the one that is released.
    pub(super) fn tries(&self, pool: &str) {
        self.now().tried = pool.to_owned();
    }

    /// `decisions` are stored, in a state with this stable pool.
    pub(super) fn promise(&self, decisions: &[Decision], stable: &str, durability: Durability) {
        let mut now = self.now();
        let now = &mut *now;
        let mut promised = vec![&mut now.process];
        if durability == Durability::Disk {
            promised.push(&mut now.power);
            now.unwritten = [stable.to_owned(), now.published.stable.clone()].into();
        }
        for promised in promised {
            promised.add(decisions);
            stable.clone_into(&mut promised.stable);
        }
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.now().snapshots.clone()
    }

    pub(super) fn files(&self) -> Files {
        self.now().files.clone()
    }

    /// Somebody edits the one file that has `part` in its path.
    pub(super) fn edit(&self, part: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut now = self.now();
        let wanted = now.files.iter_mut().filter(|(path, _)| path.to_str().unwrap().contains(part));
        let [(_, bytes)] = &mut wanted.collect::<Vec<_>>()[..] else { panic!("not one {part}") };
        edit(bytes);
    }

    /// Somebody removes the state of service `shop`.
    pub(super) fn remove_state(&self) {
        self.now().files.remove(Path::new(STATE)).unwrap();
    }

    /// Does `interrupt` before the operation number `at`, counted from the first, or as soon after
    /// it as it can be done.
    pub(super) fn interrupt(&self, at: usize, interrupt: Interrupt) {
        *self.interrupt.lock().unwrap() = Some((at, interrupt));
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap()
    }

    fn before(&self) {
        let number = self.now().operations;
        let interrupt = self.interrupt.lock().unwrap().take_if(|(at, _)| *at <= number);
        if let Some((at, mut act)) = interrupt
            && !act()
        {
            self.interrupt(at, act);
        }
        self.now().operations += 1;
    }

    /// Takes the snapshot of after an operation.
    fn after(&self, operation: &str, path: &Path) {
        let mut now = self.now();
        if let Some(published) = Published::of(&now.cell) {
            now.unwritten.insert(published.stable.clone());
            now.published = published;
        }
        let snapshot = Snapshot {
            operation: format!("{operation} {}", path.display()),
            number: now.operations - 1,
            files: now.files.clone(),
            unflushed: now.unflushed.clone(),
            flushed: now.flushed.clone(),
            published: now.published.clone(),
            tried: now.tried.clone(),
            process: now.process.clone(),
            power: now.power.clone(),
            unwritten: now.unwritten.clone(),
        };
        now.snapshots.push(snapshot);
    }
}

fn inside(path: &Path) -> PathBuf {
    path.strip_prefix(ROOT).unwrap().to_owned()
}

/// A file that is none.
fn nothing() -> File {
    File::open("/dev/null").unwrap()
}

impl Promised {
    fn add(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            if !self.decisions.contains(decision) {
                self.decisions.push(decision.clone());
            }
        }
    }
}

impl Disk for Recorder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.now().files.get(&inside(path)).cloned();
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (folder, now) = (inside(folder), self.now());
        if !now.folders.contains(&folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = now.files.keys().chain(&now.folders);
        let inside = all.filter(|path| path.parent() == Some(&folder));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.before();
        let folder = inside(folder);
        self.now().folders.insert(folder.clone());
        self.after("make", &folder);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        self.before();
        let path = inside(path);
        self.now().unflushed.insert(path.clone());
        // It does not grow by itself: there is an empty one, half of one, and all of it.
        for end in [0, bytes.len() / 2, bytes.len()] {
            self.now().files.insert(path.clone(), bytes[..end].to_vec());
            self.after(&format!("write {end} bytes of"), &path);
        }
        Ok(nothing())
    }

    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        self.before();
        let path = inside(path);
        self.now().unflushed.remove(&path);
        self.after("flush", &path);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.before();
        let folder = inside(folder);
        let mut now = self.now();
        now.flush_folder(&folder);
        drop(now);
        self.after("flush folder", &folder);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before();
        let (from, to) = (inside(from), inside(to));
        let mut now = self.now();
        let bytes = now.files.remove(&from).unwrap();
        if now.unflushed.remove(&from) {
            now.unflushed.insert(to.clone());
        } else {
            now.unflushed.remove(&to);
        }
        if to.starts_with("intents") {
            let Intent { back, decision } = serde_json::from_slice(&bytes).unwrap();
            now.process.add(&[decision]);
            if let Back::Rollout { record: Some(rollout), .. } = back {
                now.process.add(&rollout.decisions);
            }
        }
        now.files.insert(to.clone(), bytes);
        drop(now);
        self.after("rename to", &to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.before();
        let path = inside(path);
        self.now().files.remove(&path);
        self.after("remove", &path);
        Ok(())
    }
}

impl Now {
    /// The names in `folder` are on disk now, if the folder is. A file whose bytes are not is empty.
    fn flush_folder(&mut self, folder: &Path) {
        let inside = |path: &Path| path.parent() == Some(folder);
        let made: Vec<_> = self.folders.iter().filter(|path| inside(path)).cloned().collect();
        self.flushed_folders.extend(made);
        if !self.flushed_folders.contains(folder) {
            return;
        }
        self.flushed.retain(|path, _| !inside(path));
        for (path, bytes) in self.files.iter().filter(|(path, _)| inside(path)) {
            let lost = self.unflushed.contains(path);
            let bytes = if lost { Vec::new() } else { bytes.clone() };
            self.flushed.insert(path.clone(), bytes);
        }
    }
}
