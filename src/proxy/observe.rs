//! Measures every request, the abandoned ones too.

use std::rc::Rc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::dispatch::Routed;
use super::{Exchange, Worker};

#[derive(Clone, Debug)]
pub(super) struct ObserveLayer {
    worker: Rc<Worker>,
}

impl ObserveLayer {
    pub(super) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker) }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, worker: Rc::clone(&self.worker) }
    }
}

/// Gives every request to `inner` an exchange, which records itself when it is dropped: with the
/// future of a request that is given up, or with the last byte of its answer.
#[derive(Clone, Debug)]
pub(super) struct Observe<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Routed> for Observe<S>
where
    S: Service<(Routed, Exchange)>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> S::Future {
        let exchange = Exchange::start(&self.worker, routed.attempt(), routed.judged);
        self.inner.call((routed, exchange))
    }
}
