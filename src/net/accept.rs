//! The accept loop of one port on one worker.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::drain::{Drain, Drained};
use super::{Census, Place};
use crate::telemetry::metrics::{Opened, PortMetrics};

/// A client's connection, accepted and counted.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
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
pub async fn serve<S>(
    socket: TcpListener,
    port: Port,
    drain: Drain,
    mut service: S,
) -> io::Result<()>
where
    S: Service<Connection, Response = (), Error = Infallible, Future: 'static>,
{
    let listener = tokio::net::TcpListener::from_std(socket)?;
    let begun = drain.watch();
    tokio::pin!(begun);
    loop {
        let service = ready(&mut service).await;
        let accepted = tokio::select! {
            biased;
            () = &mut begun => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &port, &drain, service),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                port.metrics.refused("descriptors");
                tracing::warn!(listener = port.name, %error, "cannot accept");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    let listener = listener.into_std()?;
    while let Ok((stream, peer)) = listener.accept() {
        stream.set_nonblocking(true)?;
        admit(TcpStream::from_std(stream)?, peer, &port, &drain, ready(&mut service).await);
    }
    Ok(())
}

async fn ready<S: Service<Connection, Error = Infallible>>(service: &mut S) -> &mut S {
    service.ready().await.unwrap_or_else(|never| match never {})
}

fn admit<S>(stream: TcpStream, peer: SocketAddr, port: &Port, drain: &Drain, service: &mut S)
where
    S: Service<Connection, Response = (), Error = Infallible, Future: 'static>,
{
    let place = match port.census.enter(peer.ip()) {
        Ok(place) => place,
        Err(full) => return port.metrics.refused(full.name()),
    };
    let counted = (place, port.metrics.opened());
    let connection = Connection { stream, peer, drain: drain.watch(), counted };
    tokio::task::spawn_local(service.call(connection));
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
