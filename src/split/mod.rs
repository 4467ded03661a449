//! Which side of a split a request falls on.
//!
//! Pure: the caller brings the key and the salt. A key keeps its side while the canary's weight
//! grows, and the last to come are the first to leave when it shrinks, so nobody flips back and
//! forth during a rollout. Replicas that share the salt agree without talking.

pub mod issued;
pub mod sticky;
pub mod weight;

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use weight::Weight;

/// A pool's part in a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The pool known to be good.
    Stable,
    /// The pool being tried.
    Canary,
}

impl Role {
    /// The role's name in metrics, logs and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Seeds the hash. Every rollout draws a new one, so that not always the same users go first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Salt(pub u64);

/// Where a request's key lands: a point on the whole 64-bit line.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Bucket(u64);

impl Bucket {
    /// Hashes `key` with XXH3-64 seeded by `salt`: any xxhash library computes the same value.
    pub fn of(key: &[u8], salt: Salt) -> Self {
        Self(xxh3_64_with_seed(key, salt.0))
    }

    /// Takes a uniform draw as the bucket, for a request without a key.
    pub const fn from_uniform(draw: u64) -> Self {
        Self(draw)
    }

    /// The position on the line. It says nothing of the key to whoever does not know the salt.
    pub const fn position(self) -> u64 {
        self.0
    }

    /// The position on the line as a fraction in `0..1`, for people to read.
    pub fn fraction(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
        let fraction = self.0 as f64 / 18_446_744_073_709_551_616.0;
        fraction
    }
}

/// How a service's requests are divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Split {
    /// The canary's share.
    pub weight: Weight,
    /// Seeds the hash of this rollout.
    pub salt: Salt,
}

impl Split {
    /// Returns the side that `key` falls on.
    pub fn side_of(self, key: &[u8]) -> Role {
        assign(Bucket::of(key, self.salt), self.weight)
    }
}

/// Returns the canary iff `bucket / 2^64 < weight`, compared exactly in integers: 0 % is nobody,
/// hash 0 included, and 100 % is everybody.
pub const fn assign(bucket: Bucket, weight: Weight) -> Role {
    if (bucket.0 as u128) * (Weight::FULL.basis_points() as u128)
        < (weight.basis_points() as u128) << 64
    {
        Role::Canary
    } else {
        Role::Stable
    }
}

#[cfg(test)]
mod tests;
