//! Floating-point state that survives a state file bit for bit.
//!
//! JSON has no infinities, and a reader may round the last digit of a long number. Log-weights
//! begin at minus infinity and a resumed judge must rule as if it had never stopped, so these
//! numbers are written as text.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that is written as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exact(pub(super) f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number written as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Exact, E> {
        text.parse().map(Exact).map_err(|_| E::custom(format_args!("`{text}` is not a number")))
    }
}

pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Exact(*value).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Exact::deserialize(deserializer).map(|value| value.0)
}

/// A number that may be missing.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Exact, Serialize, Serializer};

    pub(in crate::judge) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Exact).serialize(serializer)
    }

    pub(in crate::judge) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Exact>::deserialize(deserializer)?.map(|value| value.0))
    }
}

/// A list of numbers.
pub(super) mod list {
    use super::{Deserialize, Deserializer, Exact, Serializer};

    pub(in crate::judge) fn serialize<S: Serializer>(
        values: &[f64],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().copied().map(Exact))
    }

    pub(in crate::judge) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Exact>::deserialize(deserializer)?.into_iter().map(|value| value.0).collect())
    }
}

/// Numbers by bucket.
pub(super) mod sparse {
    use super::{Deserialize, Deserializer, Exact, Serializer};

    pub(in crate::judge) fn serialize<S: Serializer>(
        buckets: &[(u32, f64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(buckets.iter().map(|&(bucket, count)| (bucket, Exact(count))))
    }

    pub(in crate::judge) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(u32, f64)>, D::Error> {
        let buckets = Vec::<(u32, Exact)>::deserialize(deserializer)?;
        Ok(buckets.into_iter().map(|(bucket, count)| (bucket, count.0)).collect())
    }
}
