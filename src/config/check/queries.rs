//! Queries to Prometheus: those that are asked while a release runs, and the gates'.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::error::quote;
use crate::config::file::{Table, Value};
use crate::config::units::BadText;
use crate::config::{Compare, Operator, Query, Url, keys};

/// How often a query is asked that names nothing else.
pub(super) const EVERY: Duration = Duration::from_secs(30);
/// No query is asked more often than this.
const EVERY_LEAST: Duration = Duration::from_secs(1);

/// `prometheus` of a judge.
pub(super) fn queries(judge: &Table<'_>) -> Vec<Query> {
    let list = judge.read("prometheus", Value::list).unwrap_or_default();
    let mut names = BTreeSet::new();
    list.iter().filter_map(|value| query(value, &mut names)).collect()
}

fn query(value: &Value<'_>, names: &mut BTreeSet<String>) -> Option<Query> {
    let table = value.table(&keys::QUERY)?;
    let name = table
        .require("name", "add name = \"orders\"")
        .and_then(|value| unused_name(&value, names, "queries"));
    let url = table
        .require("url", "add url = \"http://prometheus:9090\"")
        .and_then(|value| server(&value, "/api/v1/query"));
    let query = table.require("query", QUERY_HINT).and_then(|value| value.text());
    let compare = table.require("compare", COMPARE_HINT).and_then(|value| compare(&value));
    let every = match table.get("every") {
        Some(value) => value.duration_from(EVERY_LEAST),
        None => Some(EVERY),
    };
    Some(Query { name: name?, url: url?, query: query?, compare: compare?, every: every? })
}

/// What to do where `query` is missing.
pub(super) const QUERY_HINT: &str = "add query = \"...\", in PromQL";
/// What to do where `compare` is missing.
pub(super) const COMPARE_HINT: &str = "add compare = \"< 0.01\" or \"<= 1.2 * stable\"";

/// A name that no other of these `things` has.
pub(super) fn unused_name(
    value: &Value<'_>,
    names: &mut BTreeSet<String>,
    things: &str,
) -> Option<String> {
    let name = value.name()?;
    if names.insert(name.clone()) {
        return Some(name);
    }
    value.refuse(format!("two {things} of this service are called {}", quote(&name)))
}

/// A URL of a server to whose path serin adds `added`.
pub(super) fn server(value: &Value<'_>, added: &str) -> Option<Url> {
    let url = value.parsed(str::parse::<Url>)?;
    if url.target.contains('?') || url.target.trim_end_matches('/').ends_with(added) {
        return value.refuse_with(
            format!("name the server only: {added} is added to it"),
            format!("write \"{}\"", url.origin()),
        );
    }
    Some(url)
}

/// The bound of a query's value.
pub(super) fn compare(value: &Value<'_>) -> Option<Compare> {
    value.parsed(str::parse::<Compare>)
}

/// Each relation as it is written.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl FromStr for Compare {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = || {
            BadText::new(format!(
                "{} is not a bound: write a relation and a number, such as \"< 0.01\" or \"<= 1.2 * stable\"",
                quote(text)
            ))
        };
        let text = text.trim();
        let found = OPERATORS.iter().find_map(|(sign, operator)| {
            text.strip_prefix(sign).map(|rest| (*operator, rest.trim()))
        });
        let (operator, bound) = found.ok_or_else(bad)?;
        let factor = match bound.split_once('*').map(|(a, b)| (a.trim(), b.trim())) {
            Some((factor, "stable") | ("stable", factor)) => Some(factor),
            Some(_) => return Err(bad()),
            None if bound == "stable" => Some("1"),
            None => None,
        };
        let number = number(factor.unwrap_or(bound)).ok_or_else(bad)?;
        Ok(Self { operator, number, times_stable: factor.is_some() })
    }
}

/// A number as people write one: no `inf`, no `nan`.
fn number(text: &str) -> Option<f64> {
    let begins = text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| begins && number.is_finite())
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().find(|(_, operator)| *operator == self.operator);
        write!(f, "{} {}", sign.map_or("", |(sign, _)| sign), self.number)?;
        if self.times_stable { f.write_str(" * stable") } else { Ok(()) }
    }
}
