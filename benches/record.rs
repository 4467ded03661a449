//! What measuring costs a request, and what draining costs a tick. The budgets are 30 ns a request,
//! 20 us a tick for a busy pool, and 5 us for 5,000 pools that nobody asks.

#![expect(clippy::expect_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
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
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
