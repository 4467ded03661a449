//! An allocator that counts what worker threads ask for. The one place with `unsafe`: the standard
//! library offers no other way to see an allocation.

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; all is passed on to System")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes everything on to the system's allocator.
pub(crate) struct Counting;

static OF_WORKERS: AtomicU64 = AtomicU64::new(0);

/// How often a thread is asked for its name, which it gets a little after it has begun.
const QUESTIONS: u8 = 32;

#[derive(Clone, Copy)]
enum Thread {
    Unknown(u8),
    Worker,
    Other,
}

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Unknown(0)) };
}

/// How often workers have asked for memory.
pub(crate) fn allocations_of_workers() -> u64 {
    OF_WORKERS.load(Ordering::SeqCst)
}

fn count() {
    let counted = THREAD.try_with(|thread| {
        if let Thread::Unknown(asked) = thread.get() {
            // Asking allocates.
            thread.set(Thread::Other);
            let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
            thread.set(if name.starts_with("serin-worker") {
                Thread::Worker
            } else if asked < QUESTIONS {
                Thread::Unknown(asked + 1)
            } else {
                Thread::Other
            });
        }
        matches!(thread.get(), Thread::Worker)
    });
    if counted == Ok(true) {
        OF_WORKERS.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}
