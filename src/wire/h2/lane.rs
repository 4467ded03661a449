//! One stream, as its connection and its request see it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::frame::{PAYLOAD_MAX, Reason};
use super::session::Session;
use super::window::{Allowance, Credit};
use crate::wire::ResponseHead;
use crate::wire::h1::framing::{Asked, Framing};
use crate::wire::h1::slab::{self, Slab};

/// What a stream may send before we have read it.
pub(super) const WINDOW: usize = 128 << 10;

/// While a worker holds less of uploads than this, what a connection may send is not made less by
/// what has come: uploads to a pool that reads nothing do not stop those to another.
const HELD_MAX: usize = 64 << 20;

thread_local! {
    /// What all streams of a worker hold of uploads.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A stream. Its connection brings what the client says, its request takes it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(super) id: u32,
    /// Where its request is among those of the connection.
    pub(super) place: Cell<usize>,
    pub(super) credit: Cell<Credit>,
    pub(super) allowance: Cell<Allowance>,
    /// What has come of the body.
    inbox: RefCell<VecDeque<Slab>>,
    /// How much of that the connection was given back already.
    given_back: Cell<usize>,
    /// How much of it is still to come, where that was said.
    pub(super) left: Cell<Option<u64>>,
    pub(super) trailers: RefCell<Vec<u8>>,
    /// Whether the client has said all.
    pub(super) has_ended: Cell<bool>,
    /// Whether we have.
    pub(super) is_answered: Cell<bool>,
    /// Whether either side has given it up; its request is dropped then.
    pub(super) is_gone: Cell<bool>,
    /// Whether its answer waits for room.
    pub(super) waits: Cell<bool>,
}

impl Lane {
    pub(super) fn new(id: u32, credit: Credit, ends: bool, length: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            id,
            place: Cell::new(usize::MAX),
            credit: Cell::new(credit),
            allowance: Cell::new(Allowance::new(WINDOW)),
            inbox: RefCell::default(),
            given_back: Cell::new(0),
            left: Cell::new(length),
            trailers: RefCell::default(),
            has_ended: Cell::new(ends),
            is_answered: Cell::new(false),
            is_gone: Cell::new(false),
            waits: Cell::new(false),
        })
    }

    /// Takes a part of the body; false where that, or its end, is not what was announced (RFC 9113
    /// §8.1.1).
    pub(super) fn take(&self, bytes: &[u8], ends: bool) -> bool {
        if let Some(left) = self.left.get() {
            let Some(left) = left.checked_sub(bytes.len() as u64) else { return false };
            if ends && left > 0 {
                return false;
            }
            self.left.set(Some(left));
        }
        if !bytes.is_empty() {
            let mut inbox = self.inbox.borrow_mut();
            match inbox.back_mut() {
                Some(last) if last.has_room(bytes.len()) => last.push(bytes),
                // It may have to wait, so a little takes little memory.
                _ => inbox.push_back(Slab::of(bytes)),
            }
        }
        HELD.set(HELD.get() + bytes.len());
        self.has_ended.set(ends);
        true
    }

    /// Of what has just come, so much is given back to the connection before it is taken.
    pub(super) fn advance(&self, bytes: usize) -> usize {
        if HELD.get() > HELD_MAX {
            return 0;
        }
        self.given_back.set(self.given_back.get() + bytes);
        bytes
    }

    /// So much was taken; tells how much of that the connection is owed.
    fn release(&self, bytes: usize) -> usize {
        HELD.set(HELD.get() - bytes);
        let given_back = self.given_back.get().min(bytes);
        self.given_back.set(self.given_back.get() - given_back);
        bytes - given_back
    }

    /// Drops what nobody has taken; tells how much of that the connection is owed.
    pub(super) fn forget(&self) -> usize {
        self.release(self.inbox.take().iter().map(Slab::len).sum())
    }
}

/// A stream, as its request and its body hold it.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(super) session: Rc<Session>,
    pub(super) lane: Rc<Lane>,
}

impl Channel {
    /// Whether all of the body has come, and was taken.
    pub(super) fn is_drained(&self) -> bool {
        self.lane.has_ended.get() && self.lane.inbox.borrow().is_empty()
    }

    /// What has come of the body and was not taken.
    pub(super) fn take(&self) -> Option<Slab> {
        let piece = self.lane.inbox.borrow_mut().pop_front()?;
        let owed = self.lane.release(piece.len());
        self.session.used_up(&self.lane, piece.len(), owed);
        Some(piece)
    }

    /// The trailers that have come, as lines.
    pub(super) fn take_trailers(&self) -> Vec<u8> {
        self.lane.trailers.take()
    }

    /// Sends an interim answer.
    pub(crate) fn interim(&self, head: &ResponseHead) {
        self.session.send_interim(&self.lane, head);
    }

    /// Begins an answer; tells whether a body follows its head.
    pub(super) fn begin(
        &self,
        head: &ResponseHead,
        asked: Asked,
        framing: Framing,
        is_whole: bool,
    ) -> bool {
        self.session.send_answer(&self.lane, head, asked, framing, is_whole)
    }

    /// How much of an answer is worth reading at once: what the client does not take has to wait
    /// here.
    pub(crate) fn appetite(&self) -> usize {
        self.session.room(&self.lane).max(slab::SMALL)
    }

    /// Whether the client would take more, once it has taken what is written to the connection.
    pub(super) fn is_held_up(&self) -> bool {
        self.session.is_full() && self.lane.credit.get().bytes() > 0
    }

    /// How much may be sent. Where that is nothing, the request is woken when it is more.
    pub(super) fn room(&self) -> usize {
        let room = self.session.room(&self.lane);
        if room == 0 {
            self.session.wait(&self.lane);
        }
        room
    }

    /// Sends a part of the answer's body, of at most what there is room for.
    pub(super) fn send(&self, bytes: &[u8], ends: bool) {
        let mut parts = bytes.chunks(PAYLOAD_MAX).peekable();
        if parts.peek().is_none() {
            return self.session.send_data(&self.lane, &[], ends);
        }
        while let Some(part) = parts.next() {
            self.session.send_data(&self.lane, part, ends && parts.peek().is_none());
        }
    }

    /// Ends an answer with trailers.
    pub(super) fn send_trailers(&self, lines: &[u8]) {
        self.session.send_trailers(&self.lane, lines);
    }

    /// The request is done with.
    pub(super) fn close(&self) {
        self.session.close(&self.lane);
    }

    /// Gives the stream up.
    pub(super) fn reset(&self, reason: Reason) {
        self.session.reset(&self.lane, reason);
    }
}
