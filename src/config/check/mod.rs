//! From the shape on disk to a [`Config`]: every value is checked on its own, then against the others.

mod admin;
mod gates;
mod hooks;
mod hosts;
mod judge;
mod listener;
mod pool;
mod program;
mod queries;
mod resources;
mod rollout;
mod service;
mod tls;
mod users;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::error::{Found, Source};
use super::file::{Context, Table};
use super::{Config, Errors, keys};

/// The most syntax errors that are shown; one often begets many.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Parses and checks `text`. `now`, since the Unix epoch, is when certificates have to hold; without
/// it nobody looks at them.
pub(super) fn config(
    text: &str,
    path: &Path,
    environment: &BTreeMap<String, String>,
    now: Option<Duration>,
) -> Result<Config, Errors> {
    let source = Source::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(source.errors(path, syntax(&source, &errors)));
    }
    let context = Context::new(text, path, environment, now);
    let config = root(&context, &source, document.get_ref());
    let (mut problems, warnings) = context.finish();
    match config {
        Some(config) if problems.is_empty() => {
            Ok(Config { warnings: source.warnings(warnings), ..config })
        }
        _ => {
            // Whoever returns nothing has said why; without a reason there would be nothing to show.
            if problems.is_empty() {
                problems.push(Found::at(&(0..0), "this file cannot be used"));
            }
            Err(source.errors(path, problems))
        }
    }
}

/// The syntax errors, one for each line: a slip makes several.
fn syntax(source: &Source<'_>, errors: &[toml::de::Error]) -> Vec<Found> {
    let mut spans: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    spans.sort_by_key(|(span, _)| span.start);
    spans.dedup_by_key(|(span, _)| source.line(span.start));
    spans.truncate(SYNTAX_ERRORS_MAX);
    let found = |(span, message): (Range<usize>, &str)| {
        let (what, _) = message.split_once(", expected nothing").unwrap_or((message, ""));
        match what.strip_suffix(", expected literal string") {
            Some(what) => Found::at(&span, what).hint("put the value in quotes"),
            None if what.starts_with("invalid") => Found::at(&span, what)
                .hint("put the whole value in quotes, unless it is a number or true or false"),
            None => Found::at(&span, what),
        }
    };
    spans.into_iter().map(found).collect()
}

fn root(context: &Context<'_>, source: &Source<'_>, document: &DeTable<'_>) -> Option<Config> {
    let root = Table::root(context, document, &keys::ROOT);
    version(&root);
    let mut ports = admin::Ports::default();
    let admin = admin::admin(&root, &mut ports);
    let state = admin::state(&root);
    let workers = admin::workers(&root);
    let listeners = listener::listeners(&root, &mut ports);
    let services = service::services(&root, source);
    Some(Config {
        admin: admin?,
        state,
        workers,
        listeners: listeners?,
        services: services?,
        warnings: Vec::new(),
    })
}

/// Refuses a format of another version.
fn version(root: &Table<'_>) {
    let hint = "begin the file with `version = 1`";
    let Some(version) = root.require("version", hint) else { return };
    match version.raw() {
        DeValue::Integer(number) if number.as_str() == "1" => {}
        DeValue::Integer(_) => {
            let message = "this serin reads files of version 1 only";
            version.refuse_with::<()>(message, "write `version = 1`, or use the serin it is for");
        }
        _ => {
            version.refuse_with::<()>("`version` must be the integer 1", "write `version = 1`");
        }
    }
}
