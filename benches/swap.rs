//! What a table costs: 10 ns a request to read, and a swap of 5,000 services takes under 1 ms.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use serin::config::{Balance, PoolTimeouts};
use serin::measure::SlotId;
use serin::split::{Salt, Split, Weight};
use serin::table::{Cell, Service, Side, Table};
use serin::upstream::Pool;

fn service(number: usize) -> Option<Arc<Service>> {
    let second = std::time::Duration::from_secs(1);
    let timeouts = PoolTimeouts { connect: second, first_byte: second, total: second };
    let pool = Arc::new(Pool {
        name: "blue".into(),
        endpoints: Box::default(),
        balance: Balance::LeastRequest,
        timeouts,
        health_path: None,
    });
    Some(Arc::new(Service {
        name: format!("service-{number}"),
        split: Split { weight: Weight::ZERO, salt: Salt(1) },
        sticky: Vec::new(),
        issuer: None,
        force: Vec::new(),
        stable: Side { pool, slot: SlotId::new(number)? },
        canary: None,
        routes: Arc::default(),
        placebo: None,
    }))
}

fn swap(c: &mut Criterion) {
    let services: Vec<_> = (0..5_000).filter_map(service).collect();
    let cell = Cell::default();
    let mut reader = cell.reader();
    let mut generation = 0;
    let mut publish = || {
        generation += 1;
        let services = services.clone();
        cell.publish(Arc::new(Table { generation, services, ..Table::empty() }));
    };
    let mut group = c.benchmark_group("swap");
    publish();
    group.bench_function("read", |b| b.iter(|| black_box(reader.load()).generation));
    group.bench_function("publish 5000 services", |b| b.iter(&mut publish));
    group.finish();
}

criterion_group!(benches, swap);
criterion_main!(benches);
