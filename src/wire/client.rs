//! Connections to upstreams. Each worker has its own: no lock, and no wait for another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Upload;
use super::{Body, Error, Head, ResponseHead};
use crate::clock;

/// How long a connection may take to be ready for its next request: it lives on this thread.
const READY_LIMIT: Duration = Duration::from_millis(100);
/// How many idle connections a worker keeps for one upstream.
const IDLE_MAX: usize = 1024;
/// How many bytes of head an upstream may send.
const HEAD_MAX: usize = 256 * 1024;
/// How many fields an upstream may send.
const FIELDS_MAX: usize = 256;

/// A worker's idle connections, by the number of the upstream they lead to.
#[derive(Clone, Debug, Default)]
pub struct Idle(Rc<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    parked: RefCell<HashMap<u64, Vec<Parked>>>,
    round: Cell<u32>,
}

#[derive(Debug)]
struct Parked {
    sender: SendRequest<Body>,
    round: u32,
}

impl Idle {
    /// Takes out a connection to upstream `key` that looks alive.
    pub fn take(&self, key: u64) -> Option<Connection> {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.get_mut(&key)?;
        while let Some(Parked { sender, .. }) = shelf.pop() {
            if !sender.is_closed() {
                return Some(Connection { sender, key, idle: self.clone() });
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
            shelf.retain(|parked| {
                round.wrapping_sub(parked.round) < 2 && !parked.sender.is_closed()
            });
            !shelf.is_empty()
        });
    }

    fn park(&self, key: u64, sender: SendRequest<Body>) {
        let mut parked = self.0.parked.borrow_mut();
        let shelf = parked.entry(key).or_default();
        if shelf.len() < IDLE_MAX {
            shelf.push(Parked { sender, round: self.0.round.get() });
        }
    }
}

/// A connection that is given back when the answer has been read to its end, and closed if it is
/// dropped before.
#[derive(Debug)]
pub struct Lease {
    sender: SendRequest<Body>,
    key: u64,
    idle: Idle,
    /// What may still be being sent although the answer has come.
    upload: Option<Upload>,
}

impl Lease {
    pub(super) fn give_back(self) {
        let sent = self.upload.is_none_or(|upload| upload.ended().is_some());
        if sent && !self.sender.is_closed() {
            self.idle.park(self.key, self.sender);
        }
    }
}

/// A connection to an upstream, ready for one request.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    key: u64,
    idle: Idle,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub error: Error,
    /// The request itself, where not a byte of it was sent.
    pub unsent: Option<Box<(Head, Body)>>,
}

const TIMEOUT: Unanswered = Unanswered { error: Error::Timeout, unsent: None };

impl Connection {
    /// Speaks HTTP/1.1 over `stream` to upstream `key`. Must be called on a worker's runtime.
    pub async fn open(stream: TcpStream, key: u64, idle: &Idle) -> Result<Self, Error> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Error::Reset)?;
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer hears of the error too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Self { sender, key, idle: idle.clone() })
    }

    /// Sends a request and waits for the head of its answer, for `limit` after the last byte of the
    /// request was sent: until then it is the client that is waited for, whose body has a limit of
    /// its own.
    pub async fn send(
        self,
        head: Head,
        body: Body,
        limit: Duration,
    ) -> Result<(ResponseHead, Body), Unanswered> {
        let upload = body.upload();
        let sending = self.send_unbounded(head, body, upload.clone());
        tokio::pin!(sending);
        let Some(upload) = upload else {
            return tokio::time::timeout(limit, sending).await.unwrap_or(Err(TIMEOUT));
        };
        let mut wait = limit;
        loop {
            if let Ok(answered) = tokio::time::timeout(wait, &mut sending).await {
                return answered;
            }
            wait = match upload.ended() {
                None => limit,
                Some(ended) => limit.saturating_sub(clock::now().duration_since(ended)),
            };
            if wait.is_zero() {
                return Err(TIMEOUT);
            }
        }
    }

    async fn send_unbounded(
        self,
        head: Head,
        body: Body,
        upload: Option<Upload>,
    ) -> Result<(ResponseHead, Body), Unanswered> {
        let Self { mut sender, key, idle } = self;
        // One that was parked while the rest of a request was still being sent may never be ready.
        let ready = tokio::time::timeout(READY_LIMIT, sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return Err(Unanswered { error: Error::Reset, unsent: Some(Box::new((head, body))) });
        }
        match sender.try_send_request(head.into_http(body)).await {
            Ok(response) => {
                let (parts, incoming) = response.into_parts();
                // Nobody was asked to upgrade.
                if parts.status == http::StatusCode::SWITCHING_PROTOCOLS {
                    return Err(Unanswered { error: Error::Protocol, unsent: None });
                }
                let lease = Lease { sender, key, idle, upload };
                Ok((ResponseHead::of(parts), Body::of_response(incoming, lease)))
            }
            Err(mut failed) => {
                let unsent = failed.take_message().map(|r| Box::new(Head::from_unsent(r)));
                Err(Unanswered { error: Error::of_request(failed.error()), unsent })
            }
        }
    }
}
