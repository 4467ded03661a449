//! Upstreams and a proxy in this process, on ports the kernel picks; and serin as a process.

mod bytes;
mod client;
pub(crate) mod frames;
mod observer;
mod process;
mod proxy;
mod sink;
mod stack;
mod tls;
mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(crate) use bytes::{
    RawClient, RawUpstream, Then, assert_lines, came_to, closed_after, config_before, proxy_before,
    read_head,
};
pub(crate) use client::{Answer, Client, get};
pub(crate) use observer::Observer;
pub(crate) use process::{Serin, serin};
pub(crate) use proxy::{SHORT, TestProxy, config};
pub(crate) use sink::Sink;
pub(crate) use stack::{Measured, Stack, rules, slot};
pub(crate) use tls::{Authority, Issued, secure};
pub(crate) use upstream::{Behaviour, Got, Pace, Upstream};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long anything in a test may take before it is called broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A number in `0..1` that depends on `number` and `stream` alone (Steele, Lea & Flood 2014).
pub(crate) fn draw(number: usize, stream: u64) -> f64 {
    let mut bits = (number as u64).wrapping_add(stream << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

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
