//! Connections to upstreams. Each worker has its own: no lock, and no wait for another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use super::link::Link;
use crate::net::Socket;
use crate::wire::{Body, Error, Head, ResponseHead};

/// How many idle connections a worker keeps for one upstream.
const IDLE_MAX: usize = 1024;

/// A worker's idle connections, by the number of the upstream they lead to.
#[derive(Clone, Debug, Default)]
pub struct Idle(Rc<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    parked: RefCell<HashMap<u64, Vec<Parked>, BuildHasherDefault<Spread>>>,
    round: Cell<u32>,
}

#[derive(Debug)]
struct Parked {
    link: Box<Link>,
    round: u32,
}

impl Idle {
    /// Takes out a connection to upstream `key` that looks alive.
    pub fn take(&self, key: u64) -> Option<Connection> {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.get_mut(&key)?;
        while let Some(Parked { link, .. }) = shelf.pop() {
            if link.is_alive() {
                return Some(Connection(link));
            }
        }
        None
    }

    /// Closes what nobody has used since the sweep before the last. Called every so often, so that
    /// a request needs to read no clock to be aged.
    pub fn sweep(&self) {
        let round = self.0.round.get().wrapping_add(1);
        self.0.round.set(round);
        self.0.parked.borrow_mut().retain(|_, shelf| {
            shelf.retain(|parked| round.wrapping_sub(parked.round) < 2 && parked.link.is_alive());
            !shelf.is_empty()
        });
    }

    pub(super) fn park(&self, link: Box<Link>) {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.entry(link.key()).or_default();
        if shelf.len() < IDLE_MAX {
            shelf.push(Parked { link, round: self.0.round.get() });
        }
    }
}

/// Spreads numbers that we gave out ourselves: nobody can choose them to collide.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio (Knuth, TAOCP 3, §6.4): neighbours end up far apart.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// A connection to an upstream, ready for one request.
#[derive(Debug)]
pub struct Connection(Box<Link>);

/// A request that got no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub error: Error,
    /// The request itself, where not a byte of it was sent.
    pub unsent: Option<Box<(Head, Body)>>,
}

impl Connection {
    /// Speaks HTTP/1.1 over `stream`, which does not block, to upstream `key`.
    pub fn open(stream: TcpStream, key: u64, idle: &Idle) -> Self {
        Self(Link::new(Socket::new(stream), key, idle.clone()))
    }

    /// Sends a request and waits for the head of its answer, for `limit` after the last byte of the
    /// request was sent: until then it is the client that is waited for, whose body has a limit of
    /// its own. Must be awaited by the task that serves the client.
    pub async fn send(
        self,
        head: Head,
        body: Body,
        limit: Duration,
    ) -> Result<(ResponseHead, Body), Unanswered> {
        let Self(mut link) = self;
        link.begin(&head, body);
        match poll_fn(|cx| link.poll_head(&head, limit, cx)).await {
            Ok((answer, framing)) => Ok((answer, Body::of_upstream(link, framing))),
            Err(error) => {
                let body = if error == Error::Reset { link.take_back() } else { None };
                let unsent = body.map(|body| Box::new((head, body)));
                Err(Unanswered { error, unsent })
            }
        }
    }
}
