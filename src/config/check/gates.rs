//! `[[services.NAME.gates]]`: what a release has to pass before any traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::de::DeValue;

use super::hosts::token;
use super::pool::Written;
use super::program::command;
use super::queries::{self, COMPARE_HINT, QUERY_HINT, server, unused_name};
use crate::config::error::{Found, quote};
use crate::config::file::{Table, Value};
use crate::config::units::BadText;
use crate::config::{Check, Expect, Gate, Query, Smoke, Url, keys};
use crate::split::Role;

/// How long a gate may take that names nothing else.
const DEADLINE: Duration = Duration::from_secs(60);
/// The kinds of gates; each has one.
const KINDS: [&str; 4] = ["request", "command", "webhook", "prometheus"];
/// Keys that only one kind has.
const BELONGS: [(&str, &str); 5] = [
    ("body", "request"),
    ("headers", "request"),
    ("expect", "request"),
    ("query", "prometheus"),
    ("compare", "prometheus"),
];
/// Fields that serin writes itself: they say where a request ends.
const OWN_FIELDS: [&str; 6] =
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The gates of `service`, which has `pools`.
pub(super) fn gates(service: &Table<'_>, pools: &BTreeMap<String, Written>) -> Vec<Gate> {
    let list = service.read("gates", Value::list).unwrap_or_default();
    let mut names = BTreeSet::new();
    list.iter().filter_map(|value| gate(value, pools, &mut names)).collect()
}

fn gate(
    value: &Value<'_>,
    pools: &BTreeMap<String, Written>,
    names: &mut BTreeSet<String>,
) -> Option<Gate> {
    let table = value.table(&keys::GATE)?;
    let name = table
        .require("name", "add name = \"checkout\"")
        .and_then(|value| unused_name(&value, names, "gates"));
    let against = match table.get("against") {
        Some(value) => against(&value, pools),
        None => Some(vec![Role::Canary]),
    };
    let deadline = match table.get("deadline") {
        Some(value) => value.duration(false),
        None => Some(DEADLINE),
    };
    let check = check(value, &table, name.as_deref());
    Some(Gate { name: name?, check: check?, against: against?, deadline: deadline? })
}

/// What is asked; one question only.
fn check(gate: &Value<'_>, table: &Table<'_>, name: Option<&str>) -> Option<Check> {
    let given: Vec<_> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    let kind = match given.as_slice() {
        [kind] => *kind,
        [first, second, ..] => {
            return table.get(second)?.refuse_with(
                format!("`{first}` and `{second}` exclude each other"),
                "a gate asks one thing: write two gates",
            );
        }
        [] => {
            return gate.refuse_with(
                "this gate asks nothing",
                "add request = \"GET /\", command = [\"./smoke.sh\"], webhook = \"https://...\" or prometheus = \"http://...\"",
            );
        }
    };
    for (key, owner) in BELONGS {
        if owner != kind
            && let Some(value) = table.get(key)
        {
            value.refuse::<()>(format!("`{key}` belongs to `{owner}`"));
        }
    }
    let value = table.get(kind)?;
    match kind {
        "request" => smoke(&value, table).map(|smoke| Check::Request(Box::new(smoke))),
        "command" => command(&value).map(Check::Command),
        "webhook" => value.parsed(str::parse::<Url>).map(Check::Webhook),
        _ => {
            let url = server(&value, "/api/v1/query");
            let query = table.require("query", QUERY_HINT).and_then(|value| value.text());
            let compare = table.require("compare", COMPARE_HINT);
            let compare = compare.and_then(|value| queries::compare(&value));
            let (url, query, compare) = (url?, query?, compare?);
            let name = name?.to_owned();
            Some(Check::Query(Box::new(Query { name, url, query, compare, every: queries::EVERY })))
        }
    }
}

/// The sides that are asked.
fn against(value: &Value<'_>, pools: &BTreeMap<String, Written>) -> Option<Vec<Role>> {
    let list = value.filled_list("leave it out to ask the canary")?;
    let mut roles = Vec::new();
    let mut good = true;
    for value in list {
        let role = value.text().and_then(|text| match text.as_str() {
            "canary" => Some(Role::Canary),
            "stable" => Some(Role::Stable),
            pool => {
                let message = format!(
                    "each of `against` must be \"canary\" or \"stable\", not {}",
                    quote(pool)
                );
                match pools.contains_key(pool) {
                    true => value.refuse_with(
                        message,
                        format!(
                            "{} is a pool: name the side, which changes with each release",
                            quote(pool)
                        ),
                    ),
                    false => value.refuse(message),
                }
            }
        });
        match role {
            Some(role) if roles.contains(&role) => {
                value.refuse::<()>(format!("{} is listed twice", quote(role.name())));
            }
            Some(role) => roles.push(role),
            None => good = false,
        }
    }
    good.then_some(roles)
}

fn smoke(value: &Value<'_>, gate: &Table<'_>) -> Option<Smoke> {
    let line = value.parsed(request_line);
    let headers = gate.get("headers").map_or_else(|| Some(Vec::new()), |value| headers(&value));
    let body = match gate.get("body") {
        Some(value) => value.text(),
        None => Some(String::new()),
    };
    let expect = match gate.get("expect") {
        Some(value) => value.table(&keys::EXPECT).map(|table| expect(&table)),
        None => Some(Expect::default()),
    };
    let (method, target) = line?;
    Some(Smoke { method, target, headers: headers?, body: body?, expect: expect? })
}

/// `METHOD /path`.
fn request_line(text: &str) -> Result<(String, String), BadText> {
    let bad = |why: &str| BadText::new(format!("{} is not a request: {why}", quote(text)));
    let Some((method, target)) = text.split_once(' ') else {
        return Err(bad("write the method and the path, such as \"GET /\""));
    };
    if token(method).is_err() || method != method.to_ascii_uppercase() {
        return Err(bad("it begins with a method in capitals, such as \"GET /\""));
    }
    if method == "CONNECT" {
        return Err(bad("CONNECT opens a tunnel and has no answer to look at"));
    }
    if target.contains("://") && !target.starts_with('/') {
        return Err(bad("every endpoint of the pool is asked, so only the path is written"));
    }
    if !target.starts_with('/') {
        return Err(bad("the path begins with `/`"));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return Err(bad("the path must not hold spaces, `#` or what is not ASCII"));
    }
    Ok((method.to_owned(), target.to_owned()))
}

fn headers(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let mut seen = BTreeSet::new();
    let fields: Vec<_> = value
        .entries()?
        .into_iter()
        .map(|(name, at, value)| {
            let lower = name.to_ascii_lowercase();
            let why = match token(&name) {
                Err(bad) => bad.to_string(),
                Ok(_) if OWN_FIELDS.contains(&lower.as_str()) => {
                    format!("serin writes {} itself", quote(&lower))
                }
                Ok(_) if !seen.insert(lower.clone()) => {
                    format!("{} is listed twice", quote(&lower))
                }
                Ok(_) => return Some((lower, value.parsed(field_value)?)),
            };
            value.context.refuse(Found::at(&at, why));
            None
        })
        .collect();
    fields.into_iter().collect()
}

/// The value of a header: visible ASCII with spaces inside (RFC 9110 §5.5). Never repeated, since
/// it may be a secret.
fn field_value(text: &str) -> Result<String, BadText> {
    let allowed = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
    if text.bytes().all(allowed) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(BadText::new("a header's value is ASCII, without line breaks and outer spaces"))
}

fn expect(table: &Table<'_>) -> Expect {
    let status = table.read("status", |value| value.integer(200..=599));
    Expect {
        status: status.and_then(|status| u16::try_from(status).ok()),
        contains: table.read("contains", Value::text),
        json: table.read("json", json),
        header: table.read("header", header),
        within: table.read("within", |value| value.duration(false)),
    }
}

fn json(value: &Value<'_>) -> Option<(String, Option<serde_json::Value>)> {
    if matches!(value.raw(), DeValue::String(_)) {
        return value.parsed(pointer).map(|pointer| (pointer, None));
    }
    let table = value.table(&keys::EXPECT_JSON)?;
    let pointer = table
        .require("pointer", "add pointer = \"/status\"")
        .and_then(|value| value.parsed(pointer));
    let wanted = match table.get("value") {
        Some(value) => Some(value.scalar()?),
        None => None,
    };
    Some((pointer?, wanted))
}

fn pointer(text: &str) -> Result<String, BadText> {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && escapes {
        return Ok(text.to_owned());
    }
    Err(BadText::new(format!(
        "{} is no JSON pointer: write the names on the way, such as \"/status\" or \"/items/0/id\"",
        quote(text)
    )))
}

fn header(value: &Value<'_>) -> Option<(String, Option<String>)> {
    let name = |value: &Value<'_>| value.parsed(token).map(|name| name.to_ascii_lowercase());
    if matches!(value.raw(), DeValue::String(_)) {
        return name(value).map(|name| (name, None));
    }
    let table = value.table(&keys::EXPECT_HEADER)?;
    let name = table.require("name", "add name = \"content-type\"").and_then(|value| name(&value));
    let wanted = match table.get("value") {
        Some(value) => Some(value.text()?),
        None => None,
    };
    Some((name?, wanted))
}
