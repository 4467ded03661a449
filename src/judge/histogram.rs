//! Sparse latency histograms: counts by bucket, and the stable pool's decayed reference.

use serde::{Deserialize, Serialize};

use super::exact;

/// Counts by bucket, ascending, without zeros.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Histogram {
    buckets: Vec<(u32, u64)>,
}

impl Histogram {
    pub(super) fn add(&mut self, bucket: u32, count: u64) {
        if count == 0 {
            return;
        }
        match self.buckets.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    pub(super) fn extend(&mut self, buckets: &[(u32, u64)]) {
        for &(bucket, count) in buckets {
            self.add(bucket, count);
        }
    }

    pub(super) fn buckets(&self) -> &[(u32, u64)] {
        &self.buckets
    }

    pub(super) fn total(&self) -> u64 {
        self.since(0)
    }

    /// How many lie in `bucket` or above it.
    pub(super) fn since(&self, bucket: u32) -> u64 {
        let first = self.buckets.partition_point(|entry| entry.0 < bucket);
        self.buckets[first..].iter().fold(0, |sum, entry| sum.saturating_add(entry.1))
    }

    /// The first bucket whose cumulative count reaches the share `q` of all.
    pub(super) fn quantile(&self, q: f64) -> Option<u32> {
        let wanted = q * self.total() as f64;
        let mut sum = 0_u64;
        self.buckets.iter().find_map(|&(bucket, count)| {
            sum = sum.saturating_add(count);
            (sum as f64 >= wanted).then_some(bucket)
        })
    }
}

/// What the stable pool's latency was in earlier slices; old slices fade.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Reference {
    #[serde(with = "exact::sparse")]
    buckets: Vec<(u32, f64)>,
}

impl Reference {
    /// Below this a faded count cannot move a quantile any more and is dropped.
    const NEGLIGIBLE: f64 = 1e-12;

    pub(super) fn new(baseline: &[(u32, u64)]) -> Self {
        let mut counts = Histogram::default();
        counts.extend(baseline);
        let mut reference = Self::default();
        reference.add(&counts);
        reference
    }

    pub(super) fn decay(&mut self, factor: f64) {
        for entry in &mut self.buckets {
            entry.1 *= factor;
        }
        self.buckets.retain(|entry| entry.1 > Self::NEGLIGIBLE);
    }

    pub(super) fn add(&mut self, counts: &Histogram) {
        for &(bucket, count) in counts.buckets() {
            match self.buckets.binary_search_by_key(&bucket, |entry| entry.0) {
                Ok(at) => self.buckets[at].1 += count as f64,
                Err(at) => self.buckets.insert(at, (bucket, count as f64)),
            }
        }
    }

    pub(super) fn total(&self) -> f64 {
        self.buckets.iter().map(|entry| entry.1).sum()
    }

    /// The first bucket whose cumulative count reaches the share `q` of `total`. Rounding may
    /// leave the sum a hair below the total; the last bucket answers then.
    pub(super) fn quantile(&self, q: f64, total: f64) -> Option<u32> {
        let mut sum = 0.0;
        let found = self.buckets.iter().find(|entry| {
            sum += entry.1;
            sum >= q * total
        });
        found.or_else(|| self.buckets.last()).map(|entry| entry.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_first_bucket_that_reaches_its_share() {
        let mut counts = Histogram::default();
        counts.extend(&[(7, 25), (3, 50), (9, 25)]);
        assert_eq!(counts.quantile(0.5), Some(3));
        assert_eq!(counts.quantile(0.51), Some(7));
        assert_eq!(counts.quantile(1.0), Some(9));
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(counts.since(7), 50);
        let reference = Reference::new(counts.buckets());
        assert_eq!(reference.quantile(0.5, reference.total()), Some(3));
        assert_eq!(reference.quantile(0.75, reference.total()), Some(7));
        assert_eq!(reference.quantile(0.99, reference.total()), Some(9));
    }

    #[test]
    fn a_reference_fades() {
        let mut reference = Reference::new(&[(1, 100), (5, 2)]);
        reference.decay(0.5);
        assert_eq!(reference.total(), 51.0);
        reference.decay(1e-14);
        assert_eq!(reference.total(), 0.0);
        assert_eq!(reference.quantile(0.5, 0.0), None);
    }

    #[test]
    fn absurd_counts_saturate() {
        let mut counts = Histogram::default();
        counts.extend(&[(1, u64::MAX), (1, 5), (2, u64::MAX)]);
        assert_eq!(counts.total(), u64::MAX);
    }
}
