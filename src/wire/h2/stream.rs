//! One request: served, answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tower::Service;

use super::answer::Answer;
use super::inbound::Inbound;
use super::lane::Channel;
use super::request::Came;
use crate::wire::caller::Caller;
use crate::wire::h1::framing::{Asked, Framing, Refusal};
use crate::wire::head::Taken;
use crate::wire::server::{Server, Slot};
use crate::wire::{Body, Client, Request, Response, Watch, own};

/// A request under way. It is small, for it is moved when it begins.
pub(super) struct Stream<S, W>
where
    S: Service<Request>,
{
    server: Rc<Server<S>>,
    channel: Channel,
    asked: Asked,
    /// Whether it is to become a tunnel (RFC 8441 §4).
    wants_tunnel: bool,
    state: State<S::Future, W>,
}

enum State<F, W> {
    Serving(Slot<F>),
    /// Its answer is there and was not begun.
    Answered(Response<W>),
    Answering(Answer<W>),
    Done,
}

impl<S, W> Stream<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    /// Has `service` serve a request that nothing is wrong with.
    pub(super) fn begin(
        server: &Rc<Server<S>>,
        service: &mut S,
        client: &Client,
        came: Came,
        channel: Channel,
    ) -> Self {
        // Trailers need no leave here (RFC 9113 §8.1).
        let asked = Asked { is_head: came.is_head, is_1_1: true, keep: true, trailers: true };
        let taken = came.taken.as_ref();
        let wants_tunnel = taken.is_ok_and(|taken| taken.head.wants_upgrade());
        let state = match came.taken {
            Ok(taken) if taken.is_for_us => State::Answered(own::allowed()),
            Ok(taken) => serve(server, service, client, taken, &channel),
            Err(refusal) => {
                tracing::debug!(peer = %client.peer, status = refusal.status, reason = refusal.reason.trim_end(), "refused");
                State::Answered(own::refusal(refusal))
            }
        };
        Self { server: Rc::clone(server), channel, asked, wants_tunnel, state }
    }
}

fn serve<S, W>(
    server: &Server<S>,
    service: &mut S,
    client: &Client,
    taken: Taken,
    channel: &Channel,
) -> State<S::Future, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    let Taken { mut head, framing, .. } = taken;
    let body = if framing == Framing::None {
        Body::empty()
    } else {
        let rules = &server.rules;
        Body::of_stream(Inbound::new(channel.clone(), rules.body_bytes, rules.body_idle))
    };
    head.set_caller(Caller::Stream(channel.clone()));
    let mut slot = server.slot();
    slot.set(Some(service.call(Request { head, body, client: client.clone() })));
    State::Serving(slot)
}

impl<S: Service<Request>, W: Watch> Stream<S, W> {
    /// A success would say that a tunnel is open, where an upstream has just not heard of any.
    fn checked(&self, response: Response<W>) -> Response<W> {
        if !self.wants_tunnel || !matches!(response.head.status(), 200..300) {
            return response;
        }
        if let Some(watch) = response.watch {
            // Anybody can ask for a tunnel where there is none.
            watch.ended(Ok(()));
        }
        own::refusal(Refusal::NO_TUNNEL)
    }
}

/// Nothing in it is pinned in place: the future of the service has a place of its own.
impl<S: Service<Request>, W> Unpin for Stream<S, W> {}

impl<S: Service<Request>, W> Drop for Stream<S, W> {
    fn drop(&mut self) {
        self.channel.close();
    }
}

impl<S, W> Future for Stream<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let State::Serving(slot) = &mut this.state {
            let Some(call) = slot.as_mut().as_pin_mut() else { return Poll::Ready(()) };
            let Ok(response) = ready!(call.poll(cx));
            let state = State::Answered(this.checked(response));
            if let State::Serving(slot) = std::mem::replace(&mut this.state, state) {
                this.server.give_back(slot);
            }
        }
        if matches!(this.state, State::Answered(_))
            && let State::Answered(response) = std::mem::replace(&mut this.state, State::Done)
        {
            let stall = this.server.rules.stream_idle;
            let answer = Answer::begin(response, this.asked, &this.channel, stall);
            this.state = answer.map_or(State::Done, State::Answering);
        }
        match &mut this.state {
            State::Answering(answer) => answer.poll(&this.channel, cx),
            _ => Poll::Ready(()),
        }
    }
}
