//! A connection of HTTP/2: it hands out its requests, keeps its limits, and ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::server::{self, Builder, Handshake};
use h2::{Reason, RecvStream};
use tokio::time::Instant;
use tower::Service;

use super::cork::Cork;
use super::stream::{Came, Stream};
use super::streams::Streams;
use crate::clock;
use crate::wire::h1::alarm::Alarm;
use crate::wire::h1::side::Shared;
use crate::wire::h1::slab::Slab;
use crate::wire::server::{Rules, Server};
use crate::wire::{Client, Request, Response, Watch};

/// How long a client that is told to go may take to do so.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long what a client still sends is thrown away, so that it can read why it was left.
const LINGER: Duration = Duration::from_secs(2);
/// What a stream may send before we have read it.
const STREAM_WINDOW: u32 = 128 << 10;
/// What all streams of a connection may send before we have read it.
const WINDOW: u32 = 2 << 20;
/// What waits to be sent on one stream.
const SEND_BUFFER: usize = 128 << 10;

enum State {
    /// The preface and the first settings are exchanged.
    Greeting(Handshake<Cork, Slab>),
    Open(server::Connection<Cork, Slab>),
    /// All is said; what the client still sends is thrown away.
    Leaving,
}

/// What may take too long.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// The whole of it.
    End,
    /// The client, in saying what it wants.
    Greeting,
    /// The client, in asking for something.
    Idle,
    /// The rest of something that is no body.
    Rest,
    /// The client, in taking what is written to it.
    Stuck,
}

/// A client's connection.
pub(in crate::wire) struct Connection<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    service: S,
    client: Client,
    io: Cork,
    state: State,
    /// The requests under way.
    streams: Streams<Stream<S, W>>,
    /// Since when there has been none.
    idle: Option<Instant>,
    /// Since when the rest of something has been waited for that is no body.
    rest: Option<Instant>,
    /// Since when the client has taken nothing of what is written to it.
    stuck: Option<Instant>,
    is_draining: bool,
    /// When it ends, unless another request comes: the client was told to go.
    last_word: Option<Instant>,
    /// When it ends, whatever it is doing.
    end: Option<Instant>,
    alarm: Alarm,
}

impl<S, W> Connection<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    pub(in crate::wire) fn new(server: Rc<Server<S>>, side: Shared, client: Client) -> Self {
        let io = Cork::new(side);
        let greeting = builder(&server.rules).handshake(io.clone());
        let service = server.service();
        let streams = Streams::new(usize::try_from(server.rules.h2_streams).unwrap_or(usize::MAX));
        Self {
            server,
            service,
            client,
            io,
            state: State::Greeting(greeting),
            streams,
            idle: Some(clock::now()),
            rest: None,
            stuck: None,
            is_draining: false,
            last_word: None,
            end: None,
            alarm: Alarm::default(),
        }
    }

    pub(in crate::wire) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The connection should end as soon as nothing is lost by it: the client is told which of its
    /// requests will be answered, and those are (RFC 9113 §6.8).
    pub(in crate::wire) fn drain(&mut self) {
        self.is_draining = true;
        if let State::Open(frames) = &mut self.state {
            frames.graceful_shutdown();
        }
    }

    /// Completes when the connection is to be closed.
    pub(in crate::wire) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_frames(cx).is_ready() {
                return Poll::Ready(());
            }
            // What they say leaves in this turn.
            if self.streams.poll(cx) {
                if self.poll_frames(cx).is_ready() {
                    return Poll::Ready(());
                }
                if self.streams.is_woken() {
                    cx.waker().wake_by_ref();
                }
            }
            let drained = self.io.poll_drain(cx);
            if self.io.take_moved() {
                self.stuck = None;
            }
            match drained {
                Poll::Ready(Ok(())) => self.stuck = None,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(clock::now);
                }
            }
            if self.io.is_flooded() && self.calm_down() {
                continue;
            }
            self.look_at_clock();
            let Some((limit, at)) = self.next_limit() else { return Poll::Pending };
            ready!(self.alarm.poll_until(at, cx));
            tracing::debug!(peer = %self.client.peer, ?limit, "a client took too long");
            match limit {
                Limit::Idle => {
                    self.drain();
                    self.last_word = Some(clock::now() + LAST_WORD);
                }
                Limit::Greeting | Limit::Rest | Limit::Stuck | Limit::End => {
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Completes when nothing more will come of it.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Greeting(greeting) => match ready!(Pin::new(greeting).poll(cx)) {
                    Ok(mut frames) => {
                        if self.is_draining {
                            frames.graceful_shutdown();
                        }
                        self.state = State::Open(frames);
                    }
                    Err(error) => self.leave(Some(&error)),
                },
                State::Open(frames) => {
                    ready!(self.service.poll_ready(cx)).unwrap_or_else(|never| match never {});
                    if !self.streams.has_room() {
                        let closed = ready!(frames.poll_closed(cx));
                        self.leave(closed.err().as_ref());
                        continue;
                    }
                    match ready!(frames.poll_accept(cx)) {
                        Some(Ok((request, respond))) => self.begin(request, respond),
                        Some(Err(error)) => self.leave(Some(&error)),
                        None => self.leave(None),
                    }
                }
                State::Leaving => {
                    // It may have things to say that are still in the cork.
                    if ready!(self.io.poll_drain(cx)).is_err() {
                        return Poll::Ready(());
                    }
                    while matches!(ready!(self.io.poll_waste(cx)), Ok(1..)) {}
                    return Poll::Ready(());
                }
            }
        }
    }

    /// A request has come.
    fn begin(&mut self, request: http::Request<RecvStream>, respond: server::SendResponse<Slab>) {
        self.idle = None;
        let has_fragment = self.io.is_tainted(respond.stream_id().as_u32());
        if has_fragment && !self.is_draining {
            // Whoever shares it with others begins anew.
            self.drain();
        }
        let came = Came { request, respond, has_fragment };
        self.streams.add(Stream::begin(&self.server, &mut self.service, &self.client, came));
    }

    fn leave(&mut self, error: Option<&h2::Error>) {
        if let Some(error) = error {
            tracing::debug!(peer = %self.client.peer, %error, "a connection broke a rule or off");
        }
        self.state = State::Leaving;
        self.streams.clear();
        self.end = Some(clock::now() + LINGER);
    }

    /// Tells a client that floods us; false when it was told before.
    fn calm_down(&mut self) -> bool {
        let State::Open(frames) = &mut self.state else { return false };
        if self.end.is_some() {
            return false;
        }
        tracing::debug!(peer = %self.client.peer, "too many frames that carry nothing");
        frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.end = Some(clock::now() + LAST_WORD);
        true
    }

    /// Notes since when there is nothing to do, and since when the rest of something.
    fn look_at_clock(&mut self) {
        if !self.streams.is_empty() {
            (self.idle, self.last_word) = (None, None);
        } else if self.idle.is_none() {
            self.idle = Some(clock::now());
        }
        if !self.io.is_amid() {
            self.rest = None;
        } else if self.rest.is_none() {
            self.rest = Some(clock::now());
        }
        // What is still to be sent of an answer is a stream to h2.
        let is_done = self.streams.is_empty()
            && !matches!(&self.state, State::Open(frames) if frames.has_streams());
        if self.is_draining && is_done && self.last_word.is_none() {
            self.last_word = Some(clock::now() + LAST_WORD);
        }
    }

    /// What is too long next, and when.
    fn next_limit(&self) -> Option<(Limit, Instant)> {
        let rules = &self.server.rules;
        let idle = match self.state {
            State::Leaving => None,
            _ if !self.io.has_begun() => Some((Limit::Greeting, rules.first_byte)),
            _ if !self.io.has_greeted() => Some((Limit::Greeting, rules.head)),
            State::Greeting(_) | State::Open(_) if self.end.is_none() && !self.is_draining => {
                Some((Limit::Idle, rules.idle))
            }
            State::Greeting(_) | State::Open(_) => None,
        };
        [
            (Limit::End, self.end),
            (Limit::End, self.last_word),
            idle.map_or((Limit::Idle, None), |(limit, after)| {
                (limit, self.idle.map(|since| since + after))
            }),
            (Limit::Rest, self.rest.map(|since| since + rules.head)),
            (Limit::Stuck, self.stuck.map(|since| since + rules.stream_idle)),
        ]
        .into_iter()
        .filter_map(|(limit, at)| Some((limit, at?)))
        .min_by_key(|(_, at)| *at)
    }
}

/// What a client may do to a connection.
fn builder(rules: &Rules) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(rules.h2_streams)
        .max_header_list_size(u32::try_from(rules.header_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}
