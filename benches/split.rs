//! What choosing a side costs a request. The budget is 50 ns at 36 bytes.

#![expect(clippy::expect_used, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serin::split::{Salt, Split, Weight};

fn side_of_a_key(c: &mut Criterion) {
    let weight = Weight::from_basis_points(500).expect("500 is at most 10 000");
    let split = Split { weight, salt: Salt(7) };
    let mut group = c.benchmark_group("split");
    for key_bytes in [8, 36, 128] {
        let key = vec![b'k'; key_bytes];
        group.bench_with_input(BenchmarkId::from_parameter(key_bytes), &key, |b, key| {
            b.iter(|| black_box(split).side_of(black_box(key)))
        });
    }
    group.finish();
}

criterion_group!(benches, side_of_a_key);
criterion_main!(benches);
