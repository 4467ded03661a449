//! The demo's users: each request comes from one of them, and it is known who was harmed.

use std::collections::BTreeSet;
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
    pub(super) users: BTreeSet<u64>,
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
        let good = ask(address, user, &mut connection).await.unwrap_or(false);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        if !good {
            seen.failures += 1;
            seen.users.insert(user);
        }
    }
}

type Connection = SendRequest<Empty<Bytes>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends one request; false when the answer is a failure.
async fn ask(
    address: SocketAddr,
    user: u64,
    connection: &mut Option<Connection>,
) -> Result<bool, Failure> {
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
    response.into_body().collect().await?;
    *connection = Some(sender);
    Ok(good)
}
