use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::clock;
use crate::net::tests::Count;

/// Both ends of a connection; the client's blocks.
fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (Socket::new(accepted), client)
}

/// Asks again and again until the answer is yes.
async fn eventually(mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("within 10 s");
}

#[tokio::test]
async fn the_last_bytes_leave_together_with_the_end() {
    let mut has_seen = false;
    for _ in 0..20 {
        let (mut socket, client) = pair();
        let begun = clock::now();
        let parts = [IoSlice::new(b"an "), IoSlice::new(b"answer")];
        let count = poll_fn(|cx| socket.poll_write_last(cx, &parts)).await.unwrap();
        assert_eq!(count, 9);
        client.set_nonblocking(true).unwrap();
        let waits = client.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // The system holds them back for 200 ms and no longer.
        has_seen = begun.elapsed() < Duration::from_millis(100);
        assert!(waits || !has_seen, "they are on their way and nothing ends");
        socket.shutdown().await.unwrap();
        client.set_nonblocking(false).unwrap();
        assert_eq!(all(&client), b"an answer");
        if has_seen {
            break;
        }
    }
    assert!(has_seen, "this machine is too slow to see it");
}

#[tokio::test]
async fn what_came_unread_takes_nothing_back() {
    let (mut socket, mut client) = pair();
    poll_fn(|cx| socket.poll_write_last(cx, &[IoSlice::new(b"an answer")])).await.unwrap();
    client.write_all(b"\r\n").unwrap();
    socket.shutdown().await.unwrap();
    drop(socket);
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"an answer");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    const LENGTH: usize = 8 << 20;
    let (mut socket, client) = pair();
    let reading = tokio::task::spawn_blocking(move || all(&client));
    socket.write_all(&vec![7; LENGTH]).await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(reading.await.unwrap(), vec![7; LENGTH]);
}

#[tokio::test]
async fn who_waits_to_read_is_woken_although_there_was_no_room_to_write_later() {
    let (mut socket, mut client) = pair();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut bytes = [0; 8];
    let mut buffer = ReadBuf::new(&mut bytes);
    assert!(Pin::new(&mut socket).poll_read(&mut cx, &mut buffer).is_pending());
    while Pin::new(&mut socket).poll_write(&mut cx, &[7; 64 << 10]).is_ready() {}
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "what waits is asked anew");
    assert!(Pin::new(&mut socket).poll_read(&mut cx, &mut buffer).is_pending());
    client.write_all(b"a word").unwrap();
    eventually(async || count.0.load(Ordering::Relaxed) != 1).await;
    assert!(Pin::new(&mut socket).poll_read(&mut cx, &mut buffer).is_ready());
    assert_eq!(buffer.filled(), b"a word");
}

#[tokio::test]
async fn after_its_end_is_said_a_socket_is_still_read_from() {
    let (mut socket, mut client) = pair();
    let first = tokio::task::spawn_blocking(move || {
        client.write_all(b"one ").unwrap();
        client
    });
    let mut word = [0; 4];
    socket.read_exact(&mut word).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut client = first.await.unwrap();
    assert_eq!(all(&client), b"");
    client.write_all(b"more").unwrap();
    drop(client);
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&word, rest), (b"one ", b"more".to_vec()));
}

#[tokio::test]
async fn a_reset_is_one_and_shows() {
    let (mut socket, client) = pair();
    assert!(!socket.is_broken());
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    // It takes a moment to arrive.
    eventually(async || socket.is_broken()).await;
    assert!(matches!(socket.read(&mut [0]).await, Ok(0) | Err(_)));
    let (socket, mut client) = pair();
    socket.reset_at_close().unwrap();
    drop(socket);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn silence_ends_with_a_byte_and_with_the_end() {
    let (mut socket, mut client) = pair();
    assert!(socket.is_silent());
    // What is idle has been read from, and the runtime tells of what comes.
    client.write_all(b"an answer").unwrap();
    assert_eq!(socket.read(&mut [0; 99]).await.unwrap(), 9);
    assert!(socket.is_silent());
    client.write_all(b"x").unwrap();
    let heard = async |socket: &Socket| eventually(async || !socket.is_silent()).await;
    heard(&socket).await;
    assert_eq!(socket.read(&mut [0; 99]).await.unwrap(), 1, "nothing was taken out");
    assert!(socket.is_silent());
    drop(client);
    heard(&socket).await;
}

fn all(mut client: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn an_end_behind_bytes_shows_before_they_are_read() {
    let (mut socket, mut client) = pair();
    let has_ended = async |socket: &Socket| poll_fn(|cx| Poll::Ready(socket.has_ended(cx))).await;
    client.write_all(b"a word").unwrap();
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 1);
    assert!(!has_ended(&socket).await);
    drop(client);
    eventually(async || has_ended(&socket).await).await;
    assert_eq!(socket.read(&mut [0; 99]).await.unwrap(), 5, "nothing was taken out");
}
