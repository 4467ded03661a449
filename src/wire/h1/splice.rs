//! Large bodies between two plain sockets: the kernel moves the bytes through a pipe, and none of
//! them is copied into this process.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::net::Socket;

/// Bodies with less than this to come are copied: that costs less than what a pipe costs.
pub(crate) const WORTH: u64 = 256 << 10;
/// What a pipe holds, where the system allows it.
const SIZE: usize = 256 << 10;
/// How many empty pipes a worker keeps for later.
const SPARE_MAX: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<(OwnedFd, OwnedFd)>> = const { RefCell::new(Vec::new()) };
}

/// Bytes on their way, held by the kernel.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The end to read from, and the one to write to.
    ends: Option<(OwnedFd, OwnedFd)>,
    held: usize,
}

impl Pipe {
    /// An empty one; `None` where the system has none left.
    pub(crate) fn new() -> Option<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let ends = spare.or_else(|| {
            let ends = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            if let Err(error) = fcntl_setpipe_size(&ends.1, SIZE) {
                tracing::debug!(%error, "pipes stay as small as they are");
            }
            Some(ends)
        });
        ends.map(|ends| Self { ends: Some(ends), held: 0 })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes in at most `most` bytes of `from`. 0 means that nothing more will come.
    pub(crate) fn poll_fill(
        &mut self,
        from: &mut Socket,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some((_, end)) = &self.ends else { return Poll::Ready(Ok(0)) };
        let most = usize::try_from(most).unwrap_or(SIZE).min(SIZE);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let read = |from: BorrowedFd<'_>| Ok((splice(from, None, end, None, most, flags)?, false));
        let count = ready!(from.poll_from(cx, read))?;
        self.held += count;
        Poll::Ready(Ok(count))
    }

    /// Gives to `to` as much as it takes.
    pub(crate) fn poll_drain(
        &mut self,
        to: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some((end, _)) = &self.ends else { return Poll::Ready(Ok(0)) };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match ready!(to.poll_to(cx, |to| splice(end, None, to, None, self.held, flags)))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => {
                self.held -= count;
                Poll::Ready(Ok(count))
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // One with bytes in it would give them to somebody else.
        if self.is_empty()
            && let Some(ends) = self.ends.take()
        {
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < SPARE_MAX {
                    spare.push(ends);
                }
            });
        }
    }
}
