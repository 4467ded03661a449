//! Where the latency buckets lie, and how to keep 1 400 of them in a small state file.

use serde::{Deserialize, Serialize};

use super::exact;

/// Bucket `b` spans `ms[b]..ms[b + 1]`. What lies beyond the last edge is one more bucket
/// without an upper edge.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(from = "Packed", into = "Packed")]
pub(super) struct Edges {
    ms: Vec<f64>,
}

impl Edges {
    /// An edge at infinity is the same as none.
    pub(super) fn new(mut ms: Vec<f64>) -> Self {
        let finite = ms.iter().position(|edge| !edge.is_finite());
        ms.truncate(finite.unwrap_or(ms.len()));
        Self { ms }
    }

    pub(super) fn count(&self) -> usize {
        self.ms.len()
    }

    /// The upper edge of a bucket.
    pub(super) fn upper_ms(&self, bucket: u32) -> f64 {
        let upper = usize::try_from(bucket).ok().and_then(|bucket| self.ms.get(bucket + 1));
        upper.copied().unwrap_or(f64::MAX)
    }

    /// The bucket that holds a value.
    pub(super) fn holding(&self, value_ms: f64) -> u32 {
        let above = self.ms.partition_point(|&edge| edge <= value_ms);
        u32::try_from(above.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The first bucket that begins at `limit_ms` or above, if there is one. The limit is a
    /// product of rounded numbers and must not miss an edge that it equals but for rounding.
    pub(super) fn first_from(&self, limit_ms: f64) -> Option<u32> {
        let limit_ms = limit_ms * (1.0 - 1e-12);
        let at = self.ms.partition_point(|&edge| edge < limit_ms);
        if at < self.ms.len() { u32::try_from(at).ok() } else { None }
    }
}

/// Edges as runs of equal steps. Log-linear edges are whole microseconds or nanoseconds in runs
/// of equal steps, so 1 400 numbers become a few dozen. Edges of any other shape are listed.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Packed {
    /// Runs of `(first, step, count)` in units of `1 / scale` milliseconds.
    Runs {
        scale: u32,
        runs: Vec<(u64, u64, u64)>,
    },
    Listed(#[serde(with = "exact::list")] Vec<f64>),
}

impl From<Edges> for Packed {
    fn from(edges: Edges) -> Self {
        let whole = |scale: u32| Some((scale, whole_units(&edges.ms, scale)?));
        match [1, 1_000, 1_000_000].into_iter().find_map(whole) {
            Some((scale, units)) => Self::Runs { scale, runs: runs(&units) },
            None => Self::Listed(edges.ms),
        }
    }
}

impl From<Packed> for Edges {
    fn from(packed: Packed) -> Self {
        match packed {
            Packed::Listed(ms) => Self { ms },
            Packed::Runs { scale, runs } => {
                let mut ms = Vec::new();
                for (first, step, count) in runs {
                    // A state file is input: a damaged count must not fill the memory.
                    for k in 0..count.min(100_000) {
                        let units = first.saturating_add(k.saturating_mul(step));
                        ms.push(units as f64 / f64::from(scale));
                    }
                }
                Self { ms }
            }
        }
    }
}

/// The edges in whole units, if that loses nothing.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53")]
fn whole_units(ms: &[f64], scale: u32) -> Option<Vec<u64>> {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    let scale = f64::from(scale);
    let unit = |&edge: &f64| {
        let units = (edge * scale).round();
        let fits = (0.0..EXACT_BELOW).contains(&units) && units / scale == edge;
        fits.then_some(units as u64)
    };
    let units: Vec<u64> = ms.iter().map(unit).collect::<Option<_>>()?;
    units.is_sorted().then_some(units)
}

fn runs(units: &[u64]) -> Vec<(u64, u64, u64)> {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    let mut previous = 0;
    for &unit in units {
        match runs.last_mut() {
            Some((_, step, count)) if *count == 1 => {
                *step = unit - previous;
                *count = 2;
            }
            Some((_, step, count)) if unit - previous == *step => *count += 1,
            _ => runs.push((unit, 0, 1)),
        }
        previous = unit;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_linear() -> Vec<f64> {
        let mut us: Vec<u64> = (0..64).collect();
        for octave in 1..22_u32 {
            us.extend((0..64).map(|k| (64 + k) << (octave - 1)));
        }
        us.dedup();
        us.into_iter().map(|us| us as f64 / 1_000.0).collect()
    }

    #[test]
    fn log_linear_edges_are_small_in_a_state_file_and_exact() {
        let edges = Edges::new(log_linear());
        assert!(edges.ms.len() > 1_300, "{}", edges.ms.len());
        let text = serde_json::to_string(&edges).expect("edges are plain data");
        assert!(text.len() < 1_500, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<Edges>(&text).expect("own text"), edges);
    }

    #[test]
    fn odd_edges_survive_too() {
        for ms in [vec![], vec![0.1, 1.0 / 3.0, 7.0], vec![5.0], vec![-1.0, 2.0, f64::INFINITY]] {
            let edges = Edges::new(ms);
            let text = serde_json::to_string(&edges).expect("edges are plain data");
            assert_eq!(serde_json::from_str::<Edges>(&text).expect("own text"), edges);
        }
    }

    #[test]
    fn a_limit_finds_the_edge_that_it_equals() {
        let edges = Edges::new(vec![0.0, 0.1, 0.3, 0.5]);
        assert_eq!(edges.first_from(3.0 * 0.1), Some(2), "3 * 0.1 is a hair above 0.3");
        assert_eq!(edges.first_from(0.31), Some(3));
        assert_eq!(edges.first_from(0.51), None);
        assert_eq!([0.0, 0.2, 0.3, 9.0].map(|ms| edges.holding(ms)), [0, 1, 2, 3]);
        assert_eq!(edges.upper_ms(1), 0.3);
        assert_eq!(edges.upper_ms(3), f64::MAX);
        assert_eq!(edges.upper_ms(u32::MAX), f64::MAX);
    }
}
