//! Who asked, as far as what carries a request on has to know: interim answers go there, and what
//! a tunnel carries comes from there.

use std::rc::Rc;

use super::h1::side::Shared;
use super::h1::slab::Slab;
use super::h2::{Channel, Inbound};
use super::{Body, ResponseHead};

/// Who asked.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A connection of HTTP/1.1.
    Connection(Shared),
    /// A stream of HTTP/2.
    Stream(Channel),
}

impl Caller {
    /// Passes on an interim answer.
    pub(crate) fn interim(&self, head: ResponseHead) {
        match self {
            Self::Connection(side) => {
                let mut slab = Slab::new();
                head.write_interim(&mut slab);
                side.borrow_mut().outbox.push(slab);
            }
            Self::Stream(channel) => channel.interim(&head),
        }
    }

    /// How much of an answer is worth reading at once.
    pub(crate) fn appetite(&self) -> usize {
        match self {
            Self::Connection(_) => usize::MAX,
            Self::Stream(channel) => channel.appetite(),
        }
    }

    /// All that the client sends from now on, which is no HTTP.
    pub(crate) fn tunnel(&self) -> Body {
        match self {
            Self::Connection(side) => {
                side.borrow_mut().begin_tunnel();
                Body::of_client(Rc::clone(side))
            }
            Self::Stream(channel) => Body::of_stream(Inbound::of_tunnel(channel.clone())),
        }
    }
}
