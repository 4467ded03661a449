//! A connection, as its task and its streams share it: what is sent, and how much may be.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, MAX, PAYLOAD_MAX, PING,
    RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE,
};
use super::lane::{Channel, Lane};
use super::out::Out;
use super::settings::{self, WINDOW_BEFORE, clamped};
use super::streams::Woken;
use super::unended::Unended;
use super::window::{Allowance, Credit};
use super::{hpack, reply};
use crate::wire::ResponseHead;
use crate::wire::h1::framing::{Asked, Framing};
use crate::wire::server::Rules;
use crate::wire::stock::forget_large;

/// What all streams of a connection may send before we have read it, where a worker holds as much as
/// it may.
const WINDOW: usize = 2 << 20;
/// What a ping of ours carries: whoever answers it has seen what was sent before it.
const LAST_CALL: [u8; 8] = *b"drained?";

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    inner: RefCell<Inner>,
    woken: Arc<Woken>,
}

#[derive(Debug)]
struct Inner {
    out: Out,
    /// The streams that are open, in the order of their numbers.
    lanes: Vec<Rc<Lane>>,
    /// Those that were answered before the client had ended them, until it is told to.
    unended: Unended,
    /// The last that the client has opened.
    last: u32,
    /// What may be sent on all streams together, and at first on each.
    credit: Credit,
    credit_at_first: u32,
    allowance: Allowance,
    /// Whether any answer waits for room.
    has_waiting: bool,
    /// The head that is being written; used again and again.
    block: Vec<u8>,
    has_begun_blocks: bool,
    /// Whether the client knows which of its requests is the last.
    has_said_last: bool,
}

impl Session {
    /// Says hello.
    pub(super) fn new(rules: &Rules, woken: Arc<Woken>) -> Rc<Self> {
        let mut inner = Inner {
            out: Out::default(),
            lanes: Vec::new(),
            unended: Unended::new(rules.h2_streams),
            last: 0,
            credit: Credit::new(WINDOW_BEFORE),
            credit_at_first: WINDOW_BEFORE,
            allowance: Allowance::new(WINDOW),
            has_waiting: false,
            block: Vec::new(),
            has_begun_blocks: false,
            has_said_last: false,
        };
        inner.out.push(SETTINGS, 0, 0, &settings::ours(rules));
        let more = clamped(WINDOW) - WINDOW_BEFORE;
        inner.out.push(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Rc::new(Self { inner: RefCell::new(inner), woken })
    }

    /// Whether the client has to take some of what is sent before there is more.
    pub(super) fn is_full(&self) -> bool {
        self.inner.borrow().out.is_full()
    }

    /// Whether all that was said has left.
    pub(super) fn is_drained(&self) -> bool {
        self.inner.borrow().out.is_empty()
    }

    pub(super) fn poll_drain<I: AsyncWrite + ?Sized>(
        &self,
        io: Pin<&mut I>,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().out.poll_drain(io, moved, cx)
    }

    /// Wakes the answers that waited for room and have it; tells whether there are any.
    pub(super) fn wake_waiting(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        if !inner.has_waiting || inner.out.is_full() {
            return false;
        }
        inner.has_waiting = false;
        let mut any = false;
        let (of_all, mut still_waits) = (inner.credit.bytes(), false);
        for lane in inner.lanes.iter().filter(|lane| lane.waits.get()) {
            if of_all.min(lane.credit.get().bytes()) > 0 {
                lane.waits.set(false);
                self.woken.note(lane.place.get());
                any = true;
            } else {
                still_waits = true;
            }
        }
        inner.has_waiting = still_waits;
        any
    }

    /// The open stream with this number.
    pub(super) fn lane(&self, id: u32) -> Option<Rc<Lane>> {
        let inner = self.inner.borrow();
        let at = inner.lanes.binary_search_by_key(&id, |lane| lane.id).ok()?;
        Some(Rc::clone(&inner.lanes[at]))
    }

    /// The open streams that the client has not ended.
    pub(super) fn half_said(&self) -> Vec<Rc<Lane>> {
        let inner = self.inner.borrow();
        inner.lanes.iter().filter(|lane| !lane.has_ended.get()).cloned().collect()
    }

    /// The last stream that the client has opened.
    pub(super) fn last(&self) -> u32 {
        self.inner.borrow().last
    }

    /// How many streams are open.
    pub(super) fn count(&self) -> usize {
        self.inner.borrow().lanes.len()
    }

    /// The client has asked for a stream, which is not served.
    pub(super) fn pass_over(&self, id: u32) {
        self.inner.borrow_mut().last = id;
    }

    /// Opens a stream. `length` is that of the body, where it was announced.
    pub(super) fn open(self: &Rc<Self>, id: u32, ends: bool, length: Option<u64>) -> Channel {
        let mut inner = self.inner.borrow_mut();
        inner.last = id;
        let lane = Lane::new(id, Credit::new(inner.credit_at_first), ends, length);
        inner.lanes.push(Rc::clone(&lane));
        Channel { session: Rc::clone(self), lane }
    }

    /// Closes a stream whose request is done with.
    pub(super) fn close(&self, lane: &Lane) {
        let owed = lane.forget();
        let mut inner = self.inner.borrow_mut();
        if !lane.is_gone.get() {
            match (lane.is_answered.get(), lane.has_ended.get()) {
                (true, true) => {}
                (true, false) => inner.let_end(lane),
                (false, _) => inner.reset(lane.id, Reason::CANCEL),
            }
        }
        inner.give_back(owed);
        if let Ok(at) = inner.lanes.binary_search_by_key(&lane.id, |lane| lane.id) {
            inner.lanes.remove(at);
        }
    }

    /// Gives all streams up without a word for each.
    pub(super) fn abandon(&self) {
        self.inner.borrow().lanes.iter().for_each(|lane| lane.is_gone.set(true));
    }

    /// The client has sent so much of bodies; false where that is more than it may.
    pub(super) fn spend(&self, bytes: usize) -> bool {
        self.inner.borrow_mut().allowance.spend(bytes)
    }

    /// So much of it was no body, or of none that anybody reads.
    pub(super) fn give_back(&self, bytes: usize) {
        self.inner.borrow_mut().give_back(bytes);
    }

    /// So much of a stream's window was used up, and the connection is owed so much.
    pub(super) fn used_up(&self, lane: &Lane, bytes: usize, owed: usize) {
        let mut inner = self.inner.borrow_mut();
        inner.give_back(owed);
        let mut allowance = lane.allowance.get();
        let more = allowance.give_back(bytes);
        lane.allowance.set(allowance);
        if let Some(more) = more
            && !lane.has_ended.get()
        {
            inner.out.push(WINDOW_UPDATE, 0, lane.id, &more.to_be_bytes());
        }
    }

    /// Settings of the client.
    pub(super) fn agree(&self, settings: &[u8]) -> Result<(), Reason> {
        let mut inner = self.inner.borrow_mut();
        if let Some(window) = settings::window(settings)? {
            let change = i64::from(window) - i64::from(inner.credit_at_first);
            inner.credit_at_first = window;
            for lane in &inner.lanes {
                let mut credit = lane.credit.get();
                credit.add(change).map_err(|_| Reason::FLOW_CONTROL)?;
                lane.credit.set(credit);
            }
        }
        inner.out.push(SETTINGS, ACK, 0, &[]);
        Ok(())
    }

    /// The client may be sent more on all streams together.
    pub(super) fn widen(&self, more: u32) -> Result<(), Reason> {
        if more == 0 {
            return Err(Reason::PROTOCOL);
        }
        let mut inner = self.inner.borrow_mut();
        inner.credit.add(more.into()).map_err(|_| Reason::FLOW_CONTROL)
    }

    /// Answers a ping.
    pub(super) fn pong(&self, bytes: [u8; 8]) {
        self.inner.borrow_mut().out.push(PING, ACK, 0, &bytes);
    }

    /// Says something that asks for nothing but an answer.
    pub(super) fn ping(&self) {
        self.inner.borrow_mut().out.push(PING, 0, 0, &[0; 8]);
    }

    /// Tells the client that nothing more should be asked. What it asks before it knows is answered
    /// (RFC 9113 §6.8).
    pub(super) fn last_call(&self) {
        let mut inner = self.inner.borrow_mut();
        if !inner.has_said_last {
            inner.go_away(MAX, Reason::NO_ERROR);
            inner.out.push(PING, 0, 0, &LAST_CALL);
        }
    }

    /// A ping of ours was answered.
    pub(super) fn ponged(&self, bytes: [u8; 8]) {
        let mut inner = self.inner.borrow_mut();
        if bytes == LAST_CALL && !inner.has_said_last {
            inner.has_said_last = true;
            let last = inner.last;
            inner.go_away(last, Reason::NO_ERROR);
        }
    }

    /// Whether the client knows which of its requests is the last.
    pub(super) fn has_said_last(&self) -> bool {
        self.inner.borrow().has_said_last
    }

    /// Tells the client why the connection ends.
    pub(super) fn go_away(&self, reason: Reason) {
        let mut inner = self.inner.borrow_mut();
        inner.has_said_last = true;
        let last = inner.last;
        inner.go_away(last, reason);
    }

    /// Gives a stream up.
    pub(super) fn reset(&self, lane: &Lane, reason: Reason) {
        if !lane.is_gone.replace(true) {
            self.refuse(lane.id, reason);
        }
    }

    /// The client goes on with a stream that is closed, or ends it; nobody wants the rest.
    pub(super) fn is_sent_on(&self, id: u32, ends: bool) {
        let mut inner = self.inner.borrow_mut();
        if inner.unended.remove(id) && !ends {
            inner.reset(id, Reason::NO_ERROR);
        }
    }

    /// Refuses a stream that was not opened.
    pub(super) fn refuse(&self, id: u32, reason: Reason) {
        self.inner.borrow_mut().reset(id, reason);
    }

    /// How much may be sent on a stream.
    pub(super) fn room(&self, lane: &Lane) -> usize {
        let inner = self.inner.borrow();
        if inner.out.is_full() { 0 } else { inner.credit.bytes().min(lane.credit.get().bytes()) }
    }

    /// Notes that an answer waits for room.
    pub(super) fn wait(&self, lane: &Lane) {
        lane.waits.set(true);
        self.inner.borrow_mut().has_waiting = true;
    }

    pub(super) fn send_interim(&self, lane: &Lane, head: &ResponseHead) {
        let mut inner = self.inner.borrow_mut();
        inner.begin_block();
        reply::interim(head, &mut inner.block);
        inner.send_block(lane, false);
    }

    /// Begins an answer; tells whether a body follows its head.
    pub(super) fn send_answer(
        &self,
        lane: &Lane,
        head: &ResponseHead,
        asked: Asked,
        framing: Framing,
        is_whole: bool,
    ) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.begin_block();
        let has_body = reply::answer(head, asked, framing, &mut inner.block);
        inner.send_block(lane, is_whole || !has_body);
        has_body
    }

    pub(super) fn send_trailers(&self, lane: &Lane, lines: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        inner.begin_block();
        reply::trailers(lines, &mut inner.block);
        inner.send_block(lane, true);
    }

    pub(super) fn send_data(&self, lane: &Lane, bytes: &[u8], ends: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.credit.spend(bytes.len());
        let mut credit = lane.credit.get();
        credit.spend(bytes.len());
        lane.credit.set(credit);
        lane.is_answered.set(ends);
        inner.out.push(DATA, if ends { END_STREAM } else { 0 }, lane.id, bytes);
    }
}

impl Inner {
    fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.allowance.give_back(bytes) {
            self.out.push(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    fn reset(&mut self, id: u32, reason: Reason) {
        self.out.push(RST_STREAM, 0, id, &reason.bytes());
    }

    /// The client need not send the rest of an answered request (RFC 9113 §8.1). Whoever goes on is
    /// told so then: some lose an answer that comes together with a reset. Whoever waits for a
    /// window is told now.
    fn let_end(&mut self, lane: &Lane) {
        if lane.allowance.get().left() < PAYLOAD_MAX {
            return self.reset(lane.id, Reason::NO_ERROR);
        }
        if let Some(oldest) = self.unended.add(lane.id) {
            self.reset(oldest, Reason::NO_ERROR);
        }
    }

    fn go_away(&mut self, last: u32, reason: Reason) {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&last.to_be_bytes());
        payload[4..].copy_from_slice(&reason.bytes());
        self.out.push(GOAWAY, 0, 0, &payload);
    }

    fn begin_block(&mut self) {
        self.block.clear();
        if !std::mem::replace(&mut self.has_begun_blocks, true) {
            hpack::begin(&mut self.block);
        }
    }

    fn send_block(&mut self, lane: &Lane, ends: bool) {
        lane.is_answered.set(ends);
        let mut parts = self.block.chunks(PAYLOAD_MAX).enumerate().peekable();
        while let Some((number, part)) = parts.next() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let end = if number == 0 && ends { END_STREAM } else { 0 };
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            self.out.push(kind, end | last, lane.id, part);
        }
        forget_large(&mut self.block);
    }
}
