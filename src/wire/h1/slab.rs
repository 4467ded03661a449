//! Buffers that bytes pass through. A connection holds one only while it has bytes in it; they
//! come from its worker's stock and go back there, so that waiting costs no memory.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;

use tokio::io::{AsyncRead, ReadBuf};

/// What one read may bring: 64 KB of body and the head before it.
const SIZE: usize = 68 << 10;
/// Room before the bytes, for the size line of a chunk.
const BEFORE: usize = 16;
/// Room after the bytes, for the end of a chunk and of the last one.
const AFTER: usize = 16;
const WHOLE: usize = BEFORE + SIZE + AFTER;
/// How many buffers a worker keeps for later.
const SPARE_MAX: usize = 64;
/// What fits into a small buffer, where it may have to wait.
pub(crate) const SMALL: usize = 4 << 10;
const SMALL_WHOLE: usize = BEFORE + SMALL + AFTER;
const SMALL_SPARE_MAX: usize = 1024;

type Spare = RefCell<Vec<Vec<u8>>>;

thread_local! {
    static SPARE: Spare = const { RefCell::new(Vec::new()) };
    static SMALL_SPARE: Spare = const { RefCell::new(Vec::new()) };
}

/// A buffer of `size` that was used before, or a new one.
fn buffer(stock: &'static LocalKey<Spare>, size: usize) -> Vec<u8> {
    let spare = stock.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| vec![0; size])
}

/// Some bytes, with room to grow on both sides.
#[derive(Debug)]
pub(crate) struct Slab {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Slab {
    /// An empty one of full size.
    pub(crate) fn new() -> Self {
        Self { bytes: buffer(&SPARE, WHOLE), start: BEFORE, end: BEFORE }
    }

    /// An empty one of small size.
    fn small() -> Self {
        Self { bytes: buffer(&SMALL_SPARE, SMALL_WHOLE), start: BEFORE, end: BEFORE }
    }

    /// A copy of `bytes`; a small one where they fit into it.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut slab = if bytes.len() <= SMALL { Self::small() } else { Self::new() };
        slab.push(bytes);
        slab
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn as_io(&self) -> IoSlice<'_> {
        IoSlice::new(self.data())
    }

    /// Drops the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Keeps the first `count` bytes.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// Appends `more`; grows where it must.
    pub(crate) fn push(&mut self, more: &[u8]) {
        let end = self.end + more.len();
        if end > self.bytes.len() {
            self.bytes.resize(end + AFTER, 0);
        }
        self.bytes[self.end..end].copy_from_slice(more);
        self.end = end;
    }

    /// Whether `count` more bytes fit as it is.
    pub(crate) const fn has_room(&self, count: usize) -> bool {
        self.end + count + AFTER <= self.bytes.len()
    }

    /// Puts `less` before the bytes, into the room that is always there.
    pub(crate) fn put_before(&mut self, less: &[u8]) {
        debug_assert!(less.len() <= self.start, "no room before the bytes");
        let start = self.start.saturating_sub(less.len());
        self.bytes[start..self.start].copy_from_slice(&less[..self.start - start]);
        self.start = start;
    }

    /// Takes off what follows the first `count` bytes.
    pub(crate) fn split_off(&mut self, count: usize) -> Option<Self> {
        let rest = self.data().get(count..).filter(|rest| !rest.is_empty()).map(Self::of);
        self.truncate(count);
        rest
    }

    /// Reads once, for as much as there is room, and at most `most`. 0 means that nothing more will
    /// come.
    pub(crate) fn poll_fill<I>(
        &mut self,
        mut io: Pin<&mut I>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        I: AsyncRead + ?Sized,
    {
        if self.bytes.len() < self.end + SMALL {
            // It was shrunk, or the head in it is longer than most.
            let mut bigger = Self::new();
            bigger.push(self.data());
            if bigger.bytes.len() < bigger.end + SMALL {
                bigger.bytes.resize(bigger.end * 2, 0);
            }
            *self = bigger;
        }
        let room = &mut self.bytes[self.end..];
        let most = most.min(room.len() - AFTER);
        let mut buffer = ReadBuf::new(&mut room[..most]);
        ready!(io.as_mut().poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Moves to a small buffer where only a little is in this one: it may have to wait, and the
    /// large one is still in the cache for whoever reads next.
    pub(crate) fn shrink(&mut self) {
        if self.len() <= SMALL && self.bytes.len() >= WHOLE {
            let mut small = Self::small();
            small.push(self.data());
            *self = small;
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let (stock, most) = match bytes.len() {
            WHOLE => (&SPARE, SPARE_MAX),
            SMALL_WHOLE => (&SMALL_SPARE, SMALL_SPARE_MAX),
            _ => return,
        };
        // At the end of the thread there is no stock any more.
        let _ = stock.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < most {
                spare.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_room_on_both_sides() {
        let mut slab = Slab::of(b"GET / HTTP/1.1\r\n\r\nbody+next");
        slab.advance(18);
        let rest = slab.split_off(4).unwrap();
        assert_eq!((slab.data(), rest.data()), (&b"body"[..], &b"+next"[..]));
        slab.put_before(b"4\r\n");
        slab.push(b"\r\n0\r\n\r\n");
        assert_eq!(slab.data(), b"4\r\nbody\r\n0\r\n\r\n");
        assert!(slab.split_off(99).is_none());
    }

    #[test]
    fn buffers_of_both_sizes_are_used_again() {
        let stocks = [&SPARE, &SMALL_SPARE];
        stocks.iter().for_each(|stock| stock.with(|spare| spare.borrow_mut().clear()));
        let lengths = || stocks.map(|stock| stock.with(|spare| spare.borrow().len()));
        let mut slab = Slab::new();
        slab.push(b"half a head");
        assert_eq!(lengths(), [0, 0]);
        slab.shrink();
        assert_eq!((lengths(), slab.data()), ([1, 0], &b"half a head"[..]));
        drop(slab);
        assert_eq!(lengths(), [1, 1]);
        let mut again = Slab::of(&[7; SMALL]);
        assert_eq!((lengths(), again.data()), ([1, 0], &[7; SMALL][..]));
        again.shrink();
        assert_eq!(lengths(), [1, 0], "it is small");
        let mut big = Slab::of(&[7; SMALL + 1]);
        big.shrink();
        assert_eq!(lengths(), [0, 0], "too much for a small one");
    }

    #[test]
    fn a_full_one_grows_when_it_is_read_into() {
        let mut slab = Slab::of(&[7; SIZE]);
        let mut more = &[8u8; 5000][..];
        let waker = std::task::Waker::noop();
        let read = slab.poll_fill(Pin::new(&mut more), usize::MAX, &mut Context::from_waker(waker));
        assert!(matches!(read, Poll::Ready(Ok(n)) if n > 0));
        assert_eq!((slab.data()[0], slab.data()[SIZE]), (7, 8));
    }
}
