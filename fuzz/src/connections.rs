//! Whole connections: what our server makes of the bytes of a client, who may pause anywhere.
//!
//! Three have to agree: a plain loop over the bytes (`Plan`), the server with its service, and hyper
//! as the upstream. In an input the byte 0x1e stands for a pause.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use serin::wire::raw::{self, Framing};
use serin::wire::server::Server;
use serin::wire::{Body, Client, Error, Request, Response, ResponseHead, Watch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::heads::{read, target};
use super::peer::{self, Content};
use super::{RULES, UPSTREAM, block_on};

const PAUSE: u8 = 0x1e;
/// Requests for what begins so are answered at once, and their bodies are not asked for.
const EARLY: &str = "/early";

/// A request, and what became of its body.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Served {
    method: String,
    target: String,
    host: String,
    /// Whether it was sent upstream, and to its end.
    sent: Option<bool>,
}

/// The bytes of a client.
pub fn connection(bytes: &[u8]) {
    let whole: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != PAUSE).collect();
    let plan = Plan::of(&whole);
    for pieces in [vec![&whole[..]], bytes.split(|byte| *byte == PAUSE).collect()] {
        let trace = block_on(serve(&pieces));
        plan.check(&trace);
        trace.check_upstreams(&plan);
    }
}

/// What should become of a connection.
#[derive(Debug, Default)]
struct Plan {
    served: Vec<(Served, Content)>,
    /// The status of each answer, and whether it has no body for having been asked with HEAD.
    answers: Vec<(u16, bool)>,
    /// After so many answers the connection may end: what nobody asks for is thrown away only as
    /// far as it has come by then.
    certain: Option<usize>,
}

impl Plan {
    fn of(mut bytes: &[u8]) -> Self {
        let mut plan = Self::default();
        loop {
            bytes = &bytes[raw::blank(bytes)..];
            let request = match raw::request(bytes, &RULES) {
                Ok(Some(request)) => request,
                Ok(None) => return plan,
                Err(refused) => {
                    // Half a line may never be looked at, where nothing comes after it.
                    let lines =
                        bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    if raw::request(&bytes[..lines], &RULES).is_ok() {
                        plan.doubt();
                    }
                    plan.answers.push((refused.status, false));
                    return plan;
                }
            };
            let head = &request.head;
            let is_head = head.method() == "HEAD";
            let rest = &bytes[request.used..];
            let body = read(request.framing, rest);
            let is_long = body.content.bytes.len() as u64 > RULES.body_bytes;
            let is_early = head.path().starts_with(EARLY);
            let is_sent = body.content.is_whole && !is_long;
            let sent = (!is_early).then_some(is_sent);
            if request.is_for_us {
                plan.answers.push((204, is_head));
            } else {
                let host = if head.authority().is_empty() { UPSTREAM } else { head.authority() };
                let served = Served {
                    method: head.method().to_owned(),
                    target: target(head),
                    host: host.to_owned(),
                    sent,
                };
                plan.answers.push((if sent == Some(false) { 400 } else { 200 }, is_head));
                plan.served.push((served, body.content.clone()));
            }
            if request.framing != Framing::None && (request.is_for_us || sent != Some(true)) {
                plan.doubt();
            }
            if !request.keep || !body.content.is_whole {
                return plan;
            }
            bytes = &rest[rest.len() - body.rest..];
        }
    }

    fn doubt(&mut self) {
        self.certain.get_or_insert(self.answers.len());
    }

    /// Whether all that must be there is there, and nothing else.
    fn check(&self, trace: &Trace) {
        let answers = answers(&trace.answers, &self.answers);
        let certain = self.certain.unwrap_or(self.answers.len());
        let planned = || format!("{answers:?}, planned {self:#?}, {trace:#?}");
        assert!((certain..=self.answers.len()).contains(&answers.len()), "answered {}", planned());
        assert!(
            self.answers.iter().map(|answer| answer.0).zip(&answers).all(|(a, b)| a == *b),
            "{}",
            planned()
        );
        let served = self.served.iter().map(|served| &served.0);
        assert!(served.zip(&trace.served).all(|(a, b)| a == b), "served {}", planned());
        let most = answers.len().min(self.served.len());
        assert!(trace.served.len() <= most, "served {}", planned());
        if self.certain.is_none() {
            assert_eq!(trace.served.len(), self.served.len(), "served {}", planned());
        }
    }
}

/// What became of a connection.
#[derive(Debug)]
struct Trace {
    served: Vec<Served>,
    /// What each connection to the upstream was sent. One ends where a request breaks off.
    upstreams: Vec<Bytes>,
    answers: Bytes,
}

/// What the service notes.
#[derive(Debug, Default)]
struct Notes {
    served: Vec<Served>,
    upstreams: Vec<Vec<u8>>,
}

impl Trace {
    /// hyper sees the requests that were sent, with the bodies that they should have.
    fn check_upstreams(&self, plan: &Plan) {
        let planned = plan.served.iter().zip(&self.served).map(|(planned, _)| planned);
        let mut sent = planned
            .filter(|(served, _)| served.sent == Some(true) && peer::takes_target(&served.target));
        for bytes in &self.upstreams {
            for seen in block_on(peer::requests(bytes)) {
                if !seen.body.is_whole {
                    // Only one that broke off on our side, too; it is the last on its connection.
                    continue;
                }
                let (served, content) = sent.next().unwrap_or_else(|| {
                    panic!("hyper sees one more: {seen:#?} of {plan:#?} in {self:#?}")
                });
                let what = String::from_utf8_lossy(bytes);
                assert_eq!(
                    (&seen.method, &seen.target, &seen.host, &seen.body),
                    (&served.method, &served.target, &served.host, content),
                    "{what:?}"
                );
            }
        }
        let missed = sent.next();
        assert!(missed.is_none(), "hyper does not see {missed:?} in {self:#?}");
    }
}

/// Nobody asks how an answer ended.
pub(super) struct Nobody;

impl Watch for Nobody {
    fn ended(self, _: Result<(), Error>) {}
}

/// Serves a client that sends `pieces` with a pause after each, and then nothing more.
async fn serve(pieces: &[&[u8]]) -> Trace {
    let (client, io) = tokio::io::duplex(300);
    let notes = Rc::new(RefCell::new(Notes::default()));
    let shared = Rc::clone(&notes);
    let service = tower::service_fn(move |request| respond(request, Rc::clone(&shared)));
    let address = "192.0.2.1:5000".parse().expect("it is an address");
    let server = Server::new(RULES, service);
    let serving = server.serve(io, Client::new(address, false), None, std::future::pending());
    let (mut reader, mut writer) = tokio::io::split(client);
    let sending = async {
        for piece in pieces {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut answers = Vec::new();
    // In this order, so that in a pause the server takes what has come.
    let (_, (), read) = tokio::join!(biased; serving, sending, reader.read_to_end(&mut answers));
    read.expect("memory does not fail");
    let Notes { served, upstreams } = notes.take();
    let upstreams = upstreams.into_iter().map(Bytes::from).collect();
    Trace { served, upstreams, answers: answers.into() }
}

/// Sends a request on and answers it when all of it has left.
async fn respond(
    request: Request,
    notes: Rc<RefCell<Notes>>,
) -> Result<Response<Nobody>, Infallible> {
    let Request { head, body, .. } = request;
    let host = if head.authority().is_empty() { UPSTREAM } else { head.authority() };
    let mut served = Served {
        method: head.method().to_owned(),
        target: target(&head),
        host: host.to_owned(),
        sent: None,
    };
    let mut status = 200;
    if !head.path().starts_with(EARLY) {
        let mut upstream = notes.borrow_mut().upstreams.pop().unwrap_or_default();
        let sent = raw::forward(&head, body, UPSTREAM, Pin::new(&mut upstream)).await;
        let mut notes = notes.borrow_mut();
        notes.upstreams.push(upstream);
        // Such a connection is closed, and hyper closes one with a target that it does not take.
        if sent.is_err() || !peer::takes_target(&served.target) {
            notes.upstreams.push(Vec::new());
        }
        served.sent = Some(sent.is_ok());
        status = if sent.is_ok() { 200 } else { 400 };
    }
    notes.borrow_mut().served.push(served);
    let body = Body::of(Bytes::from_static(b"ok"));
    Ok(Response { head: ResponseHead::new(status), body, watch: None })
}

/// The status of each answer in `bytes`, as httparse reads them. `asked` tells which have no body.
fn answers(mut bytes: &[u8], asked: &[(u16, bool)]) -> Vec<u16> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let what = String::from_utf8_lossy(bytes);
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(used)) = head.parse(bytes) else {
            panic!("no whole answer: {what:?}");
        };
        let status = head.code.expect("it is complete");
        let is_head = asked.get(answers.len()).is_some_and(|asked| asked.1);
        let mut lengths = head.headers.iter().filter(|field| field.name == "content-length");
        let length = lengths.next().map_or(0, |field| {
            std::str::from_utf8(field.value)
                .ok()
                .and_then(|value| value.parse().ok())
                .expect("a length")
        });
        assert!(lengths.next().is_none(), "two lengths: {what:?}");
        assert!(status != 204 || length == 0, "a body where there is none: {what:?}");
        let end = used + if is_head { 0 } else { length };
        assert!(end <= bytes.len(), "an answer that broke off: {what:?}");
        bytes = &bytes[end..];
        answers.push(status);
    }
    answers
}
