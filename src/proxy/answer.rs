//! Every error becomes a response: the outermost layer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::error::Error;
use crate::wire;

#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLayer;

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner }
    }
}

/// Answers for `inner` where it fails.
#[derive(Clone, Debug)]
pub(super) struct Answer<S> {
    inner: S,
}

impl<S, W> Service<wire::Request> for Answer<S>
where
    S: Service<wire::Request, Response = wire::Response<W>, Error = Error>,
{
    type Response = wire::Response<W>;
    type Error = Infallible;
    type Future = Answered<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The layers below wait for nothing before they take a request.
        let _ = ready!(self.inner.poll_ready(cx));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: wire::Request) -> Self::Future {
        Answered { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The response future of [`Answer`].
    #[derive(Debug)]
    pub(super) struct Answered<F> {
        #[pin]
        inner: F,
    }
}

impl<F, W> Future for Answered<F>
where
    F: Future<Output = Result<wire::Response<W>, Error>>,
{
    type Output = Result<wire::Response<W>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.project().inner.poll(cx));
        Poll::Ready(Ok(answer.unwrap_or_else(|error| error.response())))
    }
}
