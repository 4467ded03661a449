//! The API's accept loop. Every connection and every head has a bound, so that whoever reaches the
//! port cannot take it from the operator.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Open connections; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a head may take, and how long a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// What is kept of a head and of a body's pieces.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long open requests may take after `stop`.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `stop`, then until open requests are answered.
pub(super) async fn run(
    mut listener: impl Listener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(());
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (io, _) = listener.accept(), if open.len() < CONNECTIONS_MAX => {
                open.spawn(connection(io, router.clone(), stopped.clone()));
            }
        }
    }
    drop((listener, stopping));
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
        tracing::warn!("requests to the API were still open at the end");
    }
    open.shutdown().await;
}

async fn connection(
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |request| router.clone().oneshot(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
