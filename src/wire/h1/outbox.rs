//! Bytes on their way out: at most a head and a piece of a body, which leave in one write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::slab::Slab;
use crate::net::Socket;

/// Copying up to this much behind a head is cheaper than a write of two parts.
const COPY_MAX: usize = 8 << 10;

/// What a connection is about to send.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    first: Option<Slab>,
    second: Option<Slab>,
}

impl Outbox {
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether a piece may be added. Otherwise what is here must leave first: whoever reads slowly
    /// holds one piece and no more.
    pub(crate) fn has_room(&self) -> bool {
        self.second.is_none() && self.first.as_ref().is_none_or(|first| first.len() <= COPY_MAX)
    }

    /// Adds `slab`: behind the bytes that are here where that is cheap.
    pub(crate) fn push(&mut self, slab: Slab) {
        match (&mut self.first, &mut self.second) {
            (None, _) => self.first = Some(slab),
            (Some(last), None) if slab.len() <= COPY_MAX && last.has_room(slab.len()) => {
                last.push(slab.data());
            }
            (Some(_), second @ None) => *second = Some(slab),
            (Some(_), Some(last)) => last.push(slab.data()),
        }
    }

    /// Adds `slab` as a part of its own, so that it can be taken back.
    pub(crate) fn push_apart(&mut self, slab: Slab) {
        match (&self.first, &self.second) {
            (Some(_), None) => self.second = Some(slab),
            _ => self.push(slab),
        }
    }

    /// Takes back what was pushed apart.
    pub(crate) const fn take_back(&mut self) -> Option<Slab> {
        self.second.take()
    }

    pub(crate) fn clear(&mut self) {
        (self.first, self.second) = (None, None);
    }

    /// Writes once; tells how many bytes the socket took.
    pub(crate) fn poll_write<I>(
        &mut self,
        mut io: Pin<&mut I>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        I: AsyncWrite + ?Sized,
    {
        self.poll_with(|parts| match parts {
            [whole] => io.as_mut().poll_write(cx, whole),
            parts => io.as_mut().poll_write_vectored(cx, parts),
        })
    }

    /// Writes once what nothing but the end of the connection follows. It waits for that end, which
    /// has to come at once: both leave in one packet and wake the client once.
    pub(crate) fn poll_write_last(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_with(|parts| socket.poll_write_last(cx, parts))
    }

    /// Gives what there is to `write`, and drops what that took.
    fn poll_with(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut written = match (&self.first, &self.second) {
            (None, _) => return Poll::Ready(Ok(0)),
            (Some(first), None) => ready!(write(&[first.as_io()]))?,
            (Some(first), Some(second)) => ready!(write(&[first.as_io(), second.as_io()]))?,
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let count = written;
        if let Some(first) = &mut self.first {
            let of_first = written.min(first.len());
            first.advance(of_first);
            written -= of_first;
            if first.is_empty() {
                self.first = self.second.take();
            }
        }
        if written > 0
            && let Some(first) = &mut self.first
        {
            first.advance(written);
            if first.is_empty() {
                self.first = None;
            }
        }
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
pub(in crate::wire) mod tests {
    use super::*;

    #[test]
    fn all_bytes_leave_in_order_however_few_are_taken_at_once() {
        let big = vec![b'x'; COPY_MAX + 1];
        for at_once in [1000, 7000, usize::MAX] {
            let mut outbox = Outbox::default();
            outbox.push(Slab::of(b"head "));
            outbox.push(Slab::of(b"small "));
            assert!(outbox.has_room());
            outbox.push(Slab::of(&big));
            assert!(!outbox.has_room(), "a head and a piece are all there may be");
            outbox.push(Slab::of(b" end"));
            let (mut taken, mut writes) = (Vec::new(), 0);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            while !outbox.is_empty() {
                let mut socket = Takes(at_once, &mut taken);
                let wrote = outbox.poll_write(Pin::new(&mut socket), &mut cx);
                assert!(matches!(wrote, Poll::Ready(Ok(1..))));
                writes += 1;
            }
            assert_eq!(taken, [b"head small ", &big[..], b" end"].concat());
            assert!(at_once < usize::MAX || writes == 1, "a head and a piece take one write");
        }
    }

    /// A socket that takes so many bytes of each write.
    pub(in crate::wire) struct Takes<'a>(
        pub(in crate::wire) usize,
        pub(in crate::wire) &'a mut Vec<u8>,
    );

    impl AsyncWrite for Takes<'_> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0);
            Pin::new(&mut *self.1).poll_write(cx, &bytes[..count])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
