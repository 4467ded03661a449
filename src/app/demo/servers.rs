//! The two pools of the demo: real HTTP servers in this process.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cli::Fault;

/// How long an answer takes to make.
const WORK: Duration = Duration::from_millis(2);
const EACH: usize = 2;

/// The servers of both pools, until they are dropped with the runtime.
pub(super) struct Servers {
    pub(super) stable: Vec<SocketAddr>,
    pub(super) canary: Vec<SocketAddr>,
    canary_hits: Arc<AtomicU64>,
}

impl Servers {
    pub(super) async fn start(fault: Fault) -> io::Result<Self> {
        let canary_hits = Arc::new(AtomicU64::new(0));
        let (mut stable, mut canary) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            stable.push(serve("v1", Fault::None, Arc::default()).await?);
            canary.push(serve("v2", fault, Arc::clone(&canary_hits)).await?);
        }
        Ok(Self { stable, canary, canary_hits })
    }

    /// Requests that the canary's servers have seen, health checks left out.
    pub(super) fn canary_hits(&self) -> u64 {
        self.canary_hits.load(Ordering::Relaxed)
    }
}

async fn serve(
    version: &'static str,
    fault: Fault,
    hits: Arc<AtomicU64>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // An accept that fails for want of descriptors is tried again; the demo soon ends.
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let hits = Arc::clone(&hits);
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let hits = Arc::clone(&hits);
                async move { Ok::<_, Infallible>(answer(&request, version, fault, &hits).await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}

async fn answer(
    request: &Request<Incoming>,
    version: &'static str,
    fault: Fault,
    hits: &AtomicU64,
) -> Response<Full<Bytes>> {
    if request.uri().path() == "/health" {
        return Response::new(Full::default());
    }
    let number = hits.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(WORK).await;
    // Every other answer: half of them, and nobody has to explain bad luck.
    let fails = fault == Fault::Errors && number % 2 == 1;
    let mut response = Response::new(Full::from(format!("{{\"version\":\"{version}\"}}\n")));
    if fails {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}
