//! A bounded queue that never makes its writer wait: when it is full the oldest goes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue with one reader.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    max: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    dropped: u64,
}

impl<T> Queue<T> {
    /// An empty queue for at most `max`.
    pub(super) const fn new(max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false, dropped: 0 };
        Self { state: Mutex::new(state), changed: Notify::const_new(), max }
    }

    /// Adds `item`, and returns true when the oldest had to go for it.
    pub(super) fn push(&self, item: T) -> bool {
        let mut state = self.state();
        let full = state.waiting.len() >= self.max;
        if full {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        full
    }

    /// Takes the oldest; waits for one, unless it is closed.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            {
                let mut state = self.state();
                let next = state.waiting.pop_front();
                if next.is_some() || state.closed {
                    return next;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Lets the reader go once it has read what waits.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Whether nothing is added any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// How many had to go.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // It holds plain data, which a panic elsewhere cannot have left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
