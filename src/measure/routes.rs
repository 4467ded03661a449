//! Which path prefixes of a service are counted on their own, and which of them a path is under.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

/// So many routes of a service are counted.
pub const ROUTES_MAX: usize = 8;

/// So many segments of a path are looked at.
const DEPTH_MAX: usize = 3;
/// So many bytes of a path are looked at.
const SAMPLE_BYTES_MAX: usize = 96;
/// More siblings than this are taken for ids, names of users, or titles.
const SIBLINGS_MAX: usize = 16;
/// A child of fewer per cent of all requests gets no name of its own.
const HEAVY_PERCENT: u64 = 3;

/// Path prefixes that are counted on their own; each is known by its number.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Routes {
    names: Box<[String]>,
    /// Longest first.
    prefixes: Box<[(Box<str>, u8)]>,
}

impl Routes {
    /// The routes with these prefixes, the first [`ROUTES_MAX`] of them.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: Box<[String]> = names.into_iter().take(ROUTES_MAX).collect();
        let numbered = names.iter().map(|name| name.as_str().into()).zip(0..);
        let mut prefixes: Box<[(Box<str>, u8)]> = numbered.collect();
        prefixes.sort_by_key(|(prefix, number)| (std::cmp::Reverse(prefix.len()), *number));
        Self { names, prefixes }
    }

    /// The prefixes; the number of each is its place.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The number of the longest prefix that `path` is under: `/shop` holds `/shop` and
    /// `/shop/cart`, not `/shopping`.
    pub fn find(&self, path: &str) -> Option<u8> {
        let holds = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
        };
        self.prefixes.iter().find(|(prefix, _)| holds(prefix)).map(|(_, number)| *number)
    }
}

/// As much of `path` as can be part of a route's name: whole segments, before the first that looks
/// like an id, for what lies below an id has no prefix that other requests share.
pub fn sampled(path: &str) -> &str {
    let mut end = 0;
    for _ in 0..DEPTH_MAX {
        let Some(rest) = path[end..].strip_prefix('/') else { break };
        let segment = rest.split('/').next().unwrap_or_default();
        let longer = end + 1 + segment.len();
        if segment.is_empty() || is_id(segment) || longer > SAMPLE_BYTES_MAX {
            break;
        }
        end = longer;
    }
    if end == 0 { "/" } else { &path[..end] }
}

/// Chooses at most `max` prefixes to report from paths and how often each was asked for.
///
/// It starts at the first segment. A prefix of more than half of all requests says little, so it
/// is divided into its children, where they are few; those of at least 3 % get names, and the
/// prefix keeps the rest. Of more than 16 first segments, too, only those of at least 3 % get
/// names. `/` stands for what has no other name. Most requested first; equal ones by name.
pub fn choose(samples: &[(String, u64)], max: usize) -> Vec<String> {
    let mut paths: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, count) in samples {
        *paths.entry(sampled(path)).or_default() += count;
    }
    let total: u64 = paths.values().sum();
    let heavy = |count: u64| count * 100 >= total * HEAVY_PERCENT;

    let mut names = BTreeMap::from([("/", total)]);
    let first = children(&paths, "/");
    let few = first.len() <= SIBLINGS_MAX;
    give_names(&mut names, "/", first.into_iter().filter(|(_, count)| few || heavy(*count)));

    let mut tried = BTreeSet::from(["/"]);
    while let Some(large) = names
        .iter()
        .filter(|(name, count)| **count * 2 > total && !tried.contains(*name))
        .map(|(name, _)| *name)
        .next()
    {
        tried.insert(large);
        let below = children(&paths, large);
        if below.len() <= SIBLINGS_MAX {
            let below = below.into_iter().filter(|(_, count)| heavy(*count));
            give_names(&mut names, large, below);
        }
    }

    let mut names: Vec<(&str, u64)> = names.into_iter().filter(|(_, count)| *count > 0).collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    names.into_iter().take(max).map(|(name, _)| name.to_owned()).collect()
}

/// The prefixes one segment below `parent`, with their counts.
fn children<'a>(paths: &BTreeMap<&'a str, u64>, parent: &str) -> BTreeMap<&'a str, u64> {
    let base = parent.trim_end_matches('/');
    let mut children = BTreeMap::new();
    for (path, count) in paths {
        let below = path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        let Some(segment) = below.and_then(|below| below.split('/').next()) else { continue };
        if !segment.is_empty() {
            let child = &path[..base.len() + 1 + segment.len()];
            *children.entry(child).or_default() += count;
        }
    }
    children
}

/// Gives `children` names of their own; what they are asked for is no longer `parent`'s.
fn give_names<'a>(
    names: &mut BTreeMap<&'a str, u64>,
    parent: &'a str,
    children: impl Iterator<Item = (&'a str, u64)>,
) {
    for (child, count) in children {
        names.insert(child, count);
        if let Some(rest) = names.get_mut(parent) {
            *rest = rest.saturating_sub(count);
        }
    }
}

/// Whether a segment names one thing among many: a number, a UUID, or a long hexadecimal word.
fn is_id(segment: &str) -> bool {
    let all_digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = || {
        let groups: Vec<&str> = segment.split('-').collect();
        let lengths = groups.iter().map(|group| group.len());
        lengths.eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| is_hex(group))
    };
    all_digits || (segment.len() >= 16 && is_hex(segment)) || (segment.len() == 36 && is_uuid())
}
