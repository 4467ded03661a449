//! Which paths a pool is asked for: a bounded sample, from which the routes to report are chosen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::routes;

/// So many paths are remembered for each pool on each worker.
const PATHS_MAX: usize = 256;

/// Sampled paths of one pool on one worker.
#[derive(Default)]
pub(super) struct Samples(Mutex<HashMap<String, u64>>);

impl Samples {
    /// Counts `path`, unless the map is being read just now: a worker does not wait.
    pub(super) fn count(&self, path: &str) {
        let Ok(mut paths) = self.0.try_lock() else { return };
        let path = routes::sampled(path);
        if let Some(count) = paths.get_mut(path) {
            *count += 1;
            return;
        }
        if paths.len() >= PATHS_MAX {
            halve(&mut paths);
        }
        if paths.len() < PATHS_MAX {
            paths.insert(path.to_owned(), 1);
        }
    }

    /// Adds what was counted to `into`.
    pub(super) fn add_to(&self, into: &mut HashMap<String, u64>) {
        for (path, count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match into.get_mut(path) {
                Some(total) => *total += count,
                None => {
                    into.insert(path.clone(), *count);
                }
            }
        }
    }

    /// Lets what was seen count half as much as what will be.
    pub(super) fn age(&self) {
        halve(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Forgets what was seen once.
fn halve(paths: &mut HashMap<String, u64>) {
    paths.retain(|_, count| {
        *count /= 2;
        *count > 0
    });
}
