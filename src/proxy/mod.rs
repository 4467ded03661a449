//! The way of a request, on one screen.
//!
//! ```text
//!   Answer     every error becomes a response
//!   Dispatch   which service, and which side of its split
//!   Headers    what the next hop is told, and what it must not be told
//!   Observe    an exchange begins; it is recorded however it ends
//!   Forward    an endpoint, a connection, the answer's head
//! ```
//!
//! Bodies do not pass here: the wire moves them, and tells the exchange when the last byte is gone.

mod answer;
mod assign;
mod dispatch;
mod error;
mod exchange;
mod forward;
mod headers;
mod observe;
mod rehearse;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

use rand::RngExt;
use rand::rngs::SmallRng;
use tower::{Service, ServiceBuilder};

use crate::measure::Writer;
use crate::table::{Network, Reader};
use crate::wire;
use crate::wire::client::Idle;

pub use exchange::Exchange;
pub use observe::watch;

/// What the requests of one worker share. Nothing in it is shared with another worker.
#[derive(Debug)]
pub struct Worker {
    /// The routing table.
    pub table: RefCell<Reader>,
    /// The worker's counters.
    pub writer: Writer,
    /// Connections to upstreams.
    pub idle: Idle,
    /// Draws where no key decides.
    pub random: RefCell<SmallRng>,
    /// Whose turn it is where endpoints take turns.
    pub turn: Cell<u64>,
    /// How many requests of stable pools come before the next whose path is sampled.
    pub until_sample: Cell<u32>,
}

impl Worker {
    /// The next turn.
    fn turn(&self) -> u64 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// Whether the path of this request is to be sampled: that of one in 64, at random distances,
    /// for a page asks for its parts in a fixed order.
    fn is_sampled(&self) -> bool {
        let left = self.until_sample.get().checked_sub(1);
        let next = left.unwrap_or_else(|| self.random.borrow_mut().random_range(0..2 * 64 - 1));
        self.until_sample.set(next);
        left.is_none()
    }
}

/// Builds what serves the requests of one port on one worker. Forwarding headers of
/// `trusted_proxies` are believed; `via` has answers say that they passed here.
pub fn stack(
    worker: &Rc<Worker>,
    trusted_proxies: Rc<[Network]>,
    via: bool,
) -> impl Service<
    wire::Request,
    Response = wire::Response<Exchange>,
    Error = Infallible,
    Future: 'static,
> + Clone
+ 'static {
    let forwarding = Rc::clone(worker);
    ServiceBuilder::new()
        .layer(answer::AnswerLayer)
        .layer(dispatch::DispatchLayer::new(worker, &trusted_proxies))
        .layer(headers::HeadersLayer::new(trusted_proxies, via))
        .layer(observe::ObserveLayer::new(worker))
        .service_fn(move |(routed, exchange)| {
            forward::forward(Rc::clone(&forwarding), routed, exchange)
        })
}
