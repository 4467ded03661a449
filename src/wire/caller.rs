//! Who asked, as far as what carries a request on has to know: interim answers go there, and what
//! a tunnel carries comes from there.

use std::cell::RefCell;
use std::rc::Rc;

use super::h1::side::Shared;
use super::h1::slab::Slab;
use super::h2::Inbound;
use super::{Body, ResponseHead};

/// Who asked.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A connection of HTTP/1.1.
    Connection(Shared),
    /// A stream of HTTP/2.
    Stream(Rc<Mailbox>),
}

/// What is left for the task of a stream, which alone can send on it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// Interim answers to be sent.
    pub(crate) interims: RefCell<Vec<ResponseHead>>,
    /// What the client sends once there is a tunnel.
    pub(crate) tunnel: RefCell<Option<Box<Inbound>>>,
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
            Self::Stream(mailbox) => mailbox.interims.borrow_mut().push(head),
        }
    }

    /// All that the client sends from now on, which is no HTTP.
    pub(crate) fn tunnel(&self) -> Body {
        match self {
            Self::Connection(side) => {
                side.borrow_mut().begin_tunnel();
                Body::of_client(Rc::clone(side))
            }
            Self::Stream(mailbox) => mailbox.tunnel.take().map_or(Body::empty(), Body::of_stream),
        }
    }
}
