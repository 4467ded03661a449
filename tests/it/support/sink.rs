//! A server that keeps what it is sent: what hooks and notices are posted to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::LOOPBACK;

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    bodies: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<(u16, String)>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared, task }
    }

    /// What it answers next, in order: a status and a header line. After that, 200.
    pub(crate) fn answers(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, line)| (*status, (*line).to_owned()));
        self.shared.answers.lock().unwrap().extend(answers);
    }

    /// The bodies that came, in order.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.shared.bodies.lock().unwrap().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    shared.bodies.lock().unwrap().push(String::from_utf8(body).unwrap());
    let (status, line) = shared.answers.lock().unwrap().pop_front().unwrap_or((200, String::new()));
    let line = if line.is_empty() { line } else { format!("{line}\r\n") };
    let answer =
        format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{line}\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}
