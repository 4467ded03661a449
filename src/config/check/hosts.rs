//! Which requests a service answers: `hosts`, `paths` and `match`, and whether two services want the same.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::error::{Found, Source, quote};
use crate::config::file::{Table, Value};
use crate::config::units::BadText;
use crate::config::{HostPattern, Match, keys};

/// What a service answers, and where the file says so.
pub(super) struct Matching {
    /// Empty means every host.
    pub(super) hosts: Vec<HostPattern>,
    /// At least one, unless the file is wrong.
    pub(super) paths: Vec<String>,
    /// All must hold.
    pub(super) matches: Vec<Match>,
    /// One for each of `paths`.
    places: Vec<Range<usize>>,
}

/// Reads `hosts`, `paths` and `match`.
pub(super) fn matching(service: &Table<'_>) -> Matching {
    let hosts = service.read("hosts", hosts).unwrap_or_default();
    let (paths, places) = match service.get("paths") {
        Some(value) => paths(&value).into_iter().unzip(),
        None => {
            let at = service.get("hosts").map_or_else(|| service.at.clone(), |value| value.at);
            (vec!["/".to_owned()], vec![at])
        }
    };
    let matches = service.read("match", matches).unwrap_or_default();
    Matching { hosts, paths, matches, places }
}

fn hosts(value: &Value<'_>) -> Option<Vec<HostPattern>> {
    let list = value.filled_list("leave it out to answer for every host")?;
    let alone = list.len() == 1;
    let mut hosts: Vec<HostPattern> = Vec::new();
    for value in list {
        let Some(text) = value.text() else { continue };
        if text == "*" {
            if !alone {
                value.refuse_with::<()>("`*` already means every host", "leave the others out");
            }
            continue;
        }
        match value.parsed(str::parse::<HostPattern>) {
            Some(host) if hosts.contains(&host) => {
                value.refuse::<()>(format!("{} is listed twice", quote(&host.to_string())));
            }
            host => hosts.extend(host),
        }
    }
    Some(hosts)
}

fn paths(value: &Value<'_>) -> Vec<(String, Range<usize>)> {
    let mut paths: Vec<(String, Range<usize>)> = Vec::new();
    for value in value.filled_list("leave it out to answer for every path").unwrap_or_default() {
        let Some(text) = value.parsed(path) else { continue };
        if paths.iter().any(|(path, _)| *path == text) {
            value.refuse::<()>(format!("{} is listed twice", quote(&text)));
        } else {
            paths.push((text, value.at.clone()));
        }
    }
    paths
}

fn path(text: &str) -> Result<String, BadText> {
    let why = if !text.starts_with('/') {
        "a path begins with `/`"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "write spaces and what is not ASCII as %20 and the like"
    } else if text.contains(['?', '#']) {
        "a path ends before `?` and `#`"
    } else if text.contains('*') {
        "a path is a prefix, so it needs no `*`"
    } else {
        return Ok(text.to_owned());
    };
    Err(BadText::new(format!("{} is not a path: {why}", quote(text))))
}

fn matches(value: &Value<'_>) -> Option<Vec<Match>> {
    let list = value.list()?;
    Some(list.iter().filter_map(one_match).collect())
}

fn one_match(value: &Value<'_>) -> Option<Match> {
    let table = value.table(&keys::MATCH)?;
    match (table.get("header"), table.get("method")) {
        (Some(header), None) => {
            let value = match table.get("value") {
                Some(value) => Some(value.text()?),
                None => None,
            };
            Some(Match::Header { name: header.parsed(token)?.to_ascii_lowercase(), value })
        }
        (None, Some(method)) => {
            if let Some(value) = table.get("value") {
                return value.refuse("`value` belongs to `header`");
            }
            let name = method.parsed(token)?;
            let upper = name.to_ascii_uppercase();
            if name != upper {
                let message = format!("methods are case-sensitive: `{name}` is not `{upper}`");
                let found = Found::at(&method.at, message).hint(format!("write \"{upper}\""));
                value.context.warn(found);
            }
            Some(Match::Method(name))
        }
        _ => value.refuse_with(
            "each of `match` asks for one thing",
            "write { header = \"x-tenant\", value = \"acme\" } or { method = \"GET\" }",
        ),
    }
}

/// The name of a header, a cookie or a method (RFC 9110 §5.6.2).
pub(super) fn token(text: &str) -> Result<String, BadText> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(BadText::new(format!("{} is not a name: write letters, digits and `-`", quote(text))))
}

/// A host (`None`: every one), a path and conditions.
type Claim = (Option<HostPattern>, String, Vec<Match>);

/// What is answered, by whom, and where the file says so.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<Claim, (String, usize)>);

impl Claims {
    /// Takes what `matching` answers for service `name`; says so once for each path that is taken.
    pub(super) fn take(
        &mut self,
        service: &Table<'_>,
        source: &Source<'_>,
        name: &str,
        matching: &Matching,
    ) {
        let mut matches = matching.matches.clone();
        matches.sort();
        let mut hosts: Vec<_> = matching.hosts.iter().cloned().map(Some).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        for (path, at) in matching.paths.iter().zip(&matching.places) {
            let claim = |host: &Option<HostPattern>| (host.clone(), path.clone(), matches.clone());
            let taken = hosts.iter().find_map(|host| Some((host, self.0.get(&claim(host))?)));
            if let Some((host, (owner, offset))) = taken {
                let host = host
                    .as_ref()
                    .map_or_else(|| "every host".to_owned(), |h| quote(&h.to_string()));
                let line = source.line(*offset);
                let message = format!(
                    "{} of {host} already belongs to service `{owner}` (line {line})",
                    quote(path)
                );
                let hint = "give one of them other `hosts`, `paths` or `match`";
                service.context.refuse(Found::at(at, message).hint(hint));
                continue;
            }
            for host in &hosts {
                self.0.insert(claim(host), (name.to_owned(), at.start));
            }
        }
    }
}
