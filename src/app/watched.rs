//! Sees that the configuration file changed. What follows from it is control's to decide.
//!
//! The folder is watched and not the file, for editors and config maps put another file in its
//! place. A watch tells nothing on network file systems and on some mounts, and does not say so;
//! therefore the file is also looked at now and then. Only another content counts as a change, so
//! that a bad file is complained about once, and a touch of the file is nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::control::Handle;

/// How long nothing may have happened before the file is read: whoever writes it is done by then.
const QUIET: Duration = Duration::from_millis(200);
/// How often it is put off at most, where something happens all the time.
const QUIET_ROUNDS: u32 = 10;
/// How often the file is looked at although nothing was told.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// No configuration is longer; what is beyond it counts for nothing.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file whose changes are waited for.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    look_every: Duration,
    /// The content that was last acted upon.
    known: Option<u64>,
    /// What was last said about a file that cannot be read.
    trouble: Option<String>,
    events: Events,
}

impl Watched {
    /// Waits for changes of the file at `path`, which was read as `running`.
    pub(super) fn new(path: &Path, running: &Config) -> Self {
        let mut watched = Self::at(path, LOOK_EVERY);
        // It may have changed since it was read.
        if Config::load(path).ok().as_ref() != Some(running) {
            watched.known = None;
        }
        watched
    }

    fn at(path: &Path, look_every: Duration) -> Self {
        Self {
            path: path.to_owned(),
            look_every,
            known: content(path).ok(),
            trouble: None,
            events: Events::default(),
        }
    }

    /// Asks control to read the file again whenever it changed. Control says what came of it.
    pub(super) async fn run(mut self, handle: Handle) {
        loop {
            self.changed().await;
            tracing::info!(path = %self.path.display(), "the file changed; it is read again");
            let _logged = handle.reload().await;
        }
    }

    /// Completes when the file's content is another one than before.
    async fn changed(&mut self) {
        loop {
            if self.look().await {
                return;
            }
            let told = tokio::time::timeout(self.look_every, self.events.told.notified()).await;
            if told.is_ok() {
                self.events.quiet().await;
            }
        }
    }

    /// Looks at the file, and says whether its content is another one.
    async fn look(&mut self) -> bool {
        let (path, events) = (self.path.clone(), std::mem::take(&mut self.events));
        // The file may lie on a disk that is slow today, and this thread has others to serve.
        let looked = tokio::task::spawn_blocking(move || {
            // Watched before it is read: a change in between is told, and not missed.
            let events = events.follow(&path);
            (events, content(&path))
        });
        let Ok((events, content)) = looked.await else { return false };
        self.events = events;
        match content {
            Ok(content) => {
                self.trouble = None;
                self.known.replace(content) != Some(content)
            }
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    let path = self.path.display();
                    tracing::warn!(%path, why, "cannot read the file; what was read before stays");
                    self.trouble = Some(why);
                }
                false
            }
        }
    }
}

/// What stands for the content of the file at `path`.
fn content(path: &Path) -> Result<u64, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map(|_| xxh3_64(&bytes)).map_err(|error| error.to_string())
}

/// What the system tells about the folders in which the file lies.
#[derive(Debug, Default)]
struct Events {
    told: Arc<Notify>,
    /// Which folders these are; no others can be told of by `watcher`.
    place: Place,
    watcher: Option<RecommendedWatcher>,
}

/// The folders that a change of the file would be seen in: its own, and that of the file that a
/// symbolic link leads to. Each with its number, for a folder may be replaced by another one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Place {
    folders: BTreeSet<(PathBuf, Option<u64>)>,
    /// What the file is called there.
    names: BTreeSet<OsString>,
}

impl Place {
    fn of(path: &Path) -> Self {
        let mut place = Self::default();
        for path in [Some(path.to_owned()), path.canonicalize().ok()].into_iter().flatten() {
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
    /// Watches where the file lies now.
    fn follow(mut self, path: &Path) -> Self {
        let place = Place::of(path);
        if self.place == place {
            return self;
        }
        self.place = place;
        self.watcher = match watcher(&self.place, Arc::clone(&self.told)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let (path, every) = (path.display(), LOOK_EVERY);
                tracing::warn!(%path, %error, ?every, "cannot watch the file; it is looked at now and then");
                None
            }
        };
        self
    }

    /// Waits until nothing is told any more, but not for ever.
    async fn quiet(&self) {
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

/// Whether `event` may have changed the content of the file that is called one of `names`. Reading
/// it is an event as well, and a log that grows beside it is a thousand.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
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

#[cfg(test)]
mod tests;
