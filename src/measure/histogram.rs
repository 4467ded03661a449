//! The layout of the latency histograms: log-linear buckets of microseconds. Pure.
//!
//! 64 buckets to an octave keep every value within 1.6 %, up to 67 s; what is slower counts in the
//! last one.

use std::time::Duration;

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
const OCTAVES: usize = 21;

/// How many buckets there are.
pub const BUCKETS: usize = SUB * (OCTAVES + 1);

/// The bucket that `elapsed` falls into.
pub fn bucket(elapsed: Duration) -> usize {
    let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let octave = (u64::BITS - us.leading_zeros()).saturating_sub(SUB_BITS + 1);
    // Below 128 the bucket is the value itself; above, the 7 leading bits choose it.
    let leading = usize::try_from(us >> octave).unwrap_or(0);
    (octave as usize * SUB + leading).min(BUCKETS - 1)
}

/// The lower edge of bucket `index`, in microseconds; `BUCKETS` gives the last upper edge.
pub fn lower_edge_us(index: usize) -> u64 {
    if index < 2 * SUB {
        return index as u64;
    }
    let octave = index / SUB - 1;
    ((index - octave * SUB) as u64) << octave
}

/// The middle of bucket `index`, in microseconds: what a count in it is taken for.
pub fn middle_us(index: usize) -> u64 {
    u64::midpoint(lower_edge_us(index), lower_edge_us(index + 1))
}

/// All edges in milliseconds: bucket `b` spans `edges[b]..edges[b + 1]`.
pub fn edges_ms() -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "edges are below 2^53")]
    let edges = (0..=BUCKETS).map(|index| lower_edge_us(index) as f64 / 1e3).collect();
    edges
}
