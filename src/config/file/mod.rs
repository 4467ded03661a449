//! The shape on disk: a table whose keys are all known, and readers for its values.
//!
//! A reader that meets something else says so in the [`Context`] and returns `None`, so that one
//! pass finds every problem. What a value means is for `check`.

mod expand;
mod suggest;
mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::error::{Found, quote};
use super::keys::{KNOWN_ELSEWHERE, REPLAY_NAMES, SECTIONS, Section};

pub(super) use value::Value;

/// What every reader needs, and where it puts what it finds.
pub(super) struct Context<'a> {
    text: &'a str,
    folder: PathBuf,
    environment: &'a BTreeMap<String, String>,
    now: Option<Duration>,
    problems: RefCell<Vec<Found>>,
    warnings: RefCell<Vec<Found>>,
}

impl<'a> Context<'a> {
    /// For `text`, which was read from `path`; see [`Context::now`].
    pub(super) fn new(
        text: &'a str,
        path: &Path,
        environment: &'a BTreeMap<String, String>,
        now: Option<Duration>,
    ) -> Self {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let (problems, warnings) = (RefCell::default(), RefCell::default());
        Self { text, folder, environment, now, problems, warnings }
    }

    /// The value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// When certificates have to hold, since the Unix epoch; nobody looks at them where `None`.
    pub(super) const fn now(&self) -> Option<Duration> {
        self.now
    }

    /// The file's folder; empty where the file is named without one.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `path` as seen from the file's folder.
    pub(super) fn join(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Notes a problem.
    pub(super) fn refuse(&self, found: Found) {
        self.problems.borrow_mut().push(found);
    }

    /// Notes a warning.
    pub(super) fn warn(&self, found: Found) {
        self.warnings.borrow_mut().push(found);
    }

    /// What was found: problems, then warnings. What several pools take from one place is said once.
    pub(super) fn finish(self) -> (Vec<Found>, Vec<Found>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by(|a, b| a.order().cmp(&b.order()));
        warnings.dedup();
        (self.problems.into_inner(), warnings)
    }
}

/// A table of the file. All its keys are known and available.
#[derive(Clone)]
pub(super) struct Table<'a> {
    /// Where problems go.
    pub(super) context: &'a Context<'a>,
    /// Its header, or the whole of an inline table.
    pub(super) at: Range<usize>,
    /// How a message calls it.
    title: String,
    path: String,
    section: &'static Section,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(
        context: &'a Context<'a>,
        entries: &'a DeTable<'a>,
        section: &'static Section,
    ) -> Self {
        let title = "the file".to_owned();
        Self { context, at: 0..0, title, path: String::new(), section, entries }.checked()
    }

    /// Refuses the keys that nobody will ask for.
    fn checked(self) -> Self {
        for (key, _) in self.entries.iter() {
            let name = key.get_ref().as_ref();
            let known = self.section.keys.iter().find(|k| k.name == name || k.also.contains(&name));
            match known {
                Some(key) if key.available() => {}
                Some(_) => self.context.refuse(Found::at(
                    &key.span(),
                    format!("{} is not available yet", quote(name)),
                )),
                None => self.context.refuse(
                    Found::at(&key.span(), format!("unknown key {}", quote(name)))
                        .hint(self.hint(name)),
                ),
            }
        }
        for key in self.section.keys {
            for also in key.also {
                if let (Some(_), Some((second, _))) =
                    (self.entries.get(key.name), self.entries.get_key_value(*also))
                {
                    let message = format!("`{also}` is another name of `{}`", key.name);
                    self.context
                        .refuse(Found::at(&second.span(), message).hint("keep one of them"));
                }
            }
        }
        self
    }

    /// What may have been meant by the unknown key `name`.
    fn hint(&self, name: &str) -> String {
        let names = || self.section.keys.iter().map(|key| key.name);
        if let Some((_, here)) = REPLAY_NAMES.iter().find(|(replay, _)| *replay == name)
            && names().any(|known| known == *here)
        {
            return format!("in this file it is called `{here}`");
        }
        if let Some((_, instead)) = KNOWN_ELSEWHERE.iter().find(|(known, _)| *known == name) {
            return (*instead).to_owned();
        }
        if let Some(meant) = suggest::nearest(name, names()) {
            return format!("did you mean `{meant}`?");
        }
        let homes: Vec<_> = SECTIONS
            .iter()
            .filter(|section| section.keys.iter().any(|key| key.name == name))
            .map(|section| match section.path {
                "" => "the top of the file".to_owned(),
                path => format!("[{path}]"),
            })
            .collect();
        if !homes.is_empty() {
            return format!("`{name}` belongs to {}", homes.join(" or "));
        }
        let known = self.section.keys.iter().filter(|key| key.available());
        let known: Vec<_> = known.map(|key| format!("`{}`", key.name)).collect();
        format!("the keys of {} are {}", self.title, known.join(", "))
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let known = self.section.keys.iter().find(|known| known.name == key);
        debug_assert!(known.is_some(), "`{key}` is missing from the keys of {}", self.title);
        let others = known.map_or(&[] as &[&str], |known| known.also);
        let name = std::iter::once(&key).chain(others).find(|n| self.entries.contains_key(**n))?;
        let value = self.entries.get(*name)?;
        let path = join(&self.path, name);
        Some(Value::new(self.context, name, path, value))
    }

    /// The value of `key` as `read` takes it.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).and_then(|value| read(&value))
    }

    /// The value of `key`, which must be there.
    pub(super) fn require(&self, key: &'static str, hint: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("missing key `{key}` in {}", self.title);
            self.context.refuse(Found::at(&self.at, message).hint(hint));
        }
        value
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// The table under `key`; `None` where it is not there or no table.
    pub(super) fn table(&self, key: &'static str, section: &'static Section) -> Option<Self> {
        self.read(key, |value| value.table(section))
    }

    /// The tables under `key` by their names, in file order; `None` where what is there has been
    /// refused.
    pub(super) fn named(
        &self,
        key: &'static str,
        section: &'static Section,
    ) -> Option<Vec<(String, Self)>> {
        let Some(value) = self.get(key) else { return Some(Vec::new()) };
        let DeValue::Table(entries) = value.raw() else {
            value.mismatch("a table", Some(&format!("write [{}]", section.path)));
            return None;
        };
        let mut tables: Vec<_> = entries.iter().collect();
        tables.sort_by_key(|(key, _)| key.span().start);
        let mut found = Vec::new();
        for (key, value) in tables {
            let name = key.get_ref();
            if !is_name(name) {
                let message = format!("{} cannot be a name", quote(name));
                self.context.refuse(Found::at(&key.span(), message).hint(NAME_HOW));
            }
            let path = join(&join(&self.path, self.key_of(section)), name);
            if let Some(table) = Value::new(self.context, name, path, value).table(section) {
                found.push((name.to_string(), table));
            }
        }
        (!found.is_empty() || entries.is_empty()).then_some(found)
    }

    /// The last fixed word of a section's path: `pools` of `services.NAME.pools.POOL`.
    fn key_of(&self, section: &'static Section) -> &'static str {
        section.path.rsplit('.').nth(1).unwrap_or_default()
    }
}

/// What a name is.
const NAME_HOW: &str = "a name has 1 to 64 characters of a-z, 0-9, `-` and `_`";

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Appends `key` to the dotted `path`.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
