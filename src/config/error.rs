//! What is wrong with a file, and where: all problems at once, each with its place, the line and a
//! caret under the value.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;

/// The longest piece of a line that is shown.
const EXCERPT_CHARS: usize = 140;
/// How much of a shortened line stands before the value.
const EXCERPT_BEFORE: usize = 60;
/// The longest piece of a value that a message repeats.
const QUOTE_CHARS: usize = 60;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// From 1; 0 where the file could not be read at all.
    pub line: usize,
    /// In characters, from 1; 0 where the file could not be read at all.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that is allowed but rarely meant.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Warning {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What may go wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: warning: {}", self.line, self.column, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n    hint: {hint}"))
    }
}

/// Everything that is wrong with a configuration, in file order; at least one problem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Errors {
    path: String,
    problems: Vec<Problem>,
    /// One for each problem: the line and the caret, or nothing.
    excerpts: Vec<String>,
}

impl Errors {
    /// The file at `path` could not be read.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let hint = (error.kind() == std::io::ErrorKind::NotFound)
            .then(|| "name the file with --config FILE".to_owned());
        let message = format!("cannot read this file: {error}");
        Self {
            path: path.display().to_string(),
            problems: vec![Problem { line: 0, column: 0, message, hint }],
            excerpts: vec![String::new()],
        }
    }

    /// The problems, in file order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (problem, excerpt) in self.problems.iter().zip(&self.excerpts) {
            let Problem { line, column, message, hint } = problem;
            match line {
                0 => writeln!(f, "{}: {message}", self.path)?,
                _ => writeln!(f, "{}:{line}:{column}: {message}", self.path)?,
            }
            f.write_str(excerpt)?;
            hint.iter().try_for_each(|hint| writeln!(f, "    hint: {hint}"))?;
        }
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} problem{plural} in {}", self.path)
    }
}

impl std::error::Error for Errors {}

/// A problem or a warning whose place is still a span of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    at: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl Found {
    /// Something at `at`.
    pub(super) fn at(at: &Range<usize>, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into(), hint: None }
    }

    /// Where it stands among others, and what it says.
    pub(super) fn order(&self) -> (usize, &str) {
        (self.at.start, &self.message)
    }

    /// Says what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A text and where its lines begin.
pub(super) struct Source<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(newlines).collect() }
    }

    /// The line that holds byte `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// The line without its end, and how many characters of it stand before `offset`.
    fn line_and_column(&self, offset: usize) -> (&'a str, usize) {
        let start = self.starts.get(self.line(offset) - 1).copied().unwrap_or_default();
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let before = line.char_indices().take_while(|(at, _)| start + at < offset).count();
        (line, before)
    }

    /// Turns spans into places, in file order.
    pub(super) fn errors(&self, path: &Path, mut found: Vec<Found>) -> Errors {
        found.sort_by_key(|found| found.at.start);
        let excerpts = found.iter().map(|found| self.excerpt(&found.at)).collect();
        let problems = found.into_iter().map(|found| {
            let (line, before) =
                (self.line(found.at.start), self.line_and_column(found.at.start).1);
            Problem { line, column: before + 1, message: found.message, hint: found.hint }
        });
        Errors { path: path.display().to_string(), problems: problems.collect(), excerpts }
    }

    /// Turns spans into places, in file order.
    pub(super) fn warnings(&self, found: Vec<Found>) -> Vec<Warning> {
        let errors = self.errors(Path::new(""), found);
        let warning =
            |Problem { line, column, message, hint }| Warning { line, column, message, hint };
        errors.problems.into_iter().map(warning).collect()
    }

    /// The line of `at` and carets under it; a value of several lines is marked in its first.
    fn excerpt(&self, at: &Range<usize>) -> String {
        let (line, before) = self.line_and_column(at.start);
        let marked = self.text.get(at.clone()).and_then(|text| text.lines().next());
        let width = marked.map_or(0, |text| text.chars().count()).max(1);
        let length = line.chars().count();
        if length == 0 {
            return String::new();
        }
        let from = if length > EXCERPT_CHARS { before.saturating_sub(EXCERPT_BEFORE) } else { 0 };
        let mut shown: Vec<char> =
            line.chars().skip(from).take(EXCERPT_CHARS).map(printable).collect();
        if let Some(first) = shown.first_mut().filter(|_| from > 0) {
            *first = '…';
        }
        if let Some(last) = shown.last_mut().filter(|_| from + EXCERPT_CHARS < length) {
            *last = '…';
        }
        // Tabs stay tabs, so that the caret stands under the value however wide they are shown.
        let pad: String = shown
            .iter()
            .map(|&c| if c == '\t' { c } else { ' ' })
            .chain(std::iter::repeat(' '))
            .take(before - from)
            .collect();
        let room = shown.len().saturating_sub(before - from).max(1);
        let shown: String = shown.into_iter().collect();
        format!("    {shown}\n    {pad}{}\n", "^".repeat(width.min(room)))
    }
}

/// What a terminal would act on is shown as a replacement character.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

/// A text from the file as a message repeats it: printable, and not too long.
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTE_CHARS).map(printable).collect();
    if text.chars().nth(QUOTE_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
