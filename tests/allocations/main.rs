//! Once it is warm, a worker serves requests without asking for memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod counting;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serin::app::App;
use serin::config::Config;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const WARM_UP: usize = 200;
const REQUESTS: usize = 1_000;

/// Answers every request on every connection with the same bytes. Whether a body has come is not
/// looked at: `request_bytes` tells how long a request is at least.
fn upstream(answer: Vec<u8>, request_bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 1 << 16];
                let mut got = 0;
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    got += count;
                    if got >= request_bytes && stream.write_all(&answer).is_ok() {
                        got = 0;
                    }
                }
            });
        }
    });
    address
}

/// Sends `request` again and again over one connection, and returns how often workers asked for
/// memory after the warm-up.
async fn allocations(request: Vec<u8>, answer: Vec<u8>, ends_with: &'static [u8]) -> u64 {
    let body = request.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| request.len() - at);
    let address = upstream(answer, body + 20);
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "version = 1\n[admin]\nbind = \"127.0.0.1:0\"\n[state]\npath = \"{}\"\n[workers]\n\
         threads = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n[services.shop]\nstable = \"blue\"\n\
         canary = \"green\"\nhealth = {{ off = true }}\n[services.shop.pools.blue]\n\
         endpoints = [\"{address}\"]\n[services.shop.pools.green]\nendpoints = [\"{address}\"]\n",
        dir.path().join("state").display()
    );
    let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new());
    let app = App::bind(config.unwrap_or_else(|errors| panic!("{errors}")), None);
    let app = app.unwrap_or_else(|error| panic!("{error}"));
    let proxy = app.addresses()["web"];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    let client = move || {
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut buffer = vec![0; 1 << 17];
        let mut serve = |count| {
            for _ in 0..count {
                stream.write_all(&request).unwrap();
                let mut got = 0;
                while !buffer[..got].ends_with(ends_with) {
                    let count = stream.read(&mut buffer[got..]).unwrap();
                    assert!(count > 0, "{:?}", String::from_utf8_lossy(&buffer[..got]));
                    got += count;
                }
                assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{buffer:?}");
            }
        };
        serve(WARM_UP);
        let before = counting::allocations_of_workers();
        assert!(before > 0, "the workers were not found");
        serve(REQUESTS);
        counting::allocations_of_workers() - before
    };
    let counted = tokio::task::spawn_blocking(client).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    counted
}

/// One test, for the count is the process's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_worker_allocates_nothing_for_a_request() {
    let get =
        b"GET /a?b=c HTTP/1.1\r\nHost: Shop.example.com\r\nUser-Agent: test\r\nAccept: */*\r\n\
                Cookie: a=b; session=1\r\n\r\n";
    let long = "x".repeat(40_000);
    let post =
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 16384\r\n\r\n{}", &long[..16384]);
    let plain =
        format!("HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 1024\r\n\r\n{}y", &long[..1023]);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n400\r\n{}\r\n400\r\n{}\r\n0\r\n\r\n",
        &long[..1024],
        &long[..1024]
    );
    let big = format!("HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\n{}y", &long[..39_999]);
    for (name, request, answer, ends_with) in [
        ("a GET", &get[..], &plain, &b"xy"[..]),
        ("a POST of 16 KB", post.as_bytes(), &plain, b"xy"),
        ("a chunked answer", get, &chunked, b"0\r\n\r\n"),
        ("an answer of 40 KB", get, &big, b"xy"),
    ] {
        let counted = allocations(request.to_vec(), answer.clone().into_bytes(), ends_with).await;
        assert_eq!(counted, 0, "{name}: {counted} allocations for {REQUESTS} requests");
    }
}
