//! What a lasting split found: both pools' rates and quantiles, with intervals that stay valid
//! however often one looks. Pure.

use serde::{Deserialize, Serialize};

use crate::judge::{Interval, interval_for};
use crate::measure::histogram::{lower_edge_us, middle_us};

/// The chance that an interval misses, each on its own.
const ALPHA: f64 = 0.05;
/// The quantiles that are reported.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What one pool did since a split began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Totals {
    requests: u64,
    errors: u64,
    /// Successes by latency bucket, sparse and ascending.
    successes: Vec<(u32, u64)>,
}

/// What a lasting split found so far.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AbReport {
    /// The stable pool.
    pub stable: SideReport,
    /// The canary.
    pub canary: SideReport,
}

/// What one pool did since the split began.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SideReport {
    /// First attempts.
    pub requests: u64,
    /// First attempts that failed.
    pub errors: u64,
    /// Their ratio, `0..=1`; none without requests.
    pub error_rate: Option<f64>,
    /// A 95 % interval for it.
    pub error_interval: (f64, f64),
    /// Latencies of successes.
    pub quantiles: Vec<QuantileReport>,
}

/// A latency quantile, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct QuantileReport {
    /// Which, `0..1`.
    pub quantile: f64,
    /// Its estimate.
    pub ms: f64,
    /// The lower end of a 95 % interval.
    pub low_ms: f64,
    /// The upper end; none while there are too few requests for one.
    pub high_ms: Option<f64>,
}

impl Totals {
    pub(super) fn add(&mut self, interval: &Interval) {
        self.requests += interval.n;
        self.errors += interval.errors;
        super::judging::merge_sparse(&mut self.successes, &interval.successes);
    }

    fn report(&self) -> SideReport {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let rate = self.errors as f64 / self.requests as f64;
        SideReport {
            requests: self.requests,
            errors: self.errors,
            error_rate: (self.requests > 0).then_some(rate),
            error_interval: interval_for(self.errors, self.requests, ALPHA),
            quantiles: QUANTILES.iter().filter_map(|q| self.quantile(*q)).collect(),
        }
    }

    /// The quantile and the edges whose rank the interval for its share does not exclude.
    fn quantile(&self, quantile: f64) -> Option<QuantileReport> {
        let mut below = 0;
        let ranks: Vec<(usize, u64)> = self
            .successes
            .iter()
            .map(|&(bucket, count)| {
                below += count;
                (bucket as usize, below)
            })
            .collect();
        let n = below;
        let first = |holds: &dyn Fn(u64) -> bool| {
            let at = ranks.partition_point(|&(_, rank)| !holds(rank));
            ranks.get(at).map(|&(bucket, _)| bucket)
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let estimate = first(&|rank| rank as f64 >= quantile * n as f64)?;
        let low = first(&|rank| interval_for(rank, n, ALPHA).1 >= quantile)?;
        let high = first(&|rank| rank < n && interval_for(rank, n, ALPHA).0 >= quantile);
        Some(QuantileReport {
            quantile,
            ms: ms(middle_us(estimate)),
            low_ms: ms(lower_edge_us(low)),
            high_ms: high.map(|bucket| ms(lower_edge_us(bucket + 1))),
        })
    }
}

/// What a split found.
pub(super) fn of(stable: &Totals, canary: &Totals) -> AbReport {
    AbReport { stable: stable.report(), canary: canary.report() }
}

fn ms(us: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds, shown in milliseconds")]
    let ms = us as f64 / 1e3;
    ms
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::histogram::bucket;

    fn totals(requests: u64, errors: u64, ms: impl Iterator<Item = u64>) -> Totals {
        let mut totals = Totals::default();
        for ms in ms {
            let at = u32::try_from(bucket(Duration::from_millis(ms))).unwrap();
            totals.add(&Interval { successes: vec![(at, 1)], ..Interval::default() });
        }
        totals.add(&Interval { n: requests, errors, ..Interval::default() });
        totals
    }

    #[test]
    fn an_interval_holds_the_quantile_and_narrows_with_requests() {
        let few = totals(200, 3, 1..=200).report();
        let many = totals(20_000, 300, (1..=200).cycle().take(20_000)).report();
        for (few, many) in few.quantiles.iter().zip(&many.quantiles).take(2) {
            for side in [few, many] {
                assert!(side.low_ms <= side.ms && side.ms <= side.high_ms.unwrap(), "{side:?}");
            }
            let width = |side: &QuantileReport| side.high_ms.unwrap() - side.low_ms;
            assert!(width(many) * 4.0 < width(few), "{many:?} {few:?}");
        }
        // Nothing bounds the largest of 200 from above.
        assert_eq!(few.quantiles[3].high_ms, None);
        // The reference vector of the interval: 3 of 200.
        assert!((few.error_interval.0 - 0.000_825_40).abs() < 1e-8);
        assert!((few.error_interval.1 - 0.065_129_93).abs() < 1e-8);
    }

    #[test]
    fn without_requests_nothing_is_known() {
        let report = Totals::default().report();
        assert_eq!((report.error_rate, report.error_interval), (None, (0.0, 1.0)));
        assert_eq!(report.quantiles, []);
    }
}
