//! Frames on their way out. What comes together in one turn of a connection leaves in one write, and
//! under TLS in as few records as there can be.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::frame::{FrameHead, HEAD};
use crate::wire::h1::slab::Slab;

/// Beyond this much, answers wait and nothing more is read.
const ENOUGH: usize = 64 << 10;

/// Frames to be written.
#[derive(Debug, Default)]
pub(super) struct Out {
    slabs: VecDeque<Slab>,
    /// Whether what has left is held back below.
    is_held_back: bool,
}

impl Out {
    /// Whether nothing is left to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.slabs.is_empty() && !self.is_held_back
    }

    /// Whether the client has to take some of it before there is more.
    pub(super) fn is_full(&self) -> bool {
        self.slabs.len() > 1 || self.slabs.front().is_some_and(|slab| slab.len() >= ENOUGH)
    }

    /// Adds a frame, whose length is that of `payload`.
    pub(super) fn push(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = FrameHead { length: payload.len(), kind, flags, stream };
        let needed = HEAD + payload.len();
        let slab = match self.slabs.back_mut() {
            Some(last) if last.has_room(needed) => last,
            _ => self.slabs.push_back_mut(Slab::new()),
        };
        slab.push(&head.bytes());
        slab.push(payload);
    }

    /// Writes all of it; tells in `moved` whether the client took any.
    pub(super) fn poll_drain<I: AsyncWrite + ?Sized>(
        &mut self,
        mut io: Pin<&mut I>,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(first) = self.slabs.front() {
            let written = match self.slabs.get(1) {
                None => io.as_mut().poll_write(cx, first.data()),
                Some(second) => {
                    io.as_mut().poll_write_vectored(cx, &[first.as_io(), second.as_io()])
                }
            };
            let mut count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            (*moved, self.is_held_back) = (true, true);
            while let Some(slab) = self.slabs.front_mut() {
                let of_this = count.min(slab.len());
                slab.advance(of_this);
                count -= of_this;
                if !slab.is_empty() {
                    break;
                }
                self.slabs.pop_front();
            }
        }
        if self.is_held_back {
            // TLS may hold some of it.
            ready!(io.poll_flush(cx))?;
            self.is_held_back = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::DATA;
    use super::*;
    use crate::wire::h1::outbox::tests::Takes;

    #[test]
    fn all_frames_leave_in_order_however_few_bytes_are_taken_at_once() {
        for at_once in [1000, 50_000, usize::MAX] {
            let (mut out, mut taken, mut all) = (Out::default(), Vec::new(), Vec::new());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for number in 0..12 {
                assert_eq!(out.is_full(), number >= 4, "{number} frames");
                let payload = [number; 16 << 10];
                out.push(DATA, 0, 7, &payload);
                all.extend([&[0, 0x40, 0, DATA, 0, 0, 0, 0, 7][..], &payload].concat());
            }
            let mut moved = false;
            let mut socket = Takes(at_once, &mut taken);
            let drained = out.poll_drain(Pin::new(&mut socket), &mut moved, &mut cx);
            assert!(matches!(drained, Poll::Ready(Ok(()))) && moved && out.is_empty());
            assert!(taken == all, "{at_once} at once");
        }
    }
}
