//! JSON that keeps the order of its keys, and readers that name the field they stumble over.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value. The order of keys matters here: the first routes seen are the ones tested.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Flag(bool),
    Whole(u64),
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// What is wrong, and at which field.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    path: String,
    what: String,
}

pub(super) type Read<T> = Result<T, Wrong>;

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    /// The same, seen from one level further out.
    pub(super) fn inside(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

impl Json {
    /// A field that must be there.
    pub(super) fn field<T>(&self, name: &str, read: impl FnOnce(&Self) -> Read<T>) -> Read<T> {
        let value = self.optional(name, read)?;
        value.ok_or_else(|| Wrong::new("is missing").inside(name))
    }

    /// A field that may be missing or null.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Self) -> Read<T>,
    ) -> Read<Option<T>> {
        let value = self.entries()?.iter().find(|(key, _)| key == name);
        match value.map(|(_, value)| value) {
            None | Some(Self::Null) => Ok(None),
            Some(value) => read(value).map(Some).map_err(|wrong| wrong.inside(name)),
        }
    }

    pub(super) fn entries(&self) -> Read<&[(String, Self)]> {
        match self {
            Self::Map(entries) => Ok(entries),
            _ => Err(Wrong::new("expected an object")),
        }
    }

    pub(super) fn list<T>(&self, read: impl Fn(&Self) -> Read<T>) -> Read<Vec<T>> {
        let Self::List(items) = self else { return Err(Wrong::new("expected a list")) };
        let item = |(at, item)| read(item).map_err(|wrong| wrong.inside(&format!("[{at}]")));
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn pair<A, B>(
        &self,
        first: impl FnOnce(&Self) -> Read<A>,
        second: impl FnOnce(&Self) -> Read<B>,
    ) -> Read<(A, B)> {
        match self {
            Self::List(items) if items.len() == 2 => {
                let a = first(&items[0]).map_err(|wrong| wrong.inside("[0]"))?;
                Ok((a, second(&items[1]).map_err(|wrong| wrong.inside("[1]"))?))
            }
            _ => Err(Wrong::new("expected a list of two")),
        }
    }

    pub(super) fn flag(&self) -> Read<bool> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            _ => Err(Wrong::new("expected true or false")),
        }
    }

    pub(super) fn text(&self) -> Read<&str> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(Wrong::new("expected a text")),
        }
    }

    pub(super) fn number(&self) -> Read<f64> {
        match *self {
            Self::Whole(whole) => Ok(whole as f64),
            Self::Number(number) => Ok(number),
            _ => Err(Wrong::new("expected a number")),
        }
    }

    /// A number from `low` on, up to `high`.
    pub(super) fn within(&self, low: f64, high: f64) -> Read<f64> {
        let number = self.number()?;
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(Wrong::new(format!("expected a number from {low} to {high}, not {number}")))
    }

    /// A number above zero.
    pub(super) fn positive(&self) -> Read<f64> {
        let number = self.number()?;
        if number > 0.0 {
            return Ok(number);
        }
        Err(Wrong::new(format!("expected a number above 0, not {number}")))
    }

    /// A count. Languages without whole numbers write `3.0`.
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    pub(super) fn count(&self) -> Read<u64> {
        const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
        match *self {
            Self::Whole(count) => Ok(count),
            Self::Number(count) if (0.0..EXACT_BELOW).contains(&count) && count.fract() == 0.0 => {
                Ok(count as u64)
            }
            _ => Err(Wrong::new("expected a whole number")),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Json, E> {
        Ok(Json::Whole(whole))
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Json, E> {
        Ok(u64::try_from(whole).map_or(Json::Number(whole as f64), Json::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Json::Map(map))
    }
}
