//! The requests of one connection, polled by its task. A task for each would have to be asked for,
//! moved and given back with it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

const BITS: usize = 64;

/// Requests under way, in places that are used again.
pub(super) struct Streams<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Which is polled first in the next round, so that none always finds the room taken.
    first: usize,
}

struct Place<F> {
    future: Option<F>,
    waker: Waker,
}

/// Which places were woken, a bit for each.
#[derive(Debug)]
pub(super) struct Woken {
    words: Box<[AtomicU64]>,
    /// A connection is one task and stays it, so its waker is noted once.
    connection: OnceLock<Waker>,
}

/// Wakes one place.
struct Bell {
    woken: Arc<Woken>,
    place: usize,
}

impl Woken {
    /// Has a place polled in the next round.
    pub(super) fn note(&self, place: usize) {
        self.words[place / BITS].fetch_or(1 << (place % BITS), Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.note(self.place);
        if let Some(connection) = self.woken.connection.get() {
            connection.wake_by_ref();
        }
    }
}

impl<F: Future<Output = ()> + Unpin> Streams<F> {
    /// Room for `most` at a time, rounded up.
    pub(super) fn new(most: usize) -> Self {
        let words = (0..most.div_ceil(BITS)).map(|_| AtomicU64::new(0)).collect();
        let woken = Arc::new(Woken { words, connection: OnceLock::new() });
        Self { places: Vec::new(), free: Vec::new(), woken, first: 0 }
    }

    /// Where it is noted which are to be polled.
    pub(super) fn woken(&self) -> Arc<Woken> {
        Arc::clone(&self.woken)
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Whether there is room for another.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.places.len() < self.woken.words.len() * BITS
    }

    /// Adds one, where there is room; it will be polled with those that were woken. Tells its place.
    pub(super) fn add(&mut self, future: F) -> usize {
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            let bell = Bell { woken: Arc::clone(&self.woken), place };
            self.places.push(Place { future: None, waker: Arc::new(bell).into() });
        }
        self.places[place].future = Some(future);
        self.woken.note(place);
        place
    }

    /// Gives one up, if it is still under way.
    pub(super) fn remove(&mut self, place: usize) {
        let future = self.places.get_mut(place).and_then(|place| place.future.take());
        if future.is_some() {
            self.free.push(place);
        }
    }

    /// Has one polled in the next round, without a word to the connection's task.
    pub(super) fn wake(&self, place: usize) {
        self.woken.note(place);
    }

    /// Whether any was woken.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.words.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Polls, once, each that was woken; tells whether there was one.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> bool {
        self.woken.connection.get_or_init(|| cx.waker().clone());
        let mut was_woken = false;
        let (words, count) = (self.woken.words.len(), self.places.len().max(1));
        let (first_word, first_bit) = (self.first / BITS, self.first % BITS);
        for step in 0..=words {
            // The first word is looked at twice: from the first place on, and at the end up to it.
            let looked_at = match step {
                0 => u64::MAX << first_bit,
                _ if step == words => !(u64::MAX << first_bit),
                _ => u64::MAX,
            };
            let number = (first_word + step) % words.max(1);
            let Some(word) = self.woken.words.get(number) else { break };
            if word.load(Ordering::Relaxed) & looked_at == 0 {
                continue;
            }
            let mut bits = word.fetch_and(!looked_at, Ordering::Acquire) & looked_at;
            while bits != 0 {
                let index = number * BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // A waker may be rung late, when its request has ended, or all were given up.
                let Some(place) = self.places.get_mut(index) else { continue };
                let Some(future) = &mut place.future else { continue };
                if !was_woken {
                    self.first = (index + 1) % count;
                }
                was_woken = true;
                let mut cx = Context::from_waker(&place.waker);
                if Pin::new(future).poll(&mut cx).is_ready() {
                    place.future = None;
                    self.free.push(index);
                }
            }
        }
        was_woken
    }

    /// Gives them all up.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that notes each poll, and ends when it is told to.
    fn future(
        polls: &Rc<Cell<usize>>,
        wakers: &Rc<RefCell<Vec<Waker>>>,
        ends: &Rc<Cell<bool>>,
    ) -> impl Future<Output = ()> + Unpin + use<> {
        let (polls, wakers, ends) = (Rc::clone(polls), Rc::clone(wakers), Rc::clone(ends));
        poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            wakers.borrow_mut().push(cx.waker().clone());
            if ends.get() { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    #[test]
    fn only_those_that_were_woken_are_polled() {
        let (polls, wakers, ends) = (Rc::default(), Rc::default(), Rc::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let mut streams = Streams::new(100);
        assert!(streams.is_empty() && !streams.poll(&cx));
        for _ in 0..100 {
            streams.add(future(&polls, &wakers, &ends));
        }
        assert!(streams.is_woken() && streams.poll(&cx));
        assert_eq!(polls.replace(0), 100, "new ones are polled");
        assert!(!streams.is_woken() && !streams.poll(&cx));
        for place in [0, 63, 64, 99] {
            wakers.borrow()[place].wake_by_ref();
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 4, "the connection is woken");
        assert!(streams.poll(&cx));
        assert_eq!(polls.replace(0), 4);
        // Their places are free when they have ended, and late wakers do no harm.
        ends.set(true);
        wakers.borrow().iter().for_each(Waker::wake_by_ref);
        assert!(streams.poll(&cx));
        assert!(streams.is_empty());
        wakers.borrow()[7].wake_by_ref();
        assert!(!streams.poll(&cx));
        streams.add(future(&polls, &wakers, &ends));
        assert!(streams.poll(&cx) && streams.is_empty());
        // One that is given up is not polled, and may be given up twice.
        let place = streams.add(future(&polls, &wakers, &ends));
        streams.remove(place);
        streams.remove(place);
        assert!(!streams.poll(&cx) && streams.is_empty());
    }

    #[test]
    fn each_round_begins_with_another_one() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut streams = Streams::new(100);
        for place in 0..70 {
            let order = Rc::clone(&order);
            streams.add(poll_fn(move |_| {
                order.borrow_mut().push(place);
                Poll::Pending
            }));
        }
        let cx = Context::from_waker(Waker::noop());
        for round in 0..150 {
            streams.poll(&cx);
            let want: Vec<_> = (0..70).map(|place| (place + round) % 70).collect();
            assert_eq!(order.take(), want, "round {round}");
            (0..70).for_each(|place| streams.wake(place));
        }
    }

    #[test]
    fn there_are_no_more_than_there_is_room_for() {
        let (polls, wakers, ends) = (Rc::default(), Rc::default(), Rc::new(Cell::new(true)));
        let mut streams = Streams::new(1);
        for _ in 0..BITS {
            assert!(streams.has_room());
            streams.add(future(&polls, &wakers, &ends));
        }
        assert!(!streams.has_room());
        streams.poll(&Context::from_waker(Waker::noop()));
        assert!(streams.has_room() && streams.is_empty());
    }
}
