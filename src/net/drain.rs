//! Telling a worker's connections to end, and knowing when they have.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One worker's drain: thread-local, so that waiting for it costs a connection one flag.
#[derive(Clone, Debug, Default)]
pub struct Drain(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: Cell<bool>,
    open: Cell<usize>,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, Waker>>,
    emptied: RefCell<Option<Waker>>,
}

impl Drain {
    /// A future that completes when the drain begins. The connection counts as open until the
    /// future is dropped.
    pub fn watch(&self) -> Drained {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        self.0.open.set(self.0.open.get() + 1);
        Drained { inner: Rc::clone(&self.0), number, waits: false }
    }

    /// Tells every connection to end.
    pub fn begin(&self) {
        self.0.begun.set(true);
        for (_, waker) in self.0.waiting.borrow_mut().drain() {
            waker.wake();
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.0.open.get()
    }

    /// Completes when no connection is open.
    pub async fn empty(&self) {
        poll_fn(|cx| {
            if self.0.open.get() == 0 {
                return Poll::Ready(());
            }
            *self.0.emptied.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Completes when the drain begins.
#[derive(Debug)]
pub struct Drained {
    inner: Rc<Inner>,
    number: u64,
    waits: bool,
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.begun.get() {
            return Poll::Ready(());
        }
        // A connection is one task and stays it, so its waker is noted once.
        if !self.waits {
            self.inner.waiting.borrow_mut().insert(self.number, cx.waker().clone());
            self.waits = true;
        }
        Poll::Pending
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.inner.waiting.borrow_mut().remove(&self.number);
        let open = self.inner.open.get() - 1;
        self.inner.open.set(open);
        if open == 0
            && let Some(waker) = self.inner.emptied.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
