use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;

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
    let _third = census.enter(ip(2)).unwrap();
    assert_eq!(census.enter(ip(3)).unwrap_err(), Full::Port);
    drop(first);
    assert_eq!(census.len(), 2);
    assert!(census.enter(ip(1)).is_ok(), "a place that was left is free");
}

#[derive(Default)]
struct Count(AtomicUsize);

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
