//! `${NAME}` in a string takes the variable's value; `$${` stands for `${`.

use std::ops::Range;

use super::Context;
use crate::config::error::{Found, quote};

/// A piece of a string.
enum Piece<'t> {
    /// Taken as it stands.
    Plain(&'t str),
    /// `${NAME}`: the name and the span of the whole.
    Variable(&'t str, Range<usize>),
    /// `${` without an end, or around something that is no name.
    Bad(Range<usize>),
}

/// Cuts `text` into pieces.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(offset) = text[at..].find("${") {
        let start = at + offset;
        if text[..start].ends_with('$') && start > from {
            found.push(Piece::Plain(&text[from..start - 1]));
            found.push(Piece::Plain("${"));
            (from, at) = (start + 2, start + 2);
            continue;
        }
        found.push(Piece::Plain(&text[from..start]));
        let rest = &text[start + 2..];
        let end = rest.find('}').filter(|&end| is_name(&rest[..end]));
        at = match end {
            Some(end) => {
                let after = start + 2 + end + 1;
                found.push(Piece::Variable(&rest[..end], start..after));
                after
            }
            None => {
                let after = start + 2;
                found.push(Piece::Bad(start..after));
                after
            }
        };
        from = at;
    }
    found.push(Piece::Plain(&text[from..]));
    found
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl Context<'_> {
    /// Replaces the variables in `text`, the string at `at`.
    pub(super) fn expand(&self, text: &str, at: &Range<usize>) -> Option<String> {
        let mut whole = Some(String::new());
        let mut nth = 0;
        for piece in pieces(text) {
            let (message, hint) = match piece {
                Piece::Plain(plain) => {
                    whole.iter_mut().for_each(|whole| whole.push_str(plain));
                    continue;
                }
                Piece::Variable(name, _) => match self.environment.get(name) {
                    Some(value) => {
                        whole.iter_mut().for_each(|whole| whole.push_str(value));
                        nth += 1;
                        continue;
                    }
                    None => (
                        format!("the environment variable {} is not set", quote(name)),
                        format!(
                            "set it before starting serin, or write `$${{{name}}}` to mean the text"
                        ),
                    ),
                },
                Piece::Bad(_) => (
                    "`${` begins no variable".to_owned(),
                    "write `${NAME}` for a variable, or `$${` to mean the text".to_owned(),
                ),
            };
            self.refuse(Found::at(&self.place_of(nth, at), message).hint(hint));
            nth += 1;
            whole = None;
        }
        whole
    }

    /// Where the `nth` variable of the string at `at` stands, as it is written in the file.
    fn place_of(&self, nth: usize, at: &Range<usize>) -> Range<usize> {
        let raw = self.text.get(at.clone()).unwrap_or_default();
        let spans = pieces(raw).into_iter().filter_map(|piece| match piece {
            Piece::Plain(_) => None,
            Piece::Variable(_, span) | Piece::Bad(span) => Some(span),
        });
        let span = spans.into_iter().nth(nth);
        span.map_or_else(|| at.clone(), |span| at.start + span.start..at.start + span.end)
    }
}
