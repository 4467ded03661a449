//! What must hold of the codec whatever bytes come. Each check takes any bytes and panics where they
//! break a rule; a fuzz target calls one of them, and an ordinary test calls all with the seeds.
//!
//! Two readers who agree on every message cannot be played off against each other. So hyper, which
//! shares no code with this codec but the search for lines, reads what we would send on, and has to
//! see what we saw. Where the two differ on purpose, a comment at the place says so.

mod bodies;
mod connections;
mod frames;
mod heads;
mod lines;
mod peer;

use std::cell::OnceCell;
use std::time::Duration;

use serin::wire::server::Rules;

pub use bodies::chunked;
pub use connections::connection;
pub use frames::http2;
pub use heads::{request_head, response_head};

/// Small limits, so that they are met.
const RULES: Rules = Rules {
    headers: 20,
    header_bytes: 2 << 10,
    target_bytes: 512,
    body_bytes: 1 << 10,
    first_byte: Duration::from_secs(10),
    head: Duration::from_secs(10),
    body_idle: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    stream_idle: Duration::from_secs(10),
    http1: true,
    http2: false,
    h2_streams: 100,
};
/// What an upstream is called in a request that names no host.
const UPSTREAM: &str = "10.0.0.1:80";

/// Runs `future` with a clock that stands still, and jumps where all wait for it.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("it needs no system calls")
        });
        runtime.block_on(future)
    })
}
