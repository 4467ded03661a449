//! One request: judged, served, answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::RecvStream;
use h2::server::SendResponse;
use tower::Service;

use super::answer::Answer;
use super::head;
use super::inbound::Inbound;
use crate::wire::caller::{Caller, Mailbox};
use crate::wire::h1::framing::{Asked, Framing, Refusal};
use crate::wire::h1::slab::Slab;
use crate::wire::head::Taken;
use crate::wire::server::{Server, Slot};
use crate::wire::{Body, Client, Request, Response, Watch, own};

/// A request as its frames brought it.
pub(super) struct Came {
    pub(super) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Slab>,
    /// Whether its path has a fragment, which only the frames show.
    pub(super) has_fragment: bool,
}

/// A request under way. It is small, for it is moved when it begins.
pub(super) struct Stream<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    respond: SendResponse<Slab>,
    asked: Asked,
    state: State<S::Future, W>,
}

enum State<F, W> {
    Serving(Slot<F>, Rc<Mailbox>),
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
    /// Judges a request, and has `service` serve it where nothing is wrong with it.
    pub(super) fn begin(
        server: &Rc<Server<S>>,
        service: &mut S,
        client: &Client,
        came: Came,
    ) -> Self {
        let Came { request, respond, has_fragment } = came;
        let (parts, body) = request.into_parts();
        // Trailers need no leave here (RFC 9113 §8.1).
        let is_head = head::is_head(&parts);
        let asked = Asked { is_head, is_1_1: true, keep: true, trailers: true };
        let rules = &server.rules;
        let taken = if has_fragment {
            Err(Refusal::BAD_TARGET)
        } else {
            head::take(&parts, !body.is_end_stream(), &rules.head_limits(), rules.body_bytes)
        };
        let state = match taken {
            Ok(taken) if taken.is_for_us => State::Answered(own::allowed()),
            Ok(taken) => serve(server, service, client, taken, body),
            Err(refusal) => {
                tracing::debug!(peer = %client.peer, status = refusal.status, reason = refusal.reason.trim_end(), "refused");
                State::Answered(own::refusal(refusal))
            }
        };
        Self { server: Rc::clone(server), respond, asked, state }
    }

    /// Completes with the answer; with `None` where the client takes its request back.
    fn poll_service(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response<W>>> {
        let State::Serving(slot, mailbox) = &mut self.state else { return Poll::Ready(None) };
        let Some(call) = slot.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let response = call.poll(cx);
        for interim in mailbox.interims.borrow_mut().drain(..) {
            // Where there is nobody to send it to, the next poll says so.
            let _ = self.respond.send_informational(head::interim(&interim));
        }
        // Whoever takes it back does not want an upstream to go on with it.
        if response.is_pending() && self.respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        response.map(|Ok(response)| Some(response))
    }
}

fn serve<S, W>(
    server: &Server<S>,
    service: &mut S,
    client: &Client,
    taken: Taken,
    body: RecvStream,
) -> State<S::Future, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    let Taken { mut head, framing, .. } = taken;
    let mailbox = Rc::new(Mailbox::default());
    let body = if framing != Framing::None {
        let rules = &server.rules;
        Body::of_stream(Inbound::new(body, rules.body_bytes, rules.body_idle))
    } else {
        if head.wants_upgrade() {
            mailbox.tunnel.replace(Some(Inbound::of_tunnel(body)));
        }
        Body::empty()
    };
    head.set_caller(Caller::Stream(Rc::clone(&mailbox)));
    let mut slot = server.slot();
    slot.set(Some(service.call(Request { head, body, client: client.clone() })));
    State::Serving(slot, mailbox)
}

/// Nothing in it is pinned in place: the future of the service has a place of its own.
impl<S: Service<Request>, W> Unpin for Stream<S, W> {}

impl<S, W> Future for Stream<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if matches!(this.state, State::Serving(..)) {
            let response = ready!(this.poll_service(cx));
            let state = response.map_or(State::Done, State::Answered);
            if let State::Serving(slot, _) = std::mem::replace(&mut this.state, state) {
                this.server.give_back(slot);
            }
        }
        if matches!(this.state, State::Answered(_))
            && let State::Answered(response) = std::mem::replace(&mut this.state, State::Done)
        {
            let stall = this.server.rules.stream_idle;
            let answer = Answer::begin(response, this.asked, &mut this.respond, stall);
            this.state = answer.map_or(State::Done, State::Answering);
        }
        match &mut this.state {
            State::Answering(answer) => answer.poll(cx),
            _ => Poll::Ready(()),
        }
    }
}
