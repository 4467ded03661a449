//! Names of fields that were met before: making one costs a copy and a search through those that
//! everybody knows, and upstreams say the same ones over and over.

use std::cell::RefCell;

use http::HeaderName;

/// How many names a worker remembers.
const PLACES: usize = 64;
/// Longer ones are not remembered.
const LENGTH_MAX: usize = 64;

thread_local! {
    static KNOWN: RefCell<[Known; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

/// A name, and how it was spelt.
type Known = Option<(Box<[u8]>, HeaderName)>;

/// The name that `bytes` spell in whatever case; `None` where they spell none.
pub(super) fn name(bytes: &[u8]) -> Option<HeaderName> {
    let (first, last) = (usize::from(*bytes.first()?), usize::from(*bytes.last()?));
    let made = || HeaderName::from_bytes(bytes).ok();
    if bytes.len() > LENGTH_MAX {
        return made();
    }
    let known = KNOWN.try_with(|known| {
        let place = &mut known.borrow_mut()[(bytes.len() * 5 + first * 7 + last * 3) % PLACES];
        match place {
            Some((spelt, name)) if **spelt == *bytes => Some(name.clone()),
            _ => {
                let name = made()?;
                *place = Some((bytes.into(), name.clone()));
                Some(name)
            }
        }
    });
    known.unwrap_or_else(|_| made())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_whether_it_was_met_or_not() {
        let long = "x".repeat(LENGTH_MAX + 1);
        let names = ["Content-Type", "content-type", "x-a", "X-A", "x-b", "age", &long, "b", "b"];
        for _ in 0..2 {
            for text in names {
                let name = name(text.as_bytes()).unwrap();
                assert_eq!(name, HeaderName::from_bytes(text.as_bytes()).unwrap());
            }
        }
        for text in ["", "a b", "a:", "\u{e4}"] {
            assert_eq!(name(text.as_bytes()), None, "{text:?}");
        }
    }
}
