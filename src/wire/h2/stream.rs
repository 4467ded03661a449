//! One request: judged, served, answered.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use h2::RecvStream;
use h2::server::SendResponse;
use tower::Service;

use super::inbound::Inbound;
use super::{answer, head};
use crate::wire::caller::{Caller, Mailbox};
use crate::wire::h1::framing::{Asked, Framing, Refusal};
use crate::wire::h1::slab::Slab;
use crate::wire::head::Taken;
use crate::wire::server::Server;
use crate::wire::{Body, Client, Request, Response, Watch, own};

/// Serves one request. Whether its path `has_fragment` is known of its frames only.
pub(super) async fn serve<S, W>(
    server: Rc<Server<S>>,
    client: Client,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Slab>,
    has_fragment: bool,
) where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    let rules = &server.rules;
    let (parts, stream) = request.into_parts();
    let has_body = !stream.is_end_stream();
    let taken = if has_fragment {
        Err(Refusal::BAD_TARGET)
    } else {
        head::take(&parts, has_body, &rules.head_limits(), rules.body_bytes)
    };
    // Trailers need no leave here (RFC 9113 §8.1).
    let asked = Asked { is_head: head::is_head(&parts), is_1_1: true, keep: true, trailers: true };
    drop(parts);
    let Taken { mut head, framing, is_for_us, .. } = match taken {
        Ok(taken) => taken,
        Err(refusal) => {
            tracing::debug!(peer = %client.peer, status = refusal.status, reason = refusal.reason.trim_end(), "refused");
            return answer::send(own::refusal::<W>(refusal), asked, respond, rules.stream_idle)
                .await;
        }
    };
    if is_for_us {
        return answer::send(own::allowed::<W>(), asked, respond, rules.stream_idle).await;
    }

    let mailbox = Rc::new(Mailbox::default());
    let body = if framing != Framing::None {
        Body::of_stream(Inbound::new(stream, rules.body_bytes, rules.body_idle))
    } else {
        if head.wants_upgrade() {
            mailbox.tunnel.replace(Some(Inbound::of_tunnel(stream)));
        }
        Body::empty()
    };
    head.set_caller(Caller::Stream(Rc::clone(&mailbox)));
    let request = Request { head, body, client };

    let mut service = server.service();
    let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
    let mut slot = server.slot();
    slot.set(Some(service.call(request)));
    let response = poll_fn(|cx| {
        // Whoever takes its request back gets no answer, and no upstream goes on with it.
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        let Some(call) = slot.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let response = call.poll(cx);
        for interim in mailbox.interims.borrow_mut().drain(..) {
            // Where there is nobody to send it to, the next poll says so.
            let _ = respond.send_informational(head::interim(&interim));
        }
        response.map(|Ok(response)| Some(response))
    })
    .await;
    server.give_back(slot);
    if let Some(response) = response {
        answer::send(response, asked, respond, rules.stream_idle).await;
    }
}
