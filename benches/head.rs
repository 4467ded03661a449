//! What a head costs: read and judged, and written as the next hop gets it. The budgets are 1 us for
//! a browser's request of ten fields and for its answer, and 200 ns to write either.

#![expect(clippy::expect_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serin::wire::raw::{self, Client};
use serin::wire::server::Rules;

const REQUEST: &[u8] = b"GET /shop/cart?item=4711&view=list HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/shop\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Cache-Control: max-age=0\r\n\
    \r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Tue, 24 Nov 2026 08:00:00 GMT\r\n\
    Server: nginx\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 14213\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: private, max-age=0\r\n\
    ETag: \"5f3a-61e0c8b2d4a40\"\r\n\
    Vary: Accept-Encoding, Cookie\r\n\
    X-Frame-Options: SAMEORIGIN\r\n\
    Set-Cookie: theme=dark; Path=/; HttpOnly\r\n\
    \r\n";
const CLIENT: Client = Client { is_head: false, is_1_1: true, keep: true };

/// What a listener allows where its file says nothing.
fn rules() -> Rules {
    let minute = Duration::from_secs(60);
    Rules {
        headers: 100,
        header_bytes: 32 << 10,
        target_bytes: 8 << 10,
        body_bytes: 16 << 20,
        first_byte: minute,
        head: minute,
        body_idle: minute,
        idle: minute,
        stream_idle: minute,
        http1: true,
        http2: false,
        h2_streams: 100,
    }
}

fn request(c: &mut Criterion) {
    let rules = rules();
    let read = || raw::request(black_box(REQUEST), &rules).expect("it is sound").expect("whole");
    let request = read();
    let mut group = c.benchmark_group("head of a request");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("read", |b| b.iter(|| read().used));
    group.bench_function("write", |b| {
        b.iter(|| raw::write_request(black_box(&request.head), "10.0.0.1:80").len());
    });
    group.finish();
}

fn answer(c: &mut Criterion) {
    let read = || raw::answer(black_box(ANSWER), false).expect("it is sound").expect("whole");
    let answer = read();
    let mut group = c.benchmark_group("head of an answer");
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("read", |b| b.iter(|| read().used));
    group.bench_function("write", |b| {
        b.iter(|| raw::write_answer(black_box(&answer), CLIENT).0.len());
    });
    group.finish();
}

criterion_group!(benches, request, answer);
criterion_main!(benches);
