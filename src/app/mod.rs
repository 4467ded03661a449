//! Puts the program together: the one place that knows every module, and the threads they run on.
//!
//! Everything is bound, opened and read before anything is spawned, so that a bad start is a clean
//! refusal. Then: a worker for each core, which only serves; one control thread, which only decides;
//! and one service thread for the API, checks, look-ups and writes.

mod certificates;
pub mod demo;
mod folders;
pub mod foresight;
mod probed;
pub mod replay;
mod watched;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::admin::{self, Admin};
use crate::config::{AdminBind, Config};
use crate::control::{self, Control, FileStore, Handle, Inbox, Setup};
use crate::measure::Recorder;
use crate::net::{self, Bound};
use crate::table::Cell;
use crate::telemetry::metrics::Metrics;
use certificates::Certificates;
use watched::Watched;
use worker::Worker;

/// How long requests in flight may take to end after a shutdown was asked for.
pub const GRACE: Duration = Duration::from_secs(25);

/// How long clients may wait for the first health results before they are accepted.
const FIRST_CHECKS: Duration = Duration::from_secs(1);

/// Why serin did not start.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A bound proxy that does not serve yet.
#[derive(Debug)]
pub struct App {
    ports: BTreeMap<String, Bound>,
    admin: Arc<Admin>,
    admin_listener: admin::Listener,
    metrics_listener: Option<std::net::TcpListener>,
    admin_address: String,
    control: (Control, Inbox, oneshot::Sender<()>),
    workers: Vec<Worker>,
    service_thread: ServiceThread,
    watched: Option<Watched>,
    certificates: Option<Certificates>,
    listening: Arc<AtomicBool>,
}

impl App {
    /// Opens the state, binds every port and publishes the first table. Serves nothing.
    ///
    /// # Errors
    /// When a port is used, the state cannot be, or the file contradicts the state.
    pub fn bind(config: Config, config_path: Option<PathBuf>) -> Result<Self, StartError> {
        let store = FileStore::open(&config.state).map_err(|e| StartError(e.to_string()))?;
        let listeners = probed::with_own(&config.listeners);
        let mut ports = BTreeMap::new();
        for (name, listener) in &listeners {
            let bound = net::bind(listener.bind, config.workers).map_err(|error| {
                in_use(&format!("listeners.{name}.bind"), &listener.bind.to_string(), &error)
            })?;
            ports.insert(name.clone(), bound);
        }
        let (admin_listener, admin_address) = bind_admin(&config.admin.bind)?;
        let metrics_listener = match config.admin.metrics_bind {
            None => None,
            Some(address) => Some(
                std::net::TcpListener::bind(address)
                    .map_err(|error| in_use("admin.metrics_bind", &address.to_string(), &error))?,
            ),
        };

        let (service_thread, service_handle) = ServiceThread::new()?;
        let (cell, metrics) = (Cell::default(), Metrics::default());
        let (writers, drain) = Recorder::split(config.workers);
        let (acceptors, certificates) = certificates::load(&config, &metrics)?;
        let workers = worker::plan(writers, &listeners, &acceptors, &cell, &metrics);
        let listening = Arc::new(AtomicBool::new(false));
        let listener = listeners.iter().find(|(_, listener)| probed::takes_probes(listener));
        let listener = listener.and_then(|(name, _)| Some(ports.get(name)?.address));
        let listener = listener.ok_or_else(|| StartError("no listener".to_owned()))?;
        let admin_config = config.admin.clone();
        let watched = config_path.as_deref().map(|path| Watched::new(path, &config));
        let setup = Setup {
            config,
            config_path: config_path.clone(),
            store: Arc::new(store),
            cell,
            listener,
            drain,
            metrics: metrics.clone(),
            service_thread: service_handle,
        };
        let (control, inbox, handle, stop) =
            control::start(setup).map_err(|error| StartError(error.to_string()))?;
        let admin = Arc::new(Admin {
            handle,
            metrics,
            config: admin_config,
            config_path,
            listening: Arc::clone(&listening),
        });
        Ok(Self {
            ports,
            admin,
            admin_listener,
            metrics_listener,
            admin_address,
            control: (control, inbox, stop),
            workers,
            service_thread,
            watched,
            certificates,
            listening,
        })
    }

    /// Where clients reach each listener.
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let of_file = self.ports.iter().filter(|(name, _)| *name != probed::OWN);
        of_file.map(|(name, bound)| (name.clone(), bound.address)).collect()
    }

    /// Where the API is: a URL, or `unix:PATH`.
    pub fn admin_address(&self) -> &str {
        &self.admin_address
    }

    /// How to talk to control.
    pub fn handle(&self) -> Handle {
        self.admin.handle.clone()
    }

    /// Serves until `shutdown` completes, then lets requests in flight end within [`GRACE`].
    ///
    /// # Errors
    /// When a thread cannot be made, or one of them failed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let handle = self.admin.handle.clone();
        let Self { ports, admin, admin_listener, metrics_listener, workers, .. } = self;
        let (watched, certificates) = (self.watched, self.certificates);
        let mut service_thread = self.service_thread;
        let (stop_service, service_stopped) = watch::channel(false);
        let (gone, mut ended) = mpsc::channel(64);
        let service = {
            let (runtime, stopped) = (service_thread.take()?, service_stopped.clone());
            thread("serin-service", &gone, move || {
                // It ends with the runtime.
                let watching = watched.map(|watched| watched.run(admin.handle.clone()));
                watching.map(|watching| runtime.spawn(watching));
                let keeping = certificates.map(|kept| kept.run(admin.handle.reloads()));
                keeping.map(|keeping| runtime.spawn(keeping));
                runtime.block_on(serve_admin(admin, admin_listener, metrics_listener, stopped))
            })?
        };
        let (control, inbox, stop_control) = self.control;
        let control = thread("serin-control", &gone, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(control.run(inbox));
            Ok(())
        })?;
        first_checks(&handle).await;
        let (drain, draining) = watch::channel(false);
        let mut serving = Vec::new();
        for (worker, sockets) in workers.into_iter().zip(by_worker(ports)) {
            let (name, draining) = (format!("serin-worker-{}", serving.len()), draining.clone());
            serving.push(thread(&name, &gone, move || worker.run(sockets, draining, GRACE))?);
        }
        self.listening.store(true, Ordering::Release);
        // A proxy whose judge is gone must not go on serving its last table for ever.
        tokio::select! {
            () = shutdown => {}
            Some(name) = ended.recv() => tracing::error!(thread = name, "ended by itself; shutting down"),
        }

        self.listening.store(false, Ordering::Release);
        // Whoever has gone already needs no telling.
        let _ = drain.send(true);
        let drained = join(serving).await;
        let _ = stop_control.send(());
        join(vec![control]).await?;
        let _ = stop_service.send(true);
        join(vec![service]).await?;
        drained
    }
}

/// The runtime of the service thread, before that thread runs it. Dropping a runtime waits for its
/// blocking tasks, which must not happen on another runtime's thread.
#[derive(Debug)]
struct ServiceThread(Option<Runtime>);

impl ServiceThread {
    fn new() -> Result<(Self, tokio::runtime::Handle), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError(format!("cannot make a runtime: {error}")))?;
        let handle = runtime.handle().clone();
        Ok((Self(Some(runtime)), handle))
    }

    fn take(&mut self) -> io::Result<Runtime> {
        self.0.take().ok_or_else(|| io::Error::other("the service thread runs already"))
    }
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits a moment for the first health result of every stable pool. Whoever connects by then waits
/// in the queue of the port, which is better than an answer that nothing is known yet.
async fn first_checks(handle: &Handle) {
    let known = async {
        while let Ok(services) = handle.services().await {
            let mut stable = services.iter().flat_map(|service| &service.stable.endpoints);
            if stable.all(|endpoint| endpoint.health != "unknown") {
                break;
            }
            tokio::time::sleep(FIRST_CHECKS / 100).await;
        }
    };
    // After that a 503 with its reason is more help than silence.
    let _ = tokio::time::timeout(FIRST_CHECKS, known).await;
}

fn in_use(key: &str, address: &str, error: &io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process listens there: stop it or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        }
        _ => "",
    };
    StartError(format!("`{key}`: cannot listen on {address}: {error}{hint}"))
}

fn bind_admin(bind: &AdminBind) -> Result<(admin::Listener, String), StartError> {
    match bind {
        AdminBind::Tcp(address) => {
            let failed = |error: io::Error| in_use("admin.bind", &address.to_string(), &error);
            let listener = std::net::TcpListener::bind(address).map_err(failed)?;
            let url = format!("http://{}", listener.local_addr().map_err(failed)?);
            Ok((admin::Listener::Tcp(listener), url))
        }
        AdminBind::Unix(path) => {
            let shown = path.display().to_string();
            let failed = |error: io::Error| in_use("admin.bind", &shown, &error);
            // What a process that was killed left behind is in the way; one that answers is not ours.
            if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
                std::fs::remove_file(path).map_err(failed)?;
            }
            let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed)?;
            Ok((admin::Listener::Unix(listener), format!("unix:{shown}")))
        }
    }
}

async fn serve_admin(
    admin: Arc<Admin>,
    listener: admin::Listener,
    metrics: Option<std::net::TcpListener>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let api = Arc::clone(&admin).serve(listener, until(stopped.clone()));
    match metrics {
        None => api.await,
        Some(metrics) => {
            let metrics = admin.serve_metrics(metrics, until(stopped));
            tokio::try_join!(api, metrics).map(|_| ())
        }
    }
}

/// Turns the sockets of each port into the ports of each worker.
fn by_worker(ports: BTreeMap<String, Bound>) -> Vec<Vec<(String, std::net::TcpListener)>> {
    let mut workers: Vec<Vec<_>> = Vec::new();
    for (name, bound) in ports {
        for (index, socket) in bound.sockets.into_iter().enumerate() {
            if workers.len() <= index {
                workers.resize_with(index + 1, Vec::new);
            }
            workers[index].push((name.clone(), socket));
        }
    }
    workers
}

type Thread = JoinHandle<io::Result<()>>;

/// Starts a thread that says in `gone` when it has ended, be it by a panic.
fn thread(
    name: &str,
    gone: &mpsc::Sender<String>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<Thread> {
    let farewell = Farewell(gone.clone(), name.to_owned());
    Builder::new().name(name.to_owned()).spawn(move || {
        let _farewell = farewell;
        run()
    })
}

/// Says that a thread has ended.
struct Farewell(mpsc::Sender<String>, String);

impl Drop for Farewell {
    fn drop(&mut self) {
        // Somebody else may have said enough already.
        let _ = self.0.try_send(std::mem::take(&mut self.1));
    }
}

/// Waits for threads without blocking the one that asks.
async fn join(threads: Vec<Thread>) -> io::Result<()> {
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        })
    });
    joined.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
