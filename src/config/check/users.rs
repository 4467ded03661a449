//! How a service tells its users apart: `sticky`, `issue` and `force`.

use std::time::Duration;

use super::hosts::token;
use crate::config::error::{Found, quote};
use crate::config::file::{Table, Value};
use crate::config::units::BadText;
use crate::config::{Force, Issue, keys};
use crate::split::Role;
use crate::split::sticky::Source;

/// A secret of fewer characters is soon guessed.
const SECRET_CHARS: usize = 8;

/// `sticky`: where the key of a user is found.
pub(super) fn sticky(service: &Table<'_>) -> Vec<Source> {
    let list = service.read("sticky", Value::list).unwrap_or_default();
    let mut sources: Vec<Source> = Vec::new();
    let mut last = None;
    for value in list {
        let Some(source) = value.parsed(source) else { continue };
        if sources.contains(&source) {
            value.refuse::<()>(format!("{} is listed twice", quote(&source.to_string())));
            continue;
        }
        if let Some(last) = &last {
            let message = format!("nothing after `{last}` is looked at: it always has a key");
            service.context.warn(Found::at(&value.at, message).hint(format!("put `{last}` last")));
        }
        if matches!(source, Source::Ip | Source::Issue) && last.is_none() {
            last = Some(source.clone());
        }
        sources.push(source);
    }
    sources
}

fn source(text: &str) -> Result<Source, BadText> {
    let bad = || {
        BadText::new(format!(
            "{} is no source of keys: write \"cookie:NAME\", \"header:NAME\", \"query:NAME\", \"ip\" or \"issue\"",
            quote(text)
        ))
    };
    match text.split_once(':') {
        Some((_, "")) => Err(bad()),
        Some(("cookie", name)) => Ok(Source::Cookie(token(name)?)),
        Some(("header", name)) => Ok(Source::Header(token(name)?.to_ascii_lowercase())),
        Some(("query", name)) => Ok(Source::Query(parameter(name)?)),
        None if text == "ip" => Ok(Source::Ip),
        None if text == "issue" => Ok(Source::Issue),
        _ => Err(bad()),
    }
}

/// The name of a parameter as it stands in a query.
fn parameter(text: &str) -> Result<String, BadText> {
    if !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte))
    {
        return Ok(text.to_owned());
    }
    Err(BadText::new(format!("{} is not the name of a parameter", quote(text))))
}

/// `issue`: the cookie, where `sticky` asks for one.
pub(super) fn issue(service: &Table<'_>, sticky: &[Source]) -> Option<Issue> {
    let wanted = sticky.contains(&Source::Issue);
    let mut issue = Issue {
        cookie: "serin_id".to_owned(),
        key_file: None,
        max_age: Duration::from_secs(30 * 24 * 60 * 60),
    };
    if let Some(value) = service.get("issue")
        && let Some(table) = value.table(&keys::ISSUE)
    {
        if let Some(cookie) = table.read("cookie", |value| value.parsed(token)) {
            issue.cookie = cookie;
        }
        issue.key_file = table.read("key_file", Value::path);
        if let Some(value) = table.get("max_age")
            && let Some(max_age) = value.duration(false)
        {
            if max_age < Duration::from_secs(1) {
                value.refuse::<()>("`max_age` must be at least 1s, a cookie counts in seconds");
            }
            issue.max_age = max_age;
        }
        if !wanted {
            value.refuse_with::<()>(
                "`issue` has no effect: `sticky` does not ask for it",
                "end `sticky` with \"issue\", or remove this table",
            );
        }
    }
    wanted.then_some(issue)
}

/// `force`: rules for testers.
pub(super) fn force(service: &Table<'_>) -> Vec<Force> {
    let list = service.read("force", Value::list).unwrap_or_default();
    list.iter().filter_map(rule).collect()
}

fn rule(element: &Value<'_>) -> Option<Force> {
    let table = element.table(&keys::FORCE)?;
    let secret = table.require("value", "add value = \"${SECRET}\"").and_then(|value| {
        let secret = value.text()?;
        if secret.chars().count() < SECRET_CHARS {
            let message = format!("a secret of fewer than {SECRET_CHARS} characters is soon guessed");
            let hint = "whoever guesses it can choose a side; write \"${NAME}\" to keep it out of the file";
            value.context.warn(Found::at(&value.at, message).hint(hint));
        }
        Some(secret)
    });
    let to = table
        .require("to", "add to = \"canary\"")
        .and_then(|value| value.choice(&[("stable", Role::Stable), ("canary", Role::Canary)], &[]));
    let source = match (table.get("header"), table.get("cookie"), table.get("query")) {
        (Some(value), None, None) => {
            value.parsed(token).map(|name| Source::Header(name.to_ascii_lowercase()))
        }
        (None, Some(value), None) => value.parsed(token).map(Source::Cookie),
        (None, None, Some(value)) => value.parsed(parameter).map(Source::Query),
        _ => element.refuse_with(
            "each of `force` names one of `header`, `cookie` and `query`",
            "write { header = \"x-canary\", value = \"${SECRET}\", to = \"canary\" }",
        ),
    };
    Some(Force { source: source?, value: secret?, to: to? })
}
