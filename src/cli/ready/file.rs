//! The file as the checklist asks about it. It is shown by another process, perhaps of another
//! machine, without its secrets and with its variables as they are written; so it is read key by
//! key, and not checked.

use std::time::Duration;

use toml::{Table, Value};

use crate::config::plan::{HOLD, Plan, REQUESTS, Strategy};
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
fn share(value: &Value) -> Option<Known<f64>> {
    let text = value.as_str()?;
    if text.contains("${") {
        return Some(Known::Variable);
    }
    units::share(text).ok().map(Known::Is)
}

/// One step of a plan, as far as the checklist asks about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The canary's, `0..=1`.
    pub(super) share: f64,
    /// The least number of canary requests.
    pub(super) requests: u64,
    /// The least time.
    pub(super) hold: Duration,
}

/// The steps of service `name` and their deadline, with the defaults for what is not written.
/// Nothing where a variable stands, or what is no plan.
pub(super) fn plan(file: &File, name: &str) -> Option<(Vec<Step>, Duration)> {
    let strategy = match file.of_service(name, &["rollout", "strategy"]) {
        None => Strategy::Canary,
        Some(written) => match written.as_str()? {
            "canary" => Strategy::Canary,
            "blue-green" => Strategy::BlueGreen,
            "ab" => Strategy::Ab,
            _ => return None,
        },
    };
    let default = Plan::default_of(strategy);
    let deadline = file.of_service(name, &["rollout", "deadline"]);
    let deadline = deadline.map_or(Some(default.deadline), |value| known(duration(value)))?;
    let steps = match file.of_service(name, &["rollout", "steps"]) {
        None => {
            let steps = default.steps.iter().map(|step| Step {
                share: step.weight.fraction(),
                requests: step.requests,
                hold: step.hold,
            });
            steps.collect()
        }
        Some(written) => written.as_array()?.iter().map(step).collect::<Option<Vec<_>>>()?,
    };
    Some((steps, deadline))
}

fn step(written: &Value) -> Option<Step> {
    let requests = match written.get("requests") {
        None => REQUESTS,
        Some(requests) => u64::try_from(requests.as_integer()?).ok()?,
    };
    Some(Step {
        share: known(share(written.get("weight")?))?,
        requests,
        hold: written.get("hold").map_or(Some(HOLD), |hold| known(duration(hold)))?,
    })
}

fn known<T>(read: Option<Known<T>>) -> Option<T> {
    match read? {
        Known::Is(value) => Some(value),
        Known::Variable => None,
    }
}
