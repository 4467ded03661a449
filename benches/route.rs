//! What finding the service of a request costs: 100 ns at most, by host and path, however many
//! services there are.

#![expect(clippy::expect_used, reason = "a bench may panic")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serin::config::Config;
use serin::table::Matcher;
use serin::table::matching::Matched;

struct Request {
    host: String,
    path: &'static str,
}

impl Matched for Request {
    fn host(&self) -> &str {
        &self.host
    }

    fn path(&self) -> &str {
        self.path
    }

    fn method(&self) -> &str {
        "GET"
    }

    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// The matcher of `count` services, of which each has a host of its own, and every other shares it
/// with the one before by path.
fn matcher(count: usize) -> Matcher {
    let mut text = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for number in 0..count {
        let host = number / 2;
        let paths = if number % 2 == 0 { "/" } else { "/api" };
        write!(
            text,
            "[services.s{number:04}]\nhosts = [\"shop-{host}.example.com\"]\npaths = [\"{paths}\"]\n\
             stable = \"a\"\n[services.s{number:04}.pools.a]\nendpoints = [\"127.0.0.1:1\"]\n"
        )
        .expect("a string takes all");
    }
    let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new());
    Matcher::new(config.expect("it is sound").services.values())
}

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for count in [1, 100, 5_000] {
        let matcher = matcher(count);
        let host = format!("shop-{}.example.com", (count - 1) / 2);
        let request = Request { host, path: "/shop/cart" };
        assert_eq!(matcher.find(&request), Some((count - 1) / 2 * 2), "another service");
        group.bench_with_input(BenchmarkId::new("found", count), &request, |b, request| {
            b.iter(|| matcher.find(black_box(request)));
        });
        let request = Request { host: "other.example.com".to_owned(), path: "/shop/cart" };
        assert_eq!(matcher.find(&request), None);
        group.bench_with_input(BenchmarkId::new("not found", count), &request, |b, request| {
            b.iter(|| matcher.find(black_box(request)));
        });
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
