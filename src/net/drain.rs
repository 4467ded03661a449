//! Telling a worker's connections to end, and knowing when they have.

use std::cell::{Cell, RefCell};
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
    /// In places that are used again.
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    emptied: RefCell<Option<Waker>>,
}

impl Drain {
    /// A future that completes when the drain begins. The connection counts as open until the
    /// future is dropped.
    pub fn watch(&self) -> Drained {
        self.0.open.set(self.0.open.get() + 1);
        Drained { inner: Rc::clone(&self.0), place: None }
    }

    /// Tells every connection to end.
    pub fn begin(&self) {
        self.0.begun.set(true);
        self.0.waiting.borrow_mut().iter_mut().filter_map(Option::take).for_each(Waker::wake);
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

impl Inner {
    /// Notes whom to wake, and tells where.
    fn wait(&self, waker: Waker) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            waiting[place] = Some(waker);
            return place;
        }
        waiting.push(Some(waker));
        waiting.len() - 1
    }
}

/// Completes when the drain begins.
#[derive(Debug)]
pub struct Drained {
    inner: Rc<Inner>,
    place: Option<usize>,
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.begun.get() {
            return Poll::Ready(());
        }
        // A connection is one task and stays it, so its waker is noted once.
        if self.place.is_none() {
            self.place = Some(self.inner.wait(cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.inner.waiting.borrow_mut()[place] = None;
            self.inner.free.borrow_mut().push(place);
        }
        let open = self.inner.open.get() - 1;
        self.inner.open.set(open);
        if open == 0
            && let Some(waker) = self.inner.emptied.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
