//! An upstream that does what a test tells it, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serin::clock;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{LOOPBACK, draw};

/// What an upstream does with a request. Health checks have an answer of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// 200 and its name.
    Answer,
    /// 500 to every n-th request.
    FailEvery(usize),
    /// 500 to this share of the requests.
    FailShare(f64),
    /// 500 to every request under this path, and to every n-th of the others.
    FailUnder(&'static str, usize),
    /// 200 and the request's body.
    Echo,
    /// Nothing, until the client goes away.
    Hang,
    /// 200 after this long.
    Slow(Duration),
    /// 200 as soon as the test says that it may answer.
    Wait,
    /// 200 and more than any socket's buffer holds.
    Big,
    /// Closes the connection instead of answering every request but the first of a connection.
    OneEach,
}

/// How long answers take: about `typical`, give or take a third of it, and `slower` times that for
/// a `share` of them. Which ones is drawn from their numbers, so it is the same in every run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) typical: Duration,
    pub(crate) share: f64,
    pub(crate) slower: f64,
}

/// A request that a server got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// It was answered with 500.
    pub(crate) failed: bool,
    /// It was that, answered slowly on purpose, or not answered at all.
    pub(crate) harmed: bool,
}

/// A server of a pool.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    /// Keeps the port of a server that is dead.
    port: Option<TcpSocket>,
}

struct Shared {
    name: &'static str,
    behaviour: Mutex<Behaviour>,
    health: Mutex<StatusCode>,
    /// When health was asked for.
    checks: Mutex<Vec<Instant>>,
    pace: Mutex<Option<Pace>>,
    /// What `/metrics` answers; it is a path like any other without it.
    metrics: Mutex<Option<Exposed>>,
    hits: AtomicUsize,
    connections: AtomicUsize,
    cancelled: AtomicUsize,
    /// Whether who waits may answer.
    may_answer: watch::Sender<bool>,
    seen: Mutex<Vec<(String, HeaderMap)>>,
    seed: AtomicU64,
    got: Mutex<Vec<Got>>,
}

/// What a process exposes of itself.
#[derive(Clone, Copy)]
struct Exposed {
    cpu_s: f64,
    mebibytes: f64,
    /// What each request adds for good.
    leak_mebibytes: f64,
}

impl Upstream {
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::listen(name, TcpListener::bind(LOOPBACK).await.unwrap())
    }

    fn listen(name: &'static str, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name,
            behaviour: Mutex::new(Behaviour::Answer),
            health: Mutex::new(StatusCode::OK),
            checks: Mutex::default(),
            pace: Mutex::default(),
            metrics: Mutex::default(),
            hits: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            may_answer: watch::Sender::new(false),
            seen: Mutex::default(),
            seed: AtomicU64::new(0),
            got: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, task, port: None }
    }

    pub(crate) fn does(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Answers all that waits, and whatever comes from now on.
    pub(crate) fn may_answer(&self) {
        self.shared.may_answer.send_replace(true);
    }

    pub(crate) fn is_healthy(&self, healthy: bool) {
        *self.shared.health.lock().unwrap() =
            if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    }

    /// When health was asked for.
    pub(crate) fn checks(&self) -> Vec<Instant> {
        self.shared.checks.lock().unwrap().clone()
    }

    /// Draws otherwise than with another seed.
    pub(crate) fn seed(&self, seed: u64) {
        self.shared.seed.store(seed, Ordering::SeqCst);
    }

    /// Answers take this long from now on.
    pub(crate) fn takes(&self, pace: Pace) {
        *self.shared.pace.lock().unwrap() = Some(pace);
    }

    /// Exposes a process that has used so much CPU, in seconds, and has so much memory, in MiB.
    pub(crate) fn exposes(&self, cpu_s: f64, mebibytes: f64) {
        self.leaks(cpu_s, mebibytes, 0.0);
    }

    /// Exposes a process whose memory grows by so much with each request, in MiB.
    pub(crate) fn leaks(&self, cpu_s: f64, mebibytes: f64, leak_mebibytes: f64) {
        let exposed = Exposed { cpu_s, mebibytes, leak_mebibytes };
        *self.shared.metrics.lock().unwrap() = Some(exposed);
    }

    /// Requests it got, health checks left out.
    pub(crate) fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// Connections that brought a request, health checks left out.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests whose client went away before the answer.
    pub(crate) fn cancelled(&self) -> usize {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Method, target and fields of the last request.
    pub(crate) fn last(&self) -> (String, HeaderMap) {
        self.shared.seen.lock().unwrap().last().expect("no request came").clone()
    }

    /// The requests that it got, health checks left out.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Closes the port and every connection, as the end of its process would. Nobody else gets the
    /// port.
    pub(crate) async fn dies(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(self.address).unwrap();
        self.port = Some(port);
    }

    /// Comes back after it died.
    pub(crate) fn comes_back(&mut self) {
        let listener = self.port.take().expect("it is alive").listen(1024).unwrap();
        self.task = tokio::spawn(serve(listener, Arc::clone(&self.shared)));
    }

    /// Closes the port and every connection.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    let served = AtomicUsize::new(0);
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let number = served.fetch_add(1, Ordering::SeqCst);
        answer(request, Arc::clone(&shared), number)
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Body = BoxBody<Bytes, hyper::Error>;

fn full(text: &str) -> Body {
    Full::new(Bytes::from(text.to_owned())).map_err(|never| match never {}).boxed()
}

impl Exposed {
    fn text(self, requests: usize) -> String {
        let Self { cpu_s, mebibytes, leak_mebibytes } = self;
        #[expect(clippy::cast_precision_loss, reason = "requests of a test")]
        let bytes = (mebibytes + leak_mebibytes * requests as f64) * 1_048_576.0;
        format!(
            "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {cpu_s}\n\
             process_resident_memory_bytes {bytes}\nprocess_start_time_seconds 1.7e9\n"
        )
    }
}

/// Counts a request that is given up.
struct Cancelled(Arc<Shared>, bool);

impl Drop for Cancelled {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    number_on_connection: usize,
) -> Result<Response<Body>, std::io::Error> {
    if request.uri().path() == "/health" {
        shared.checks.lock().unwrap().push(clock::now());
        let status = *shared.health.lock().unwrap();
        let empty = Empty::new().map_err(|never| match never {}).boxed();
        return Ok(Response::builder().status(status).body(empty).unwrap());
    }
    let exposed = *shared.metrics.lock().unwrap();
    if request.uri().path() == "/metrics"
        && let Some(exposed) = exposed
    {
        return Ok(Response::new(full(&exposed.text(shared.hits.load(Ordering::SeqCst)))));
    }
    let number = shared.hits.fetch_add(1, Ordering::SeqCst) + 1;
    if number_on_connection == 0 {
        shared.connections.fetch_add(1, Ordering::SeqCst);
    }
    let line = format!("{} {}", request.method(), request.uri());
    shared.seen.lock().unwrap().push((line, request.headers().clone()));
    let behaviour = *shared.behaviour.lock().unwrap();
    let mut cancelled = Cancelled(Arc::clone(&shared), false);
    let pace = *shared.pace.lock().unwrap();
    let drawn = |stream| draw(number, 3 * shared.seed.load(Ordering::SeqCst) + stream);
    let late = pace.is_some_and(|pace| drawn(0) < pace.share);
    let at_ms = u64::try_from(clock::unix().as_millis()).unwrap();
    let fails = match behaviour {
        Behaviour::FailEvery(n) => number.is_multiple_of(n),
        Behaviour::FailShare(share) => drawn(1) < share,
        Behaviour::FailUnder(path, n) => {
            request.uri().path().starts_with(path) || number.is_multiple_of(n)
        }
        _ => false,
    };
    let harmed = fails || late || behaviour == Behaviour::Hang;
    shared.got.lock().unwrap().push(Got { at_ms, failed: fails, harmed });
    if let Some(pace) = pace {
        let spread = 2.0 / 3.0 + drawn(2) * 2.0 / 3.0;
        let slower = if late { pace.slower } else { 1.0 };
        tokio::time::sleep(pace.typical.mul_f64(spread * slower)).await;
    }
    let status = match behaviour {
        _ if fails => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Slow(time) => {
            tokio::time::sleep(time).await;
            StatusCode::OK
        }
        Behaviour::Wait => {
            shared.may_answer.subscribe().wait_for(|may| *may).await.unwrap();
            StatusCode::OK
        }
        Behaviour::OneEach if number_on_connection > 0 => {
            cancelled.1 = true;
            return Err(std::io::Error::other("closed instead of answered"));
        }
        _ => StatusCode::OK,
    };
    cancelled.1 = true;
    let body = match behaviour {
        Behaviour::Echo => request.into_body().boxed(),
        Behaviour::Big => full(&"x".repeat(64 << 20)),
        _ => full(shared.name),
    };
    let response = Response::builder()
        .status(status)
        .header("keep-alive", "timeout=5")
        .header("x-upstream", shared.name)
        .body(body);
    Ok(response.unwrap())
}
