//! What others send passes through memory that does not grow with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http2;
use crate::support::frames::{FrameClient, GET, HEADERS, WINDOW_UPDATE, frame, head};
use crate::support::{LOOPBACK, RawClient, Serin, eventually, read_head};

/// How long a body is. Five of them pass, at the same time.
const BODY: usize = 256 << 20;
static PIECE: [u8; 1 << 16] = [b'x'; 1 << 16];
/// What serin may hold in all, with all that the allocator and the program itself take.
const PEAK_KB: usize = 64 << 10;

/// Sends bodies as long as that, by length or in chunks as the path says, and reads those that come.
/// `passed` counts the bytes of both.
async fn upstream(passed: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, Arc::clone(&passed)));
        }
    });
    address
}

/// serin before an upstream, and what it held at first.
struct Held {
    process: Serin,
    _dir: tempfile::TempDir,
    at_first_kb: usize,
}

impl Held {
    async fn start(upstream: SocketAddr, listener: &str) -> Self {
        let (_dir, process) = Serin::before(upstream, listener);
        // What it needs to begin with is asked for in its first moments.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let at_first_kb = process.peak_kb();
        Self { process, _dir, at_first_kb }
    }

    fn grown_kb(&self) -> usize {
        self.process.peak_kb() - self.at_first_kb
    }
}

async fn converse(mut stream: TcpStream, passed: Arc<AtomicUsize>) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    if head.starts_with("POST") {
        let mut left = BODY;
        let mut buffer = vec![0; PIECE.len()];
        while left > 0 {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            left -= count;
            passed.fetch_add(count, Ordering::Relaxed);
        }
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    }
    let is_chunked = head.contains("/chunks");
    let framing = match is_chunked {
        true => "transfer-encoding: chunked".to_owned(),
        false => format!("content-length: {BODY}"),
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await?;
    for _ in 0..BODY / PIECE.len() {
        if is_chunked {
            stream.write_all(b"10000\r\n").await?;
        }
        stream.write_all(&PIECE).await?;
        if is_chunked {
            stream.write_all(b"\r\n").await?;
        }
        passed.fetch_add(PIECE.len(), Ordering::Relaxed);
    }
    if is_chunked { stream.write_all(b"0\r\n\r\n").await } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_through_little_memory() {
    let address = upstream(Arc::default()).await;
    let serin = Held::start(address, "limits = { body_bytes = \"1GiB\" }").await;
    let proxy = serin.process.address;
    let passing = [
        tokio::spawn(download(proxy, "/length")),
        tokio::spawn(download(proxy, "/chunks")),
        tokio::spawn(upload(proxy)),
        tokio::spawn(download_http2(proxy)),
        tokio::spawn(upload_http2(proxy)),
    ];
    for body in passing {
        body.await.unwrap();
    }
    let peak = serin.process.peak_kb();
    assert!(peak < PEAK_KB, "{peak} KB");
}

async fn download(proxy: SocketAddr, path: &'static str) {
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    assert!(read_head(&mut client.0).await.unwrap().starts_with("HTTP/1.1 200 "));
    let (mut buffer, mut got) = (vec![0; PIECE.len()], 0);
    let mut end = Vec::new();
    loop {
        let count = client.0.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        got += count;
        end.extend_from_slice(&buffer[count.saturating_sub(5)..count]);
        end.drain(..end.len().saturating_sub(5));
    }
    match path {
        "/length" => assert_eq!(got, BODY),
        _ => assert!(got > BODY && end == b"0\r\n\r\n", "{got} bytes, and then {end:?}"),
    }
}

async fn upload(proxy: SocketAddr) {
    let mut client = RawClient::connect(proxy).await;
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n")).await;
    for _ in 0..BODY / PIECE.len() {
        client.send(PIECE).await;
    }
    assert!(read_head(&mut client.0).await.unwrap().starts_with("HTTP/1.1 200 "));
}

async fn download_http2(proxy: SocketAddr) {
    let (mut client, _connection) = http2::connect(proxy).await;
    let request = http2::request("GET", "/chunks").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut got = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        got += piece.len();
    }
    assert_eq!(got, BODY);
}

async fn upload_http2(proxy: SocketAddr) {
    let (mut client, _connection) = http2::connect(proxy).await;
    let request = http2::request("POST", "/").header("content-length", BODY).body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let mut left = BODY;
    while left > 0 {
        body.reserve_capacity(PIECE.len());
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = &PIECE[..room.min(PIECE.len()).min(left)];
        left -= piece.len();
        body.send_data(Bytes::from_static(piece), left == 0).unwrap();
    }
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_behind_a_request_is_not_read() {
    const CLIENTS: usize = 200;
    let passed = Arc::new(AtomicUsize::new(0));
    let serin = Held::start(upstream(Arc::clone(&passed)).await, "").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = RawClient::connect(serin.process.address).await;
        // It takes its time, for its body is short of what the upstream waits for.
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").await;
        clients.push(client);
    }
    // What comes together with a request is read with it.
    eventually("all requests are under way", || async {
        passed.load(Ordering::Relaxed) == CLIENTS
    })
    .await;
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2000)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = serin.grown_kb();
    assert!(grown < CLIENTS * 40, "{grown} KB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_are_not_read() {
    const STREAMS: u32 = 100;
    let serin = Held::start(upstream(Arc::default()).await, "").await;
    let path = [GET[0], GET[1], (":path", "/length"), GET[3]];
    let heads: Vec<u8> =
        (0..STREAMS).flat_map(|number| head(2 * number + 1, &path, true)).collect();
    let mut clients = Vec::new();
    // A window of nothing and one of a byte; the usual one; and one of everything, where it is the
    // socket that is not read from.
    for window in [[0; 4], [0, 0, 0, 1], [0, 0, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff]] {
        let settings = [&[0, 4][..], &window].concat();
        let mut client = FrameClient::with_settings(serin.process.address, &settings).await;
        let wider = (0x7fff_ffff_u32 - 0xffff).to_be_bytes();
        if window[0] > 0 {
            client.send(frame(WINDOW_UPDATE, 0, 0, &wider)).await;
        }
        client.send(&heads).await;
        for _ in 0..if window[0] > 0 { 0 } else { STREAMS } {
            client.until(HEADERS).await;
        }
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = serin.grown_kb();
    assert!(grown < 8 << 10, "{grown} KB");
}

/// The upstream is stopped, not buffered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_nothing_cost_little_memory() {
    const CLIENTS: usize = 20;
    const STALLED_KB: usize = 400;
    let passed = Arc::new(AtomicUsize::new(0));
    let address = upstream(Arc::clone(&passed)).await;
    let serin = Held::start(address, "").await;
    let mut clients = Vec::new();
    let mut connections = Vec::new();
    for number in 0..CLIENTS {
        let path = if number % 2 == 0 { "/length" } else { "/chunks" };
        let mut client = RawClient::connect(serin.process.address).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        clients.push(client);
        let (mut client, connection) = http2::connect(serin.process.address).await;
        let request = http2::request("GET", path).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        connections.push((client, connection, answer.await.unwrap()));
    }
    let before = AtomicUsize::new(0);
    eventually("nothing passes any more", || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = passed.load(Ordering::Relaxed);
        now > 0 && before.swap(now, Ordering::Relaxed) == now
    })
    .await;
    let grown = serin.grown_kb();
    assert!(grown < 2 * CLIENTS * STALLED_KB, "{grown} KB");
}
