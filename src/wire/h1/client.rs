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
/// How many links without a socket it keeps.
const SPARE_MAX: usize = 1024;

/// A worker's idle connections, by the number of the upstream they lead to.
///
/// Of each there is its socket and no more: where upstreams are many, what belongs to one has left
/// the cache when its next request comes. What else a request needs is kept apart, and is warm.
#[derive(Clone, Debug, Default)]
pub struct Idle(Rc<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    parked: RefCell<HashMap<u64, Shelf, BuildHasherDefault<Spread>>>,
    #[expect(clippy::vec_box, reason = "a link comes and goes in the box that it is in")]
    spare: RefCell<Vec<Box<Link>>>,
    round: Cell<u32>,
}

/// The idle connections to one upstream; the newest in place, for it is used first.
#[derive(Debug, Default)]
struct Shelf {
    newest: Option<Parked>,
    older: Vec<Parked>,
}

#[derive(Debug)]
struct Parked {
    socket: Socket,
    round: u32,
}

impl Shelf {
    fn push(&mut self, parked: Parked) {
        self.older.extend(self.newest.replace(parked));
    }

    fn pop(&mut self) -> Option<Parked> {
        let newest = self.newest.take();
        self.newest = self.older.pop();
        newest
    }

    fn retain(&mut self, keep: impl Fn(&Parked) -> bool) {
        self.older.retain(&keep);
        self.newest = self.newest.take().filter(keep).or_else(|| self.older.pop());
    }
}

impl Idle {
    /// Takes out a connection to upstream `key` that looks alive: nothing has come, no end either.
    pub fn take(&self, key: u64) -> Option<Connection> {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.get_mut(&key)?;
        while let Some(Parked { socket, .. }) = shelf.pop() {
            if socket.is_silent() {
                return Some(self.lead(socket, key));
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
            shelf
                .retain(|parked| round.wrapping_sub(parked.round) < 2 && parked.socket.is_silent());
            shelf.newest.is_some()
        });
    }

    fn lead(&self, socket: Socket, key: u64) -> Connection {
        let mut link = self.0.spare.borrow_mut().pop().unwrap_or_else(Link::new);
        link.lead(socket, key, self.clone());
        Connection(link)
    }

    /// Keeps `socket`, and `link` for whichever needs one next.
    pub(super) fn park(&self, key: u64, socket: Socket, link: Box<Link>) {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.entry(key).or_default();
        if shelf.older.len() + 1 < IDLE_MAX {
            shelf.push(Parked { socket, round: self.0.round.get() });
        }
        let mut spare = self.0.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(link);
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
        idle.lead(Socket::new(stream), key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_used_first_and_the_old_are_closed() {
        let mut shelf = Shelf::default();
        let parked = |round| Parked { socket: Socket::default(), round };
        let rounds = |shelf: &mut Shelf| -> Vec<u32> {
            std::iter::from_fn(|| shelf.pop()).map(|parked| parked.round).collect()
        };
        let fill = |shelf: &mut Shelf| (1..=4).for_each(|round| shelf.push(parked(round)));
        fill(&mut shelf);
        assert_eq!(rounds(&mut shelf), [4, 3, 2, 1]);
        // The newest may have ended while older ones live.
        for (kept, expected) in [(&[2, 3][..], &[3, 2][..]), (&[1, 4], &[4, 1]), (&[], &[])] {
            fill(&mut shelf);
            shelf.retain(|parked| kept.contains(&parked.round));
            assert_eq!(shelf.newest.is_none(), expected.is_empty());
            assert_eq!(rounds(&mut shelf), expected);
        }
    }

    #[test]
    fn idle_connections_do_not_keep_their_worker() {
        let idle = Idle::default();
        let shelves = Rc::downgrade(&idle.0);
        let Connection(link) = idle.lead(Socket::default(), 7);
        link.end();
        assert_eq!((idle.0.parked.borrow().len(), idle.0.spare.borrow().len()), (1, 1));
        drop(idle);
        assert!(shelves.upgrade().is_none());
    }
}
