//! What measuring costs a request, and what draining costs a tick. The budgets are 30 ns a request,
//! 25 ns more for its key, its route and its place among those in flight, 20 us a tick for a busy
//! pool, 5 us for 5,000 pools that nobody asks, and 100 us to look through 10,000 requests in flight.

#![expect(clippy::expect_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serin::measure::routes::Routes;
use serin::measure::{Attempt, Outcome, Recorder, SlotId};

fn slot(index: usize) -> SlotId {
    SlotId::new(index).expect("few enough slots")
}

fn record(c: &mut Criterion) {
    let (writers, mut drain) = Recorder::split(1);
    let mut group = c.benchmark_group("record");
    let mut us = 0u64;
    group.bench_function("request", |b| {
        b.iter(|| {
            us = (us + 37) % 5_000;
            writers[0].attempt(
                Attempt::on(slot(0)),
                Outcome::Success,
                Duration::from_micros(black_box(us)),
            );
            writers[0].answer(slot(0), Outcome::Success);
        });
    });
    let names =
        ["/", "/api", "/api/cart", "/api/orders", "/api/users", "/assets", "/login", "/search"];
    let routes = Routes::new(names.map(str::to_owned));
    let mut key = 0u64;
    let now = serin::clock::now();
    group.bench_function("request with key, route and ticket", |b| {
        b.iter(|| {
            us = (us + 37) % 5_000;
            key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let route = routes.find(black_box("/assets/app.js"));
            let ticket = writers[0].begin(slot(0), black_box(now));
            let attempt = Attempt { slot: slot(0), route, key: Some(key), ticket };
            writers[0].attempt(attempt, Outcome::Success, Duration::from_micros(black_box(us)));
            writers[0].answer(slot(0), Outcome::Success);
        });
    });
    group.bench_function("request that fails, with key, route and ticket", |b| {
        b.iter(|| {
            key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let route = routes.find(black_box("/assets/app.js"));
            let ticket = writers[0].begin(slot(0), black_box(now));
            let attempt = Attempt { slot: slot(0), route, key: Some(key), ticket };
            writers[0].attempt(attempt, Outcome::ServerError, Duration::ZERO);
            writers[0].answer(slot(0), Outcome::ServerError);
        });
    });
    group.bench_function("sampled path", |b| {
        b.iter(|| writers[0].sample(slot(0), black_box("/api/users/1234/orders")));
    });
    group.bench_function("tick of a busy pool", |b| {
        b.iter(|| {
            writers[0].attempt(Attempt::on(slot(0)), Outcome::Success, Duration::from_micros(700));
            drain.drain(|slot, delta| {
                black_box((slot, delta));
            });
        });
    });
    for index in 0..5_000 {
        writers[0].attempt(Attempt::on(slot(index)), Outcome::Success, Duration::from_micros(700));
    }
    // What was just written is read once more on the tick after.
    for _ in 0..2 {
        drain.drain(|_, _| {});
    }
    group.bench_function("tick of 5000 idle pools", |b| {
        b.iter(|| {
            drain.drain(|slot, delta| {
                black_box((slot, delta));
            });
        });
    });
    drain.limit(slot(0), Some(Duration::from_secs(60)));
    for _ in 0..10_000 {
        writers[0].begin(slot(0), now);
    }
    group.bench_function("look at 10000 in flight", |b| {
        b.iter(|| writers[0].overdue(black_box(now)));
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
