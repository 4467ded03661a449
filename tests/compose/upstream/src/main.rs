//! A service for tests/compose. Answers `GET /health` with 200, and anything else with the text of
//! `VERSION`, or, at every `FAIL_EVERY`-th request, with 500. Listens on `PORT`, 3000 by default.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

static ASKED: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let version = env::var("VERSION").unwrap_or_else(|_| "unnamed".to_owned());
    let fail_every = number("FAIL_EVERY", 0)?;
    let port = u16::try_from(number("PORT", 3000)?).map_err(io::Error::other)?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("{version} on port {port}, FAIL_EVERY={fail_every}");
    for stream in listener.incoming() {
        let (stream, version) = (stream?, version.clone());
        thread::spawn(move || serve(stream, &version, fail_every));
    }
    Ok(())
}

fn number(name: &str, default: u64) -> io::Result<u64> {
    let Ok(text) = env::var(name) else { return Ok(default) };
    text.parse().map_err(|_| io::Error::other(format!("{name} is no number: {text}")))
}

/// Answers one connection's requests, which have no bodies, until it ends.
fn serve(stream: TcpStream, version: &str, fail_every: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        let (status, body) = answer(&request, version, fail_every);
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        answers.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn answer<'a>(request: &str, version: &'a str, fail_every: u64) -> (&'static str, &'a str) {
    if request.starts_with("GET /health ") {
        return ("200 OK", "ok");
    }
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    if fail_every > 0 && asked.is_multiple_of(fail_every) {
        return ("500 Internal Server Error", version);
    }
    ("200 OK", version)
}
