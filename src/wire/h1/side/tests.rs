use std::collections::VecDeque;

use tokio::io::ReadBuf;

use super::*;

/// Takes whatever is written, as TLS does, and sends as much of it as there is room for.
#[derive(Default)]
struct Hoards {
    taken: VecDeque<u8>,
    sent: Vec<u8>,
    room: usize,
}

impl Hoards {
    fn pass_on(&mut self) {
        let count = self.taken.len().min(self.room);
        self.sent.extend(self.taken.drain(..count));
        self.room -= count;
    }
}

impl AsyncRead for Hoards {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoards {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken.extend(bytes);
        self.pass_on();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pass_on();
        if self.taken.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Io for Hoards {
    fn reset_at_close(&self) {}

    fn is_broken(&self) -> bool {
        false
    }

    fn holds_back(&self) -> bool {
        !self.taken.is_empty()
    }
}

#[test]
fn what_is_held_back_below_is_not_written_until_it_is_flushed() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut side = Side::new(Hoards { room: 4, ..Hoards::default() });
    assert!(side.is_written());
    side.outbox.push(Slab::of(b"an answer"));
    assert!(!side.is_written());
    assert!(matches!(side.poll_write(&mut cx), Poll::Ready(Ok(9))));
    assert!(side.outbox.is_empty() && !side.is_written(), "it is with nobody yet");
    assert!(side.poll_write(&mut cx).is_pending());
    side.io.room = 3;
    assert!(side.poll_write(&mut cx).is_pending());
    side.io.room = 3;
    assert!(matches!(side.poll_write(&mut cx), Poll::Ready(Ok(0))));
    assert!(side.is_written());
    assert_eq!(side.io.sent, b"an answer");
}
