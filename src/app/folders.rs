//! Hears when one of some files may have changed.
//!
//! Their folders are watched and not the files, for editors, config maps and those who renew
//! certificates put another file in the place of the old one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::watched::LOOK_EVERY;

/// How long nothing may have happened before a file is read: whoever writes it is done by then.
const QUIET: Duration = Duration::from_millis(200);
/// How often it is put off at most, where something happens all the time.
const QUIET_ROUNDS: u32 = 10;

/// What the system tells about the folders in which the files lie.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) told: Arc<Notify>,
    /// Which folders these are; no others can be told of by `watcher`.
    pub(super) place: Place,
    watcher: Option<RecommendedWatcher>,
}

/// The folders that a change of a file would be seen in: its own, and that of the file that a
/// symbolic link leads to. Each with its number, for a folder may be replaced by another one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    folders: BTreeSet<(PathBuf, Option<u64>)>,
    /// What the files are called there.
    names: BTreeSet<OsString>,
}

impl Place {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut place = Self::default();
        for path in paths.iter().flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]) {
            let Some(path) = path else { continue };
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or_else(|| Path::new(".")).to_owned();
            let number = folder.metadata().ok().map(|folder| folder.ino());
            place.folders.insert((folder, number));
            place.names.extend(path.file_name().map(OsString::from));
        }
        place
    }
}

impl Events {
    /// Watches where the files lie now. It looks for them on the disk, so it may take a while.
    pub(super) fn follow(mut self, paths: &[PathBuf]) -> Self {
        let place = Place::of(paths);
        if self.place == place {
            return self;
        }
        self.place = place;
        self.watcher = match watcher(&self.place, Arc::clone(&self.told)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let every = LOOK_EVERY;
                tracing::warn!(?paths, %error, ?every, "cannot watch; what is there is looked at now and then");
                None
            }
        };
        self
    }

    /// Waits until nothing is told any more, but not for ever.
    pub(super) async fn quiet(&self) {
        for _ in 0..QUIET_ROUNDS {
            if tokio::time::timeout(QUIET, self.told.notified()).await.is_err() {
                return;
            }
        }
    }
}

fn watcher(place: &Place, told: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let names = place.names.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error may mean that events were lost.
        if event.is_err() || event.is_ok_and(|event| concerns(&event, &names)) {
            told.notify_one();
        }
    })?;
    for (folder, _) in &place.folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether `event` may have changed the content of a file that is called one of `names`. Reading it
/// is an event as well, and a log that grows beside it is a thousand.
pub(super) fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let of_the_file =
        || event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.contains(name));
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => of_the_file(),
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => of_the_file(),
        // Another name may be a link on the way to the file.
        _ => true,
    }
}
