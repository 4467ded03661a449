//! Where the handles count to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString,
    Unit,
};

/// Upper bounds of the buckets that are exposed, in seconds.
pub(super) const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Series by the name of their metric.
type Families = BTreeMap<String, BTreeMap<Vec<Label>, Series>>;

/// All series of one process, by name and labels.
#[derive(Debug, Default)]
pub struct Store {
    series: Mutex<Families>,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// Counts by bucket, and their sum.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Not cumulative; the last is above every bound.
    pub(super) counts: [AtomicU64; BOUNDS.len() + 1],
    /// In microseconds.
    pub(super) sum_us: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let bucket = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        let count = count as u64;
        self.counts[bucket].fetch_add(count, Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and no latency is negative"
        )]
        let us = (value * 1e6) as u64;
        self.sum_us.fetch_add(us.saturating_mul(count), Ordering::Relaxed);
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Families> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the series of `key`, or makes it.
    fn series(&self, key: &Key, new: impl FnOnce() -> Series) -> Series {
        let mut all = self.lock();
        let family = all.entry(key.name().to_owned()).or_default();
        family.entry(key.labels().cloned().collect()).or_insert_with(new).clone()
    }

    pub(super) fn counter(&self, key: Key) -> Counter {
        self.register_counter(&key, &METADATA)
    }

    pub(super) fn gauge(&self, key: Key) -> Gauge {
        self.register_gauge(&key, &METADATA)
    }

    pub(super) fn histogram(&self, key: Key) -> Histogram {
        self.register_histogram(&key, &METADATA)
    }

    pub(super) fn retain(&self, name: &str, keep: impl Fn(&[Label]) -> bool) {
        if let Some(family) = self.lock().get_mut(name) {
            family.retain(|labels, _| keep(labels));
        }
    }

    /// The series called `name`.
    pub(super) fn family(&self, name: &str) -> BTreeMap<Vec<Label>, Series> {
        self.lock().get(name).cloned().unwrap_or_default()
    }
}

static METADATA: Metadata<'static> = Metadata::new("serin", metrics::Level::INFO, None);

impl Recorder for Store {
    // Help texts come from the `Metric` enum.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.series(key, || Series::Counter(Arc::default())) {
            Series::Counter(counter) => Counter::from_arc(counter),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, || Series::Gauge(Arc::default())) {
            Series::Gauge(gauge) => Gauge::from_arc(gauge),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key, || Series::Histogram(Arc::default())) {
            Series::Histogram(histogram) => Histogram::from_arc(histogram),
            _ => Histogram::noop(),
        }
    }
}
