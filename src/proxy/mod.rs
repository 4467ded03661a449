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
mod dispatch;
mod error;
mod exchange;
mod forward;
mod headers;
mod observe;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

use rand::rngs::SmallRng;
use tower::{Service, ServiceBuilder};

use crate::measure::Writer;
use crate::table::{Network, Reader};
use crate::wire;
use crate::wire::client::Idle;

pub use exchange::Exchange;

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
}

impl Worker {
    /// The next turn.
    fn turn(&self) -> u64 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }
}

/// Builds what serves the requests of one port on one worker. Forwarding headers of
/// `trusted_proxies` are believed.
pub fn stack(
    worker: &Rc<Worker>,
    trusted_proxies: Rc<[Network]>,
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
        .layer(headers::HeadersLayer::new(trusted_proxies))
        .layer(observe::ObserveLayer::new(worker))
        .service_fn(move |(routed, exchange)| {
            forward::forward(Rc::clone(&forwarding), routed, exchange)
        })
}
