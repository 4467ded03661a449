//! Does what a client says: begins its requests, brings their bodies, and keeps the rules of streams
//! (RFC 9113 §5.1).

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use tower::Service;

use super::flood::POINTS_OF_RESET;
use super::frame::Reason;
use super::hpack::Decoder;
use super::intake::Said;
use super::lane::Lane;
use super::request::{self, Came, Fault};
use super::session::Session;
use super::stream::Stream;
use super::streams::Streams;
use crate::wire::h1::framing::Framing;
use crate::wire::server::Server;
use crate::wire::{Client, Request, Response, Watch};

/// The requests of a connection.
pub(super) struct Clerk<S: Service<Request>, W> {
    server: Rc<Server<S>>,
    service: S,
    client: Client,
    session: Rc<Session>,
    decoder: Decoder,
    crumbs: Vec<u8>,
    /// Those under way.
    pub(super) streams: Streams<Stream<S, W>>,
}

impl<S, W> Clerk<S, W>
where
    S: Service<Request, Response = Response<W>, Error = Infallible> + Clone + 'static,
    W: Watch + 'static,
{
    pub(super) fn new(server: &Rc<Server<S>>, client: Client) -> Self {
        let streams = Streams::new(usize::try_from(server.rules.h2_streams).unwrap_or(usize::MAX));
        Self {
            server: Rc::clone(server),
            service: server.service(),
            client,
            session: Session::new(&server.rules, streams.woken()),
            decoder: Decoder::new(server.rules.header_bytes),
            crumbs: Vec::new(),
            streams,
        }
    }

    pub(super) fn session(&self) -> Rc<Session> {
        Rc::clone(&self.session)
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether another request can be taken.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.service.poll_ready(cx).map(|ready| ready.unwrap_or_else(|never| match never {}))
    }

    /// Does what was said; tells what that costs a client that says too much of it.
    ///
    /// # Errors
    /// Why the connection has to end.
    pub(super) fn hear(&mut self, said: &Said<'_>) -> Result<u32, Reason> {
        let session = &self.session;
        match *said {
            Said::Nothing => Ok(0),
            Said::Block { stream, block, ends } => self.block(stream, block, ends),
            Said::Data { stream, bytes, cost, ends } => self.data(stream, bytes, cost, ends),
            Said::Settings(settings) => session.agree(settings).map(|()| 0),
            Said::Ping(bytes) => {
                session.pong(bytes);
                Ok(0)
            }
            Said::Pong(bytes) => {
                session.ponged(bytes);
                Ok(0)
            }
            Said::Window { stream: 0, more } => session.widen(more).map(|()| 0),
            Said::Window { stream, more } => {
                let Some(lane) = self.known(stream)? else { return Ok(0) };
                let mut credit = lane.credit.get();
                let widened = credit.add(more.into());
                lane.credit.set(credit);
                match widened {
                    _ if more == 0 => Ok(self.give_up(&lane, Reason::PROTOCOL)),
                    Err(_) => Ok(self.give_up(&lane, Reason::FLOW_CONTROL)),
                    Ok(()) => Ok(0),
                }
            }
            Said::Reset { stream } => {
                let Some(lane) = self.known(stream)? else {
                    session.is_sent_on(stream, true);
                    return Ok(0);
                };
                // Whoever takes it back does not want an upstream to go on with it.
                lane.is_gone.set(true);
                self.streams.remove(lane.place.get());
                Ok(if lane.is_answered.get() { 0 } else { POINTS_OF_RESET })
            }
        }
    }

    /// The stream with this number, unless it is closed; one that was never opened breaks a rule.
    fn known(&self, stream: u32) -> Result<Option<Rc<Lane>>, Reason> {
        match self.session.lane(stream) {
            // Nothing follows the last request that will be answered.
            None if stream > self.session.last() && !self.session.has_said_last() => {
                Err(Reason::PROTOCOL)
            }
            lane => Ok(lane),
        }
    }

    /// Resets a stream for what its client did.
    fn give_up(&mut self, lane: &Lane, reason: Reason) -> u32 {
        self.session.reset(lane, reason);
        self.streams.remove(lane.place.get());
        POINTS_OF_RESET
    }

    /// Gives up each request that the client has not said whole, and will not.
    pub(super) fn give_up_half_said(&mut self) {
        for lane in self.session.half_said() {
            self.give_up(&lane, Reason::CANCEL);
        }
    }

    fn data(&mut self, stream: u32, bytes: &[u8], cost: usize, ends: bool) -> Result<u32, Reason> {
        if !self.session.spend(cost) {
            return Err(Reason::FLOW_CONTROL);
        }
        let Some(lane) = self.known(stream)? else {
            // It was sent before the client knew.
            self.session.is_sent_on(stream, ends);
            self.session.give_back(cost);
            return Ok(0);
        };
        let mut allowance = lane.allowance.get();
        let fits = allowance.spend(cost);
        lane.allowance.set(allowance);
        let fault = if lane.has_ended.get() {
            Some(Reason::STREAM_CLOSED)
        } else if !fits {
            Some(Reason::FLOW_CONTROL)
        } else if !lane.take(bytes, ends) {
            Some(Reason::PROTOCOL)
        } else {
            None
        };
        if let Some(reason) = fault {
            self.session.give_back(cost);
            return Ok(self.give_up(&lane, reason));
        }
        let padding = cost - bytes.len();
        self.session.used_up(&lane, padding, padding + lane.advance(bytes.len()));
        self.streams.wake(lane.place.get());
        Ok(0)
    }

    fn block(&mut self, stream: u32, block: &[u8], ends: bool) -> Result<u32, Reason> {
        if let Some(lane) = self.session.lane(stream) {
            return self.trailers(&lane, block, ends);
        }
        let is_late = stream <= self.session.last() || self.session.has_said_last();
        let (decoder, rules) = (&mut self.decoder, &self.server.rules);
        let came = request::read(decoder, block, ends, rules, &mut self.crumbs);
        if came.as_ref().is_err_and(|fault| *fault == Fault::Corrupt) {
            return Err(Reason::COMPRESSION);
        }
        let is_request = came.as_ref().is_ok_and(|came| came.taken.is_ok());
        if is_request && stream <= self.session.last() {
            // Each request has a higher number than the one before (RFC 9113 §5.1.1).
            return Err(Reason::PROTOCOL);
        }
        if is_late {
            // It was sent before the client knew.
            self.session.is_sent_on(stream, ends);
            return Ok(1);
        }
        let Ok(came) = came else {
            self.session.pass_over(stream);
            self.session.refuse(stream, Reason::PROTOCOL);
            return Ok(POINTS_OF_RESET);
        };
        let most = usize::try_from(rules.h2_streams).unwrap_or(usize::MAX);
        if self.session.count() >= most || !self.streams.has_room() {
            self.session.pass_over(stream);
            self.session.refuse(stream, Reason::REFUSED);
            return Ok(1);
        }
        self.begin(stream, came, ends);
        Ok(0)
    }

    fn begin(&mut self, stream: u32, came: Came, ends: bool) {
        let length = match &came.taken {
            Err(_) => None,
            Ok(taken) => match taken.framing {
                Framing::Length(length) => Some(length),
                // What a tunnel carries has no length.
                Framing::None if !taken.head.wants_upgrade() => Some(0),
                _ => None,
            },
        };
        let channel = self.session.open(stream, ends, length);
        let lane = Rc::clone(&channel.lane);
        let Self { server, service, client, .. } = self;
        lane.place.set(self.streams.add(Stream::begin(server, service, client, came, channel)));
    }

    fn trailers(&mut self, lane: &Lane, block: &[u8], ends: bool) -> Result<u32, Reason> {
        let bytes_max = self.server.rules.header_bytes;
        let lines = match request::trailers(&mut self.decoder, block, bytes_max) {
            Err(Fault::Corrupt) => return Err(Reason::COMPRESSION),
            lines => lines,
        };
        if lane.has_ended.get() {
            return Ok(self.give_up(lane, Reason::STREAM_CLOSED));
        }
        match lines {
            Ok(lines) if ends && lane.take(&[], true) => {
                lane.trailers.replace(lines);
                self.streams.wake(lane.place.get());
                Ok(0)
            }
            _ => Ok(self.give_up(lane, Reason::PROTOCOL)),
        }
    }
}
