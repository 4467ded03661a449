//! The accept loop of one port on one worker.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tower::Service;

use super::drain::{Drain, Drained};
use super::spare::Spare;
use super::{Census, Place, Socket};
use crate::telemetry::metrics::{Opened, PortMetrics};

/// A client's connection, accepted and counted.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: Socket,
    /// The client's address.
    pub peer: SocketAddr,
    /// Completes when the connection should end.
    pub drain: Drained,
    /// Held as long as the connection is open.
    pub counted: (Place, Opened),
}

/// What a port counts, on every worker.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name in the configuration.
    pub name: String,
    /// How many connections it has.
    pub census: Arc<Census>,
    /// What it reports.
    pub metrics: PortMetrics,
}

/// How long to wait when the process has no descriptor left: one may become free.
const BREATH: Duration = Duration::from_millis(50);

/// Accepts connections of `socket` and gives each to `service`, until the drain begins. What is in
/// the queue by then is still accepted: closing the socket would reset it.
pub async fn serve<S>(socket: TcpListener, port: Port, drain: Drain, service: S) -> io::Result<()>
where
    S: Service<Connection, Response = (), Error = Infallible, Future: Unpin> + Clone + 'static,
{
    #[expect(deprecated, reason = "a listener that is held keeps its descriptor open")]
    let listener = AsyncFd::with_interest(socket, Interest::READABLE)?;
    let spare = Spare::default();
    let begun = drain.watch();
    tokio::pin!(begun);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut begun => break,
            accepted = poll_fn(|cx| poll_accept(&listener, cx)) => accepted,
        };
        match accepted {
            Ok(accepted) => admit(accepted, &port, &drain, &spare, &service),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                port.metrics.refused("descriptors");
                tracing::warn!(listener = port.name, %error, "cannot accept");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    loop {
        match accept(listener.get_ref()) {
            Ok(accepted) => admit(accepted, &port, &drain, &spare, &service),
            Err(error) if is_the_clients(&error) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// What was accepted, and where it comes from.
type Accepted = (std::net::TcpStream, SocketAddr);

fn poll_accept(
    listener: &AsyncFd<TcpListener>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Accepted>> {
    loop {
        let mut readable = ready!(listener.poll_read_ready(cx))?;
        if let Ok(accepted) = readable.try_io(|listener| accept(listener.get_ref())) {
            // Accepting in vain costs eight times what asking costs: the system makes a socket
            // before it looks whether anybody is there.
            if !has_next(listener.get_ref()) {
                readable.clear_ready();
            }
            return Poll::Ready(accepted);
        }
    }
}

/// Whether another connection can be accepted.
fn has_next(listener: &TcpListener) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
}

/// Accepts a connection. The runtime's own way takes it that its first bytes have come, and reads in
/// vain when they have not: most clients send when they hear that they are connected.
fn accept(listener: &TcpListener) -> io::Result<Accepted> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((socket.into(), peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

fn admit<S>((stream, peer): Accepted, port: &Port, drain: &Drain, spare: &Spare, service: &S)
where
    S: Service<Connection, Response = (), Error = Infallible, Future: Unpin> + Clone + 'static,
{
    match port.census.enter(peer.ip()) {
        Ok(place) => {
            let (stream, counted) = (Socket::new(stream), (place, port.metrics.opened()));
            let connection = Connection { stream, peer, drain: drain.watch(), counted };
            spare.serve(connection, service);
        }
        Err(full) => port.metrics.refused(full.name()),
    }
}

/// Whether the connection broke before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
