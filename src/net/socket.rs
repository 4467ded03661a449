//! A TCP socket, towards a client or an upstream.
//!
//! The runtime's own is always told when it can be written to. That is so from the beginning, so
//! each new connection woke its worker once for nothing; and one that is shut down wakes it again.
//! This one waits for bytes, for room only when there was none, and for nothing once it is shut
//! down.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A TCP connection. One task at a time polls it.
#[derive(Debug, Default)]
pub struct Socket(Waits);

/// What the runtime is to tell us.
#[derive(Debug, Default)]
enum Waits {
    /// Nothing.
    ForNothing(TcpStream),
    /// That it can be read from.
    ToRead(AsyncFd<TcpStream>),
    /// That, and that it can be written to.
    ToReadOrWrite(AsyncFd<TcpStream>),
    /// Nothing: there is no socket, or the runtime did not take it.
    #[default]
    Nowhere,
}

impl Socket {
    /// Takes over `stream`, which does not block.
    pub const fn new(stream: TcpStream) -> Self {
        Self(Waits::ForNothing(stream))
    }

    /// Makes the connection end with a reset.
    ///
    /// # Errors
    /// Those of the system.
    pub fn reset_at_close(&self) -> io::Result<()> {
        SockRef::from(self.stream()?).set_linger(Some(Duration::ZERO))
    }

    /// Whether the other end has refused what was sent to it.
    pub fn is_broken(&self) -> bool {
        let error = self.stream().and_then(TcpStream::take_error);
        !matches!(error, Ok(None))
    }

    /// Whether the other end has ended its half, or has gone, though bytes before that may not have
    /// been read. The runtime has heard of it; the system is not asked.
    pub fn has_ended(&self, cx: &mut Context<'_>) -> bool {
        let (Waits::ToRead(fd) | Waits::ToReadOrWrite(fd)) = &self.0 else { return false };
        match fd.poll_read_ready(cx) {
            Poll::Ready(Ok(readable)) => readable.ready().is_read_closed(),
            Poll::Ready(Err(_)) | Poll::Pending => false,
        }
    }

    /// Whether nothing has come, no end either, that has not been read.
    pub fn is_silent(&self) -> bool {
        let mut byte = [0; 1];
        let peek = |stream: &TcpStream| Ok(recv(stream, &mut byte[..], RecvFlags::PEEK)?.1);
        let peeked = match &self.0 {
            // Where the runtime has not told of anything, the system is not asked.
            Waits::ToRead(fd) | Waits::ToReadOrWrite(fd) => fd.try_io(Interest::READABLE, peek),
            Waits::ForNothing(_) | Waits::Nowhere => self.stream().and_then(peek),
        };
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream()?.peer_addr()
    }

    /// Writes once what nothing but the end of the connection follows. It waits for that end, which
    /// has to come at once: both leave in one packet.
    pub fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_to(cx, |fd| write(fd, parts, SendFlags::MORE))
    }

    /// Takes bytes from the socket by `read`, which says how many they are and whether nothing is
    /// left; again where there was nothing and there may be something.
    pub fn poll_from(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let (Waits::ToRead(fd) | Waits::ToReadOrWrite(fd)) = &self.0 else {
                // Most clients send when they hear that they are connected, and upstreams answer
                // later than that: reading at once would be in vain.
                self.wait(Interest::READABLE, cx)?;
                continue;
            };
            let mut readable = ready!(fd.poll_read_ready(cx))?;
            match read(fd.get_ref().as_fd()) {
                Ok((count, is_all)) => {
                    if is_all {
                        readable.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => readable.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Gives bytes to the socket by `write`, again where there was no room and there may be some.
    pub fn poll_to(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let tried = match &self.0 {
                Waits::ToReadOrWrite(fd) => {
                    let mut room = ready!(fd.poll_write_ready(cx))?;
                    let tried = write(fd.get_ref().as_fd());
                    if tried == Err(Errno::AGAIN) {
                        room.clear_ready();
                    }
                    tried
                }
                _ => write(self.stream()?.as_fd()),
            };
            match tried {
                Err(Errno::AGAIN) => self.wait(Interest::READABLE | Interest::WRITABLE, cx)?,
                Err(Errno::INTR) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
    }

    /// Has the runtime tell us of `interest`, if it does not yet.
    fn wait(&mut self, interest: Interest, cx: &mut Context<'_>) -> io::Result<()> {
        match self.0 {
            Waits::ToReadOrWrite(_) => return Ok(()),
            // Who waited to read is asked to do so anew.
            Waits::ToRead(_) => cx.waker().wake_by_ref(),
            Waits::ForNothing(_) | Waits::Nowhere => {}
        }
        #[expect(deprecated, reason = "a stream that is held keeps its descriptor open")]
        let fd = AsyncFd::with_interest(self.release()?, interest)?;
        self.0 = if interest.is_writable() { Waits::ToReadOrWrite(fd) } else { Waits::ToRead(fd) };
        Ok(())
    }

    /// Takes the stream out, off the runtime.
    fn release(&mut self) -> io::Result<TcpStream> {
        match std::mem::take(&mut self.0) {
            Waits::ForNothing(stream) => Ok(stream),
            Waits::ToRead(fd) | Waits::ToReadOrWrite(fd) => Ok(fd.into_inner()),
            Waits::Nowhere => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn stream(&self) -> io::Result<&TcpStream> {
        match &self.0 {
            Waits::ForNothing(stream) => Ok(stream),
            Waits::ToRead(fd) | Waits::ToReadOrWrite(fd) => Ok(fd.get_ref()),
            Waits::Nowhere => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
    let flags = flags | SendFlags::NOSIGNAL;
    match parts {
        [part] => send(fd, part, flags),
        parts => sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), flags),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let read = |fd: BorrowedFd<'_>| {
            let (_, count) = recv(fd, &mut *room, RecvFlags::empty())?;
            // The end, which is none of less than asked for, is to be seen again.
            Ok((count, 0 < count && count < room.len()))
        };
        let count = ready!(self.poll_from(cx, read))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_to(cx, |fd| send(fd, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_to(cx, |fd| write(fd, parts, SendFlags::empty()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Off the runtime first, or the end would wake us.
        self.0 = Waits::ForNothing(self.release()?);
        Poll::Ready(self.stream()?.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests;
