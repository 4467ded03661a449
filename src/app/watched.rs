//! Sees that the configuration file changed. What follows from it is control's to decide.
//!
//! A watch tells nothing on network file systems and on some mounts, and does not say so; therefore
//! the file is also looked at now and then. Only another content counts as a change, so that a bad
//! file is complained about once, and a touch of the file is nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::folders::Events;
use crate::config::Config;
use crate::control::Handle;

/// How often the file is looked at although nothing was told.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);
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
            let events = events.follow(std::slice::from_ref(&path));
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
pub(super) fn content(path: &Path) -> Result<u64, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map(|_| xxh3_64(&bytes)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
