//! What a tick costs the control thread: 8 routes, 4 latency levels, 1 000 requests/s. The budget
//! is 50 us for a tick that closes a slice.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serin::judge::{Baseline, Interval, Judge, Purpose, RouteInterval, Settings, StepRule, Tick};
use serin::measure::histogram;

/// A rollout that never leaves its first step.
fn judge() -> Judge {
    let successes: Vec<(u32, u64)> = (700..1_000).map(|bucket| (bucket, 40)).collect();
    let baseline = Baseline { n: 12_000, errors: 0, successes };
    let step = StepRule { weight: 0.05, requests: u64::MAX, hold_s: 60.0 };
    let edges = histogram::edges_ms();
    Judge::new(Settings::default(), vec![step], Purpose::Canary, edges, &baseline)
}

/// One pool: `n` requests over as many buckets, one of them failed.
fn pool(n: u32) -> Interval {
    let successes = (0..n - 1).map(|i| (700 + i, 1)).collect();
    let healthy = true;
    Interval { n: n.into(), errors: 1, successes, healthy, ..Interval::default() }
}

fn tick() -> Tick {
    let routes = (0..8)
        .map(|at| RouteInterval { name: format!("/{at}"), stable: (29, 1), canary: (2, 0) })
        .collect();
    Tick { stable: pool(237), canary: pool(13), routes, ..Tick::default() }
}

fn ticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    for (name, dt_s) in [("tick that closes a slice", 0.25), ("tick within a slice", 0.0)] {
        let (mut judge, mut tick) = (judge(), tick());
        tick.dt_s = dt_s;
        group.bench_function(name, |b| {
            b.iter(|| {
                tick.t_s += dt_s;
                judge.tick(black_box(&tick))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ticks);
criterion_main!(benches);
