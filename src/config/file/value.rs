//! One value and what it may be read as.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::suggest::nearest;
use super::{Context, Table};
use crate::config::error::{Found, quote};
use crate::config::keys::Section;
use crate::config::units;
use crate::split::Weight;

/// The most elements of a list.
const LIST_MAX: usize = 10_000;

/// A value that has not been read yet.
pub(in crate::config) struct Value<'a> {
    /// Where problems go.
    pub(in crate::config) context: &'a Context<'a>,
    /// Its place.
    pub(in crate::config) at: Range<usize>,
    /// How a message calls it: `` `bind` `` or ``each of `hosts` ``.
    label: String,
    path: String,
    element: bool,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The value of `key`, whose full name is `path`.
    pub(super) fn new(
        context: &'a Context<'a>,
        key: &str,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        let (at, value) = (value.span(), value.get_ref());
        Self { context, at, label: quote(key), path, element: false, value }
    }

    /// The value as TOML has it.
    pub(in crate::config) fn raw(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Refuses the value.
    pub(in crate::config) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.context.refuse(Found::at(&self.at, message));
        None
    }

    /// Refuses the value and says what to do.
    pub(in crate::config) fn refuse_with<T>(
        &self,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.context.refuse(Found::at(&self.at, message).hint(hint));
        None
    }

    /// Refuses a value that a later version will take.
    pub(in crate::config) fn not_yet<T>(&self, what: &str) -> Option<T> {
        self.refuse(format!("`{what}` is not available yet"))
    }

    /// Refuses a value of another type than `want`.
    pub(in crate::config) fn mismatch(&self, want: &str, hint: Option<&str>) {
        let got = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let found = Found::at(&self.at, format!("{} must be {want}, not {got}", self.label));
        self.context.refuse(match hint {
            Some(hint) => found.hint(hint),
            None => found,
        });
    }

    fn must_be<T>(&self, want: &str, hint: Option<&str>) -> Option<T> {
        self.mismatch(want, hint);
        None
    }

    /// A string that is not empty.
    pub(in crate::config) fn text(&self) -> Option<String> {
        self.string("a string", None)
    }

    /// A string that is not empty; `hint` says how to write what is given as a number.
    pub(in crate::config) fn text_or(&self, hint: &str) -> Option<String> {
        self.string("a string", Some(hint))
    }

    fn string(&self, want: &str, hint: Option<&str>) -> Option<String> {
        let DeValue::String(text) = self.value else {
            let number = matches!(self.value, DeValue::Integer(_) | DeValue::Float(_));
            return self.must_be(want, hint.filter(|_| number));
        };
        let value = self.context.expand(text, &self.at)?;
        if value.is_empty() {
            return self.refuse(format!("{} must not be empty", self.label));
        }
        Some(value)
    }

    /// A string as `parse` reads it.
    pub(in crate::config) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.parsed_as("a string", None, parse)
    }

    fn parsed_as<T, E: Display>(
        &self,
        want: &str,
        hint: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string(want, hint)?;
        parse(&text).map_err(|error| self.refuse::<()>(error.to_string())).ok()
    }

    /// A path, relative to the file's folder.
    pub(in crate::config) fn path(&self) -> Option<PathBuf> {
        self.text().map(|text| self.context.join(&text))
    }

    /// A duration; 0 is refused unless it means something.
    pub(in crate::config) fn duration(&self, zero: bool) -> Option<Duration> {
        let hint = format!("write {}", units::DURATION_HOW);
        let duration = self.parsed_as("a duration", Some(&hint), units::duration)?;
        if duration.is_zero() && !zero {
            return self.refuse(format!("{} must be longer than 0", self.label));
        }
        Some(duration)
    }

    /// A duration of at least `least`.
    pub(in crate::config) fn duration_from(&self, least: Duration) -> Option<Duration> {
        let duration = self.duration(true)?;
        if duration < least {
            let least = units::duration_text(least);
            return self.refuse(format!("{} must be at least {least}", self.label));
        }
        Some(duration)
    }

    /// A name as those of pools and services are.
    pub(in crate::config) fn name(&self) -> Option<String> {
        let name = self.text()?;
        if super::is_name(&name) {
            return Some(name);
        }
        self.refuse_with(format!("{} cannot be a name", quote(&name)), super::NAME_HOW)
    }

    /// A size in bytes.
    pub(in crate::config) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let hint = format!("write {}", units::SIZE_HOW);
        let bytes = self.parsed_as("a size", Some(&hint), units::size)?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let (least, most) = (units::size_text(*range.start()), units::size_text(*range.end()));
        self.refuse(format!("{} must be from {least} to {most}", self.label))
    }

    /// The canary's share.
    pub(in crate::config) fn weight(&self) -> Option<Weight> {
        let hint = format!("write {}", units::SHARE_HOW);
        self.parsed_as("a share", Some(&hint), str::parse::<Weight>)
    }

    /// A share as a fraction for which `allowed` holds; `words` say when it does.
    pub(in crate::config) fn share(
        &self,
        words: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let hint = format!("write {}", units::SHARE_HOW);
        let share = self.parsed_as("a share", Some(&hint), units::share)?;
        if allowed(share) {
            return Some(share);
        }
        self.refuse(format!("{} must be {words}", self.label))
    }

    /// An integer in `range`.
    pub(in crate::config) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.must_be("an integer", None);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        if let Some(number) = number.ok().filter(|number| range.contains(number)) {
            return Some(number);
        }
        let (least, most) = (range.start(), range.end());
        self.refuse(if *most == u64::MAX || *most == u64::from(u32::MAX) {
            format!("{} must be at least {least}", self.label)
        } else {
            format!("{} must be from {least} to {most}", self.label)
        })
    }

    /// A number for which `allowed` holds; `words` say when it does.
    pub(in crate::config) fn number(
        &self,
        words: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let number = match self.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(exact)
            }
            _ => return self.must_be("a number", None),
        };
        if let Some(number) = number.filter(|number: &f64| number.is_finite() && allowed(*number)) {
            return Some(number);
        }
        self.refuse(format!("{} must be {words}", self.label))
    }

    /// A boolean.
    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.must_be("true or false", None),
        }
    }

    /// One of `words`; those in `later` are known, but not available yet.
    pub(in crate::config) fn choice<T: Copy>(
        &self,
        words: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let text = self.text()?;
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*found);
        }
        if later.contains(&text.as_str()) {
            return self.not_yet(&text);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let message =
            format!("{} must be {}, not {}", self.label, known.join(" or "), quote(&text));
        match nearest(&text, words.iter().map(|(word, _)| *word)) {
            Some(meant) => self.refuse_with(message, format!("did you mean \"{meant}\"?")),
            None => self.refuse(message),
        }
    }

    /// A table with the keys of `section`.
    pub(in crate::config) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.value else {
            return self.must_be("a table", None);
        };
        let title = match self.element {
            true => {
                format!("this element of `{}`", self.path.rsplit('.').next().unwrap_or_default())
            }
            false => format!("[{}]", self.path),
        };
        let (context, at, path) = (self.context, self.at.clone(), self.path.clone());
        Some(Table { context, at, title, path, section, entries }.checked())
    }

    /// What a table holds whose keys are the user's, in file order: each key's place, and its value.
    pub(in crate::config) fn entries(&self) -> Option<Vec<(String, Range<usize>, Self)>> {
        let DeValue::Table(entries) = self.value else {
            return self.must_be("a table", None);
        };
        let mut found: Vec<_> = entries
            .iter()
            .map(|(key, value)| {
                let (name, at) = (key.get_ref().to_string(), key.span());
                let inner = Value::new(self.context, &name, self.path.clone(), value);
                (name, at, inner)
            })
            .collect();
        found.sort_by_key(|(_, at, _)| at.start);
        Some(found)
    }

    /// A string, a number, true or false, as JSON has it.
    pub(in crate::config) fn scalar(&self) -> Option<serde_json::Value> {
        match self.value {
            DeValue::String(text) => self.context.expand(text, &self.at).map(Into::into),
            DeValue::Boolean(boolean) => Some((*boolean).into()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) => Some(number.into()),
                    Err(_) => self.refuse(format!("{} is too large", self.label)),
                }
            }
            DeValue::Float(_) => self.number("a number", |_| true).map(Into::into),
            _ => self.must_be("a string, a number, true or false", None),
        }
    }

    /// The elements of a list.
    pub(in crate::config) fn list(&self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            let tables = format!("write [[{}]], with two brackets", self.path);
            let hint = match self.value {
                DeValue::Table(_) if !self.element => tables.as_str(),
                _ => "write it in brackets: [...]",
            };
            return self.must_be("a list", Some(hint));
        };
        if array.len() > LIST_MAX {
            return self.refuse(format!("{} must have at most {LIST_MAX} elements", self.label));
        }
        let element = |value: &'a Spanned<DeValue<'a>>| Self {
            context: self.context,
            at: value.span(),
            label: format!("each of {}", self.label),
            path: self.path.clone(),
            element: true,
            value: value.get_ref(),
        };
        Some(array.iter().map(element).collect())
    }

    /// The elements of a list that must not be empty.
    pub(in crate::config) fn filled_list(&self, hint: &str) -> Option<Vec<Self>> {
        let list = self.list()?;
        if list.is_empty() {
            return self.refuse_with(format!("{} must not be empty", self.label), hint);
        }
        Some(list)
    }

    /// A list of numbers for which `allowed` holds; `words` say when it does.
    pub(in crate::config) fn numbers(
        &self,
        words: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Option<Vec<f64>> {
        let list = self.filled_list("leave it out to use the default")?;
        if list.len() > 64 {
            return self.refuse(format!("{} must have at most 64 elements", self.label));
        }
        let numbers: Vec<_> = list.iter().map(|value| value.number(words, &allowed)).collect();
        numbers.into_iter().collect()
    }
}

/// The nearest float; the file's integers are far below where that matters.
fn exact(integer: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the nearest number is what is wanted")]
    let number = integer as f64;
    number
}
