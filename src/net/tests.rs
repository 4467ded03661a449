use std::cell::RefCell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::telemetry::metrics::{Metrics, PortMetrics};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[test]
fn a_used_port_is_an_error_although_ours_are_shared() {
    let bound = bind(LOOPBACK, 2).unwrap();
    assert_eq!(bound.sockets.len(), 2);
    let error = bind(bound.address, 1).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_and_an_address_have_their_fill() {
    let census = Census::new(3, 2);
    let ip = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    let first = census.enter(ip(1)).unwrap();
    let _second = census.enter(ip(1)).unwrap();
    assert_eq!(census.enter(ip(1)).unwrap_err(), Full::Address);
    let third = census.enter(ip(2)).unwrap();
    assert_eq!(census.enter(ip(3)).unwrap_err(), Full::Port);
    drop(first);
    assert_eq!(census.len(), 2);
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    let again = census.enter(mapped).unwrap();
    assert_eq!(census.enter(ip(3)).unwrap_err(), Full::Port);
    drop(third);
    assert_eq!(census.enter(ip(1)).unwrap_err(), Full::Address, "it is the same address");
    drop(again);
    assert!(census.enter(ip(1)).is_ok(), "a place that was left is free");
}

/// How often it was woken.
#[derive(Default)]
pub(super) struct Count(pub(super) AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_drain_is_heard_by_all_and_ends_with_the_last() {
    let drain = Drain::default();
    let (mut first, second) = (drain.watch(), drain.watch());
    assert_eq!(drain.open(), 2);
    // Whoever waits is woken, in a place that was left as well.
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let waits = |drained: &mut Drained| {
        assert!(Pin::new(drained).poll(&mut Context::from_waker(&waker)).is_pending());
    };
    let mut left = drain.watch();
    waits(&mut left);
    waits(&mut first);
    drop(left);
    let mut third = drain.watch();
    waits(&mut third);
    drain.begin();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    first.await;
    third.await;
    assert_eq!(drain.open(), 1);
    drop(second);
    drain.empty().await;
}

#[test]
fn what_is_accepted_sends_at_once() {
    let bound = bind(LOOPBACK, 1).unwrap();
    let _client = std::net::TcpStream::connect(bound.address).unwrap();
    let listener = &bound.sockets[0];
    listener.set_nonblocking(false).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
}

/// On which tasks connections were served.
type Tasks = Rc<RefCell<Vec<tokio::task::Id>>>;

#[tokio::test]
async fn one_task_serves_one_connection_after_another() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let bound = bind(LOOPBACK, 1).unwrap();
            let address = bound.address;
            let drain = Drain::default();
            let tasks = Tasks::default();
            let noted = Rc::clone(&tasks);
            let service = tower::service_fn(move |mut connection: Connection| {
                let noted = Rc::clone(&noted);
                Box::pin(async move {
                    noted.borrow_mut().push(tokio::task::id());
                    let mut all = Vec::new();
                    let _ = connection.stream.read_to_end(&mut all).await;
                    let _ = connection.stream.write_all(&all).await;
                    Ok::<_, Infallible>(())
                })
            });
            let socket = bound.sockets.into_iter().next().unwrap();
            let serving = tokio::task::spawn_local(serve(socket, port(), drain.clone(), service));
            let mut open = Vec::new();
            for _ in 0..3 {
                open.push(TcpStream::connect(address).await.unwrap());
            }
            while tasks.borrow().len() < 3 {
                tokio::task::yield_now().await;
            }
            for mut client in open {
                assert_eq!(echo(&mut client, "one of three").await, "one of three");
            }
            for _ in 0..5 {
                let mut client = TcpStream::connect(address).await.unwrap();
                assert_eq!(echo(&mut client, "a later one").await, "a later one");
            }
            let served = tasks.borrow().clone();
            let different: HashSet<_> = served.iter().collect();
            assert_eq!((served.len(), different.len()), (8, 3), "as many as there were at once");
            drain.begin();
            serving.await.unwrap().unwrap();
            drain.empty().await;
            while Rc::strong_count(&tasks) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
}

fn port() -> Port {
    let metrics = PortMetrics::new(&Metrics::default(), "web");
    Port { name: "web".into(), census: Census::new(9, 9), metrics }
}

async fn echo(client: &mut TcpStream, word: &str) -> String {
    client.write_all(word.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut back = String::new();
    client.read_to_string(&mut back).await.unwrap();
    back
}
