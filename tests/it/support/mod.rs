//! Upstreams and a proxy in this process, on ports the kernel picks; and serin as a process.

mod bytes;
mod client;
mod observer;
mod process;
mod proxy;
mod sink;
mod stack;
mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(crate) use bytes::{RawClient, RawUpstream, Then, came_to, closed_after, proxy_before};
pub(crate) use client::{Answer, Client, get, raw};
pub(crate) use observer::Observer;
pub(crate) use process::{Serin, serin};
pub(crate) use proxy::{SHORT, TestProxy, config};
pub(crate) use sink::Sink;
pub(crate) use stack::{Measured, Stack, slot};
pub(crate) use upstream::{Behaviour, Upstream};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long anything in a test may take before it is called broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until the answer is yes; fails the test when it never is.
#[track_caller]
pub(crate) fn eventually<F: Future<Output = bool>>(
    what: &'static str,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let asking = async {
            while !ask().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            panic!("{place}: never happened: {what}");
        }
    }
}
