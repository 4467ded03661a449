//! The demo's users: each request comes from one of them, and it is known who was harmed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::clock;

const CLIENTS: u32 = 32;
const USERS: u64 = 5_000;

/// Traffic under way.
pub(super) struct Load {
    clients: JoinSet<()>,
    seen: Arc<Mutex<Harm>>,
}

/// What the users got.
#[derive(Clone, Debug, Default)]
pub(super) struct Harm {
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Who got a failure.
    pub(super) users: BTreeSet<u64>,
    /// Who got an answer of the new version.
    pub(super) met: BTreeSet<u64>,
    pub(super) v1: Times,
    pub(super) v2: Times,
}

/// How long answers took, by tenths of a millisecond.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(BTreeMap<u32, u64>);

impl Times {
    fn add(&mut self, took: Duration) {
        let tenths = u32::try_from(took.as_micros() / 100).unwrap_or(u32::MAX);
        *self.0.entry(tenths).or_default() += 1;
    }

    /// The middle one, in milliseconds.
    pub(super) fn median_ms(&self) -> Option<f64> {
        let all: u64 = self.0.values().sum();
        let mut seen = 0;
        let middle = self.0.iter().find(|(_, count)| {
            seen += **count;
            2 * seen >= all
        });
        middle.map(|(tenths, _)| f64::from(*tenths) / 10.0)
    }
}

/// What came back: which version answered, if any, and whether all was well.
struct Answer {
    good: bool,
    of_v2: bool,
}

impl Load {
    /// Sends `rps` requests a second to `address` until `stopped`.
    pub(super) fn start(
        address: SocketAddr,
        rps: u32,
        stopped: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Harm::default()));
        let mut clients = JoinSet::new();
        let each = Duration::from_secs_f64(f64::from(CLIENTS) / f64::from(rps));
        for number in 0..CLIENTS {
            let (seen, stopped) = (Arc::clone(&seen), stopped.clone());
            let lag = each * number / CLIENTS;
            clients.spawn(client(address, u64::from(number), each, lag, seen, stopped));
        }
        Ok(Self { clients, seen })
    }

    /// What the users got so far.
    pub(super) fn harm(&self) -> Harm {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the last answers.
    pub(super) async fn finish(mut self) -> Harm {
        while self.clients.join_next().await.is_some() {}
        self.harm()
    }
}

async fn client(
    address: SocketAddr,
    number: u64,
    each: Duration,
    lag: Duration,
    seen: Arc<Mutex<Harm>>,
    stopped: watch::Receiver<bool>,
) {
    tokio::time::sleep(lag).await;
    let mut turns = tokio::time::interval(each);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut connection = None;
    let mut turn = 0;
    while !*stopped.borrow() {
        turns.tick().await;
        turn += 1;
        let user = (number + turn * u64::from(CLIENTS)) % USERS;
        let asked = clock::now();
        let answer = ask(address, user, &mut connection).await;
        let took = clock::now().duration_since(asked);
        let Answer { good, of_v2 } = answer.unwrap_or(Answer { good: false, of_v2: false });
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        if of_v2 {
            seen.met.insert(user);
        }
        if good {
            let times = if of_v2 { &mut seen.v2 } else { &mut seen.v1 };
            times.add(took);
        } else {
            seen.failures += 1;
            seen.users.insert(user);
        }
    }
}

type Connection = SendRequest<Empty<Bytes>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends one request.
async fn ask(
    address: SocketAddr,
    user: u64,
    connection: &mut Option<Connection>,
) -> Result<Answer, Failure> {
    let mut sender = match connection.take().filter(|known| !known.is_closed()) {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            sender
        }
    };
    sender.ready().await?;
    let request = Request::get("/")
        .header("host", address.to_string())
        .header("x-user-id", format!("user-{user}"))
        .body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let good = response.status().is_success();
    let body = response.into_body().collect().await?.to_bytes();
    *connection = Some(sender);
    Ok(Answer { good, of_v2: body.windows(2).any(|word| word == b"v2") })
}
