//! The two pools of the demo: real HTTP servers in this process.

use std::convert::Infallible;
use std::future::pending;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cli::Fault;

/// How long an answer takes to make.
const WORK: Duration = Duration::from_millis(4);
/// How many times longer a slow one takes.
const SLOWER: u32 = 3;
/// For how long after its first request a version is sound that crashes or hangs.
const SOUND_FOR: Duration = Duration::from_secs(3);
const EACH: usize = 2;

/// The servers of both pools, until they are dropped with the runtime.
pub(super) struct Servers {
    pub(super) stable: Vec<SocketAddr>,
    pub(super) canary: Vec<SocketAddr>,
    canary_version: Arc<Version>,
}

/// A version of the software, which all servers of a pool run.
struct Version {
    name: &'static str,
    fault: Fault,
    hits: AtomicU64,
    /// Whether what was sound is broken now.
    broken: watch::Sender<bool>,
}

impl Servers {
    pub(super) async fn start(fault: Fault) -> io::Result<Self> {
        let (old, new) = (Version::new("v1", Fault::None), Version::new("v2", fault));
        let (mut stable, mut canary) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            stable.push(serve(&old).await?);
            canary.push(serve(&new).await?);
        }
        Ok(Self { stable, canary, canary_version: new })
    }

    /// Requests that the canary's servers have seen, health checks left out.
    pub(super) fn canary_hits(&self) -> u64 {
        self.canary_version.hits.load(Ordering::Relaxed)
    }

    /// Whether a canary that was sound has broken since.
    pub(super) fn has_broken(&self) -> bool {
        *self.canary_version.broken.borrow()
    }
}

impl Version {
    fn new(name: &'static str, fault: Fault) -> Arc<Self> {
        let broken = watch::Sender::new(false);
        Arc::new(Self { name, fault, hits: AtomicU64::new(0), broken })
    }

    /// Completes once its processes are dead.
    async fn died(&self) {
        match self.fault {
            Fault::Crash => {
                // The sender lives as long as this.
                let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
            }
            _ => pending().await,
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/health" {
            return Response::new(Full::default());
        }
        let number = self.hits.fetch_add(1, Ordering::Relaxed);
        if number == 0 && [Fault::Crash, Fault::Hang].contains(&self.fault) {
            let version = Arc::clone(&self);
            tokio::spawn(async move {
                tokio::time::sleep(SOUND_FOR).await;
                version.broken.send_replace(true);
            });
        }
        if self.fault == Fault::Hang && *self.broken.borrow() {
            pending::<()>().await;
        }
        let times = if self.fault == Fault::Slow { SLOWER } else { 1 };
        tokio::time::sleep(WORK * times).await;
        let mut response =
            Response::new(Full::from(format!("{{\"version\":\"{}\"}}\n", self.name)));
        // Every other answer: half of them, and nobody has to explain bad luck.
        if self.fault == Fault::Errors && number % 2 == 1 {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }
}

/// Starts a server of `version` and returns where it is.
async fn serve(version: &Arc<Version>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await?;
    let address = listener.local_addr()?;
    let version = Arc::clone(version);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = version.died() => return,
                // An accept that fails for want of descriptors is tried again; the demo soon ends.
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    tokio::spawn(connection(stream, Arc::clone(&version)));
                }
            }
        }
    });
    Ok(address)
}

async fn connection(stream: TcpStream, version: Arc<Version>) {
    let service = hyper::service::service_fn(|request| {
        let answer = Arc::clone(&version).answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = version.died() => {}
        // Whatever ended it, the client knows.
        _ = served => {}
    }
}
