//! The file as the checklist asks about it. It is shown by another process, perhaps of another
//! machine, without its secrets and with its variables as they are written; so it is read key by
//! key, and not checked.

use std::time::Duration;

use toml::{Table, Value};

use crate::config::units;

/// A file without its secrets.
#[derive(Debug)]
pub(super) struct File(Table);

/// A value of the file, or nothing but the knowledge that it stands in a variable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known<T> {
    Is(T),
    /// `${NAME}`: what it is is known where serin runs.
    Variable,
}

impl File {
    /// Reads what `GET /v1/config` shows.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    /// What stands at `path`.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(key))
    }

    /// What stands at `path` of service `name`.
    pub(super) fn of_service(&self, name: &str, path: &[&str]) -> Option<&Value> {
        self.at(&[&["services", name], path].concat())
    }

    /// A text at `path`.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Value::as_str)
    }

    /// How many entries the list at `path` of service `name` has.
    pub(super) fn count(&self, name: &str, path: &[&str]) -> usize {
        match self.of_service(name, path) {
            Some(Value::Array(list)) => list.len(),
            _ => 0,
        }
    }

    /// Whether `path` of service `name` is `true`.
    pub(super) fn is_true(&self, name: &str, path: &[&str]) -> bool {
        self.of_service(name, path).and_then(Value::as_bool) == Some(true)
    }

    /// The pools of service `name`.
    pub(super) fn pools(&self, name: &str) -> Vec<&str> {
        let pools = self.of_service(name, &["pools"]).and_then(Value::as_table);
        pools.map(|pools| pools.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// `key` of a pool; the service's, where the pool has none of its own.
    pub(super) fn of_pool(&self, name: &str, pool: &str, key: &str) -> Option<&Value> {
        let own = self.of_service(name, &["pools", pool, key]);
        own.or_else(|| self.of_service(name, &[key]))
    }
}

/// Reads a duration as it is written.
pub(super) fn duration(value: &Value) -> Option<Known<Duration>> {
    let text = value.as_str()?;
    if text.contains("${") {
        return Some(Known::Variable);
    }
    units::duration(text).ok().map(Known::Is)
}

/// Reads a share in `0..=1` as it is written.
pub(super) fn share(value: &Value) -> Option<Known<f64>> {
    let text = value.as_str()?;
    if text.contains("${") {
        return Some(Known::Variable);
    }
    units::share(text).ok().map(Known::Is)
}
