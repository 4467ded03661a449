//! An upstream and a client that speak bytes, for what no HTTP library would send or show.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{LOOPBACK, PATIENCE, TestProxy, eventually};

/// What an upstream does when it has sent its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    Keep,
    Close,
}

/// Answers with given bytes whenever what came since the last answer ends in given bytes, and
/// remembers all of it.
pub(crate) struct RawUpstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Seen {
    bytes: Vec<u8>,
    /// By the other end.
    closed: bool,
    /// By this one.
    left: bool,
}

impl RawUpstream {
    /// Answers every head.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        Self::answering_after("\r\n\r\n", answer, then).await
    }

    /// Answers whatever ends in `end`.
    pub(crate) async fn answering_after(
        end: &'static str,
        answer: impl Into<Vec<u8>>,
        then: Then,
    ) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, answer) = (Arc::clone(&seen), answer.into());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(speak(stream, Arc::clone(&all), end, answer.clone(), then));
            }
        });
        Self { address, seen, task }
    }

    /// All that came, connection by connection.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|seen| String::from_utf8_lossy(&seen.bytes).into_owned()).collect()
    }

    /// All that came over the only connection there was.
    pub(crate) fn only(&self) -> String {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// How many connections were closed by the other end.
    pub(crate) fn closed(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.closed).count()
    }

    /// How many connections this has closed.
    pub(crate) fn left(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.left).count()
    }

    /// A proxy before this.
    pub(crate) async fn behind_proxy(&self, listener: &str, keys: &str) -> TestProxy {
        proxy_before(self.address, listener, keys).await
    }
}

/// A proxy with `stable` as its stable pool, without checks and with a canary that gets nothing.
/// `listener` goes into the listener's table, `keys` into the service's.
pub(crate) async fn proxy_before(stable: SocketAddr, listener: &str, keys: &str) -> TestProxy {
    TestProxy::start(&config_before(stable, listener, keys)).await
}

/// The configuration of such a proxy.
pub(crate) fn config_before(stable: SocketAddr, listener: &str, keys: &str) -> String {
    super::config(&[], &[], &format!("health = {{ off = true }}\n{keys}"), "")
        .replace("endpoints = []", &format!("endpoints = [\"{stable}\"]"))
        .replace("[listeners.web]", &format!("[listeners.web]\n{listener}"))
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A head, and not a byte that follows it.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Fails the test unless each of `lines` is one of a head.
#[track_caller]
pub(crate) fn assert_lines(head: &str, lines: &[&str]) {
    for line in lines {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "no {line}: {head}");
    }
}

async fn speak(
    mut stream: TcpStream,
    all: Arc<Mutex<Vec<Seen>>>,
    end: &'static str,
    answer: Vec<u8>,
    then: Then,
) {
    stream.set_nodelay(true).unwrap();
    let number = {
        let mut all = all.lock().unwrap();
        all.push(Seen::default());
        all.len() - 1
    };
    let mut answered = 0;
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let answers = {
            let seen = &mut all.lock().unwrap()[number];
            seen.bytes.extend_from_slice(&buffer[..count]);
            let ends = seen.bytes[answered..].ends_with(end.as_bytes());
            if ends {
                answered = seen.bytes.len();
            }
            ends
        };
        if answers && stream.write_all(&answer).await.is_err() {
            break;
        }
        if answers && then == Then::Close {
            drop(stream);
            all.lock().unwrap()[number].left = true;
            return;
        }
    }
    all.lock().unwrap()[number].closed = true;
}

/// A client that sends what bytes it is given.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until what came contains `what`.
    pub(crate) async fn until(&mut self, what: &str) -> String {
        let mut got = Vec::new();
        let reading = async {
            while !got.windows(what.len()).any(|window| window == what.as_bytes()) {
                let count = self.0.read_buf(&mut got).await.unwrap();
                assert!(count > 0, "it ended: {:?}", String::from_utf8_lossy(&got));
            }
        };
        let patient = tokio::time::timeout(PATIENCE, reading).await;
        let text = String::from_utf8_lossy(&got).into_owned();
        patient.unwrap_or_else(|_| panic!("{what:?} never came: {text:?}"));
        text
    }

    /// Reads until the other end closes; tells whether that was a clean end.
    pub(crate) async fn rest(&mut self) -> (String, bool) {
        let mut got = Vec::new();
        let end = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut got)).await;
        let clean = end.expect("it stays open").is_ok();
        (String::from_utf8_lossy(&got).into_owned(), clean)
    }
}

/// Sends `bytes` and reads until the other end closes.
pub(crate) async fn closed_after(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut client = RawClient::connect(address).await;
    client.send(bytes).await;
    client.rest().await.0
}

/// Waits until `count` requests of stable came to `outcome`.
pub(crate) async fn came_to(proxy: &TestProxy, outcome: &'static str, count: u64) {
    eventually(outcome, || async {
        proxy.shop().await.stable.total.get(outcome).copied() == Some(count)
    })
    .await;
}
