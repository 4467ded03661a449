//! What a file may say, and what is said about one that may not.

mod cross;
mod defaults;
mod gates;
mod keys;
mod messages;
mod never_panics;
mod pools;
mod reference;
mod release;
mod resources;
mod text;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// A listener, to begin a file with.
const HEAD: &str = "version = 1\n[listeners.web]\nbind = \"0.0.0.0:8080\"\n";
/// Two pools, to end a file with.
const POOLS: &str = "[services.shop.pools.blue]\nendpoints = [\"blue:3000\"]\n\
                     [services.shop.pools.green]\nendpoints = [\"green:3000\"]\n";

/// A file whose service has `lines` and the pools blue (stable) and green (canary).
fn with_service(lines: &str) -> String {
    format!("{HEAD}[services.shop]\nstable = \"blue\"\ncanary = \"green\"\n{lines}\n{POOLS}")
}

/// A good file with `lines` at its end.
fn with(lines: &str) -> String {
    format!("{}{lines}\n", with_service(""))
}

fn parse_in(text: &str, environment: &[(&str, &str)]) -> Result<Config, Errors> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: BTreeMap<_, _> = environment.iter().map(own).collect();
    Config::parse(text, Path::new("/etc/serin/proxy.toml"), &environment)
}

fn parse(text: &str) -> Result<Config, Errors> {
    parse_in(text, &[])
}

#[track_caller]
fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// The service `shop` of a good file.
#[track_caller]
fn shop(text: &str) -> Service {
    accepted(text).services.remove("shop").expect("the file has it")
}

/// The text that is refused and where the one problem stands: what the span covers, and the message.
#[track_caller]
fn one_problem(text: &str) -> (String, String) {
    let errors = parse(text).expect_err(text);
    let [problem] = errors.problems() else { panic!("not one problem:\n{text}\n{errors}") };
    let line = text.lines().nth(problem.line - 1).unwrap_or_default();
    (line.chars().skip(problem.column - 1).collect(), problem.message.clone())
}

/// `text` is refused with one problem whose message is `want`, at what begins with `at`.
#[track_caller]
fn refused(text: &str, at: &str, want: &str) {
    let (place, message) = one_problem(text);
    assert_eq!(message, want, "{text}");
    assert!(place.starts_with(at), "at `{place}`, not `{at}`\n{text}");
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// The messages of the warnings on a good file.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    accepted(text).warnings.into_iter().map(|warning| warning.message).collect()
}
