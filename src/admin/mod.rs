//! The API: what programs and the command line ask of a running serin, on a listener of its own.
//!
//! Every answer is taken from control, and every wish is handed to it; nothing is decided here.
//! What stands between a request and its handler: the `Host` and the `Origin` (a browser must not
//! act for a stranger's page), the token, a bound on the body and on every wait.

mod auth;
mod config;
mod guard;
mod input;
mod probes;
mod problem;
mod redact;
mod routes;
mod serve;
mod services;
mod until;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::config as file;
use crate::control::{Handle, Refusal};
use crate::telemetry::metrics::Metrics;
use guard::Door;
use problem::Problem;

/// The shapes of the API's answers, for those who ask.
pub mod api {
    pub use super::input::ACTOR;
    pub use super::problem::CONTENT_TYPE as PROBLEM_TYPE;
    pub use super::routes::segment;
    pub use crate::control::{
        Decision, Deploy, EndpointView, Evidence, FreezeView, GateReport, LatencyView, PlaceboView,
        PoolView, Rehearsed, Reloaded, RolloutView, ServiceView, ShareView,
    };
}

/// How long control may take to answer. It answers between two ticks, so that more than this means
/// that it is stuck, which whoever asks should learn.
const CONTROL_LIMIT: Duration = Duration::from_secs(5);

/// What the API serves.
#[derive(Debug)]
pub struct Admin {
    /// How to talk to control.
    pub handle: Handle,
    /// What is exposed.
    pub metrics: Metrics,
    /// Who may ask.
    pub config: file::Admin,
    /// The file that serin runs on, where it runs on one.
    pub config_path: Option<PathBuf>,
    /// Whether the listeners for clients accept.
    pub listening: Arc<AtomicBool>,
}

/// A bound socket of the API.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket. Whoever may open it is no browser, so `Host` is not looked at.
    Unix(UnixListener),
}

impl Admin {
    /// Serves the whole API until `stop`, then until open requests are answered.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub async fn serve(
        self: Arc<Self>,
        listener: Listener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let router = routes::api(self, Door::Tcp);
                serve::run(tcp(listener)?, router, stop).await;
            }
            Listener::Unix(listener) => {
                let router = routes::api(self, Door::Unix);
                listener.set_nonblocking(true)?;
                serve::run(tokio::net::UnixListener::from_std(listener)?, router, stop).await;
            }
        }
        Ok(())
    }

    /// Serves `/metrics`, `/healthz` and `/readyz` alone, to everybody, until `stop`.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub async fn serve_metrics(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        serve::run(tcp(listener)?, routes::metrics(self), stop).await;
        Ok(())
    }

    /// Waits for control's answer, but not for ever.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, Problem> {
        match tokio::time::timeout(CONTROL_LIMIT, answer).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => Err(Problem::unavailable(format!(
                "control gave no answer within {} s; what was asked for may still be done",
                CONTROL_LIMIT.as_secs()
            ))),
        }
    }
}

fn tcp(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
