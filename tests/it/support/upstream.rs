//! An upstream that does what a test tells it, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::LOOPBACK;

/// What an upstream does with a request. Health checks have an answer of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// 200 and its name.
    Answer,
    /// 500 to every n-th request.
    FailEvery(usize),
    /// 500 to every request under this path, and to every n-th of the others.
    FailUnder(&'static str, usize),
    /// 200 and the request's body.
    Echo,
    /// Nothing, until the client goes away.
    Hang,
    /// 200 after this long.
    Slow(Duration),
    /// 200 and more than any socket's buffer holds.
    Big,
    /// Closes the connection instead of answering every request but the first of a connection.
    OneEach,
}

/// A server of a pool.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    name: &'static str,
    behaviour: Mutex<Behaviour>,
    health: Mutex<StatusCode>,
    /// What `/metrics` answers; it is a path like any other without it.
    metrics: Mutex<Option<String>>,
    hits: AtomicUsize,
    connections: AtomicUsize,
    cancelled: AtomicUsize,
    seen: Mutex<Vec<(String, HeaderMap)>>,
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
            metrics: Mutex::default(),
            hits: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(connection(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared, task }
    }

    pub(crate) fn does(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn is_healthy(&self, healthy: bool) {
        *self.shared.health.lock().unwrap() =
            if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    }

    /// Exposes a process that has used so much CPU, in seconds, and has so much memory, in MiB.
    pub(crate) fn exposes(&self, cpu_s: f64, mebibytes: f64) {
        let bytes = mebibytes * 1_048_576.0;
        let text = format!(
            "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {cpu_s}\n\
             process_resident_memory_bytes {bytes}\nprocess_start_time_seconds 1.7e9\n"
        );
        *self.shared.metrics.lock().unwrap() = Some(text);
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

    /// Closes the port and every connection.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
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
        let status = *shared.health.lock().unwrap();
        let empty = Empty::new().map_err(|never| match never {}).boxed();
        return Ok(Response::builder().status(status).body(empty).unwrap());
    }
    let metrics = shared.metrics.lock().unwrap().clone();
    if request.uri().path() == "/metrics"
        && let Some(text) = metrics
    {
        return Ok(Response::new(full(&text)));
    }
    let number = shared.hits.fetch_add(1, Ordering::SeqCst) + 1;
    if number_on_connection == 0 {
        shared.connections.fetch_add(1, Ordering::SeqCst);
    }
    let line = format!("{} {}", request.method(), request.uri());
    shared.seen.lock().unwrap().push((line, request.headers().clone()));
    let behaviour = *shared.behaviour.lock().unwrap();
    let mut cancelled = Cancelled(Arc::clone(&shared), false);
    let status = match behaviour {
        Behaviour::FailEvery(n) if number.is_multiple_of(n) => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::FailUnder(path, _) if request.uri().path().starts_with(path) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Behaviour::FailUnder(_, n) if number.is_multiple_of(n) => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Slow(time) => {
            tokio::time::sleep(time).await;
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
