//! One worker: a core's share of every port, with everything a request needs on this thread.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::certificates::Acceptors;
use crate::config::Listener;
use crate::measure::Writer;
use crate::net::tls::{Acceptor, Limits};
use crate::net::{self, Census, Drain, Drained, Port, Socket};
use crate::proxy;
use crate::table::Cell;
use crate::telemetry::metrics::{Metrics, PortMetrics};
use crate::wire::Client;
use crate::wire::client::Idle;
use crate::wire::server::{Protocol, Rules, Server};

/// How often idle upstream connections are aged; one is closed after two rounds unused.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How much the system tells at once. It looks at each socket that it tells of, and we do when its turn
/// comes: with hundreds in between, what it has looked at has left the cache.
const EVENTS_AT_ONCE: usize = 32;

/// A worker that does not run yet.
#[derive(Debug)]
pub(super) struct Worker {
    writer: Writer,
    cell: Cell,
    ports: HashMap<String, Listening>,
}

/// What every worker has of a port.
#[derive(Clone, Debug)]
struct Listening {
    listener: Listener,
    port: Port,
    /// Where it speaks TLS.
    acceptor: Option<Acceptor>,
}

/// Plans a worker for each of `writers`.
pub(super) fn plan(
    writers: Vec<Writer>,
    listeners: &BTreeMap<String, Listener>,
    acceptors: &Acceptors,
    cell: &Cell,
    metrics: &Metrics,
) -> Vec<Worker> {
    let ports: HashMap<String, Listening> = listeners
        .iter()
        .map(|(name, listener)| {
            let limits = listener.limits;
            let port = Port {
                name: name.clone(),
                census: Census::new(limits.connections, limits.connections_per_ip),
                metrics: PortMetrics::new(metrics, name),
            };
            let acceptor = acceptors.get(name).cloned();
            (name.clone(), Listening { listener: listener.clone(), port, acceptor })
        })
        .collect();
    let worker = |writer| Worker { writer, cell: cell.clone(), ports: ports.clone() };
    writers.into_iter().map(worker).collect()
}

impl Worker {
    /// Serves `sockets` until `draining` says so, then for at most `grace` what is under way.
    pub(super) fn run(
        self,
        sockets: Vec<(String, TcpListener)>,
        draining: watch::Receiver<bool>,
        grace: Duration,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_io_events_per_tick(EVENTS_AT_ONCE)
            .build_local(LocalOptions::default())?;
        runtime.block_on(self.serve(sockets, draining, grace))
    }

    async fn serve(
        self,
        sockets: Vec<(String, TcpListener)>,
        mut draining: watch::Receiver<bool>,
        grace: Duration,
    ) -> io::Result<()> {
        let Self { writer, cell, mut ports } = self;
        let idle = Idle::default();
        let shared = Rc::new(proxy::Worker {
            table: RefCell::new(cell.reader()),
            writer,
            idle: idle.clone(),
            random: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            // Workers do not all begin with the same endpoint.
            turn: StdCell::new(rand::random()),
            until_sample: StdCell::new(0),
        });
        let drain = Drain::default();
        let mut accepting = Vec::new();
        for (name, socket) in sockets {
            let Some(Listening { listener, port, acceptor }) = ports.remove(&name) else {
                continue;
            };
            let rules = rules(&listener);
            let trusted = listener.trusted_proxies.clone().into();
            let stack = proxy::stack(&shared, trusted, listener.via);
            let server = Server::new(rules, stack);
            let tls = acceptor.map(|acceptor| Rc::new(Tls::new(acceptor, &listener, &port)));
            let connection = tower::service_fn(move |connection: net::Connection| {
                let net::Connection { stream, peer, mut drain, counted } = connection;
                let (server, client) = (Rc::clone(&server), Client::new(peer, tls.is_some()));
                let mut serving = match tls.clone() {
                    None => Serving::Plain(server.serve(stream, client, None, drain)),
                    Some(tls) => Serving::Tls(Box::pin(async move {
                        let accepted = tls.accept(stream, peer, &mut drain).await;
                        let Some((stream, agreed)) = accepted else { return };
                        server.serve(stream, client, Some(agreed), drain).await;
                    })),
                };
                // It is held as long as the connection is open.
                poll_fn(move |cx| {
                    let _open = &counted;
                    let served = match &mut serving {
                        Serving::Plain(future) => Pin::new(future).poll(cx),
                        Serving::Tls(future) => future.as_mut().poll(cx),
                    };
                    served.map(Ok::<(), Infallible>)
                })
            });
            accepting.push(tokio::task::spawn_local(net::serve(
                socket,
                port,
                drain.clone(),
                connection,
            )));
        }
        let sweeping = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                idle.sweep();
            }
        });
        let watching = tokio::task::spawn_local(proxy::watch(shared));
        let _ = draining.wait_for(|draining| *draining).await;
        drain.begin();
        for port in accepting {
            port.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        }
        if tokio::time::timeout(grace, drain.empty()).await.is_err() {
            tracing::warn!(connections = drain.open(), "cut off at the end of the grace period");
        }
        sweeping.abort();
        watching.abort();
        Ok(())
    }
}

/// A connection that is being served.
enum Serving<F> {
    Plain(F),
    /// Apart, so that the task of a plain connection stays small.
    Tls(Pin<Box<dyn Future<Output = ()>>>),
}

/// The TLS of one port.
struct Tls {
    acceptor: Acceptor,
    limits: Limits,
    port: Port,
}

impl Tls {
    fn new(acceptor: Acceptor, listener: &Listener, port: &Port) -> Self {
        let Listener { timeouts, .. } = listener;
        let limits = Limits { first_byte: timeouts.first_byte, rest: timeouts.head };
        Self { acceptor, limits, port: port.clone() }
    }

    /// Does the handshake; counts the one that fails.
    async fn accept(
        &self,
        stream: Socket,
        peer: SocketAddr,
        drain: &mut Drained,
    ) -> Option<(TlsStream<Socket>, Protocol)> {
        match self.acceptor.accept(stream, self.limits, drain).await {
            // Over TLS only those who ask for HTTP/2 speak it (RFC 9113 §3.2).
            Ok((stream, true)) => Some((stream, Protocol::Http2)),
            Ok((stream, false)) => Some((stream, Protocol::Http1)),
            Err(refused) => {
                tracing::debug!(listener = self.port.name, %peer, why = %refused, "no TLS");
                if let Some(reason) = refused.name() {
                    self.port.metrics.refused(reason);
                }
                None
            }
        }
    }
}

fn rules(listener: &Listener) -> Rules {
    let Listener { protocols, limits, timeouts, .. } = listener;
    Rules {
        headers: limits.headers,
        header_bytes: limits.header_bytes,
        target_bytes: limits.target_bytes,
        body_bytes: limits.body_bytes,
        first_byte: timeouts.first_byte,
        head: timeouts.head,
        body_idle: timeouts.body_idle,
        idle: timeouts.idle,
        stream_idle: timeouts.stream_idle,
        http1: protocols.http1,
        http2: protocols.h2,
        h2_streams: limits.h2_streams,
    }
}
