//! One number out of an answer of Prometheus, and whether it keeps its bound. Pure.
//!
//! The format is that of the HTTP API's instant queries
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>).

use serde_json::Value;

use super::text::{bounded, excerpt};
use crate::config::{Compare, Operator};
use crate::outbound::Answer;

/// The most bytes of Prometheus's own words that are shown.
const SAID_BYTES_MAX: usize = 240;

/// What a query says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control) enum Finding {
    /// The bound is kept.
    Kept(String),
    /// It is not.
    Broken(String),
    /// Nothing can be said; nothing may advance on it.
    Missing(String),
}

/// The value of the one sample in `answer`.
///
/// # Errors
/// With why there is no such value; then nothing is known.
pub(super) fn read(answer: &Answer) -> Result<f64, String> {
    let said = || excerpt(&answer.body);
    let body: Value = match serde_json::from_slice(&answer.body) {
        Ok(body) if !answer.cut => body,
        _ => {
            return Err(format!(
                "status {}, but no answer of Prometheus: {}",
                answer.status,
                said()
            ));
        }
    };
    if body["status"] != "success" {
        let kind = body["errorType"].as_str().unwrap_or("error");
        let words = body["error"].as_str().map_or_else(said, str::to_owned);
        let words = bounded(&words, SAID_BYTES_MAX);
        return Err(format!(
            "Prometheus refused the query (status {}, {kind}): {words}",
            answer.status
        ));
    }
    let result = &body["data"]["result"];
    let sample = match body["data"]["resultType"].as_str() {
        Some("vector") => match result.as_array().map_or(&[][..], Vec::as_slice) {
            [] => return Err("the query gave no sample".into()),
            [one] => &one["value"],
            many => {
                return Err(format!(
                    "the query gave {} samples where one is needed: aggregate it, as with sum(...)",
                    many.len()
                ));
            }
        },
        Some("scalar") => result,
        other => {
            let kind = other.unwrap_or("nothing known");
            return Err(format!("the query gave {kind}, not a vector or a scalar"));
        }
    };
    let Some(text) = sample[1].as_str() else {
        return Err("the sample is no number; is it a histogram?".into());
    };
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        // Nothing was divided by nothing: there is no traffic to speak of.
        Ok(_) => Err(format!("the value is {text}")),
        Err(_) => Err(format!("`{}` is no number", bounded(text, SAID_BYTES_MAX))),
    }
}

/// Whether `value` keeps its bound. `stable` is the stable side's value, where the bound needs it.
pub(super) fn compare(name: &str, compare: Compare, value: f64, stable: Option<f64>) -> Finding {
    let wanted = words(compare);
    let bound = match (compare.times_stable, stable) {
        (false, _) => compare.number,
        (true, Some(stable)) => compare.number * stable,
        (true, None) => return Finding::Missing(format!("{name}: stable's value is not known")),
    };
    if !value.is_finite() || !bound.is_finite() {
        return Finding::Missing(format!("{name}: {value} cannot be compared with {bound}"));
    }
    let of = match stable.filter(|_| compare.times_stable) {
        Some(stable) => format!(" (stable has {})", number(stable)),
        None => String::new(),
    };
    let value_words = number(value);
    if holds(compare.operator, value, bound) {
        Finding::Kept(format!("{name}: {value_words} is {wanted}{of}"))
    } else {
        Finding::Broken(format!("{name}: {value_words}, wanted {wanted}{of}"))
    }
}

/// A bound as the file writes it: `< 0.01`, `<= 1.2 * stable`.
pub(in crate::control) fn words(compare: Compare) -> String {
    let operator = match compare.operator {
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
    };
    match (compare.times_stable, compare.number) {
        (true, 1.0) => format!("{operator} stable"),
        (true, factor) => format!("{operator} {factor} * stable"),
        (false, bound) => format!("{operator} {bound}"),
    }
}

#[expect(clippy::float_cmp, reason = "whoever writes == means it")]
fn holds(operator: Operator, value: f64, bound: f64) -> bool {
    match operator {
        Operator::Less => value < bound,
        Operator::LessOrEqual => value <= bound,
        Operator::Greater => value > bound,
        Operator::GreaterOrEqual => value >= bound,
        Operator::Equal => value == bound,
        Operator::NotEqual => value != bound,
    }
}

/// A number with six digits that count.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

#[cfg(test)]
mod tests;
