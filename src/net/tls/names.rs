//! Which certificate a client gets to see. Pure: the name it asks for goes in.

use std::collections::HashMap;

use crate::config::HostPattern;

/// Finds what belongs to a name: the name itself first, then the longest wildcard, then what is for
/// any name. Names are in lower case and have no dot at their end.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, usize>,
    /// `*.example.com`, kept as `example.com`.
    wildcard: HashMap<String, usize>,
    any: Option<usize>,
}

impl Names {
    /// Number `number` belongs to `hosts`, and to any other name where `any` says so.
    pub(super) fn add(&mut self, hosts: &[HostPattern], any: bool, number: usize) {
        for host in hosts {
            match host {
                HostPattern::Exact(name) => self.exact.insert(name.clone(), number),
                HostPattern::Wildcard(parent) => self.wildcard.insert(parent.clone(), number),
            };
        }
        if any {
            self.any = Some(number);
        }
    }

    /// What belongs to `name`, or to a client that names none.
    pub(super) fn find(&self, name: Option<&str>) -> Option<usize> {
        let named = name.and_then(|name| self.exact.get(name).or_else(|| self.find_wildcard(name)));
        named.copied().or(self.any)
    }

    fn find_wildcard(&self, name: &str) -> Option<&usize> {
        let mut rest = name;
        while let Some((label, parent)) = rest.split_once('.') {
            if !label.is_empty()
                && let Some(number) = self.wildcard.get(parent)
            {
                return Some(number);
            }
            rest = parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(entries: &[&[&str]]) -> Names {
        let mut names = Names::default();
        for (number, hosts) in entries.iter().enumerate() {
            let any = hosts.contains(&"*");
            let hosts = hosts.iter().filter(|host| **host != "*").map(|host| host.parse().unwrap());
            names.add(&hosts.collect::<Vec<_>>(), any, number);
        }
        names
    }

    #[test]
    fn the_name_itself_wins_then_the_longest_wildcard_then_any() {
        let some = names(&[
            &["shop.example.com", "example.com"],
            &["*.example.com"],
            &["*.eu.example.com", "www.shop.example.com"],
        ]);
        let all = names(&[&["shop.example.com", "*"], &["*.example.com"]]);
        #[rustfmt::skip]
        let table = [
            (Some("shop.example.com"),     Some(0), Some(0)),
            (Some("example.com"),          Some(0), Some(0)),
            (Some("a.example.com"),        Some(1), Some(1)),
            (Some("a.b.example.com"),      Some(1), Some(1)),
            (Some("a.eu.example.com"),     Some(2), Some(1)),
            (Some("a.b.eu.example.com"),   Some(2), Some(1)),
            (Some("eu.example.com"),       Some(1), Some(1)),
            (Some("www.shop.example.com"), Some(2), Some(1)),
            (Some("x.shop.example.com"),   Some(1), Some(1)),
            (Some(".example.com"),         None,    Some(0)),
            (Some("badexample.com"),       None,    Some(0)),
            (Some("example.com.evil"),     None,    Some(0)),
            (Some("com"),                  None,    Some(0)),
            (Some(""),                     None,    Some(0)),
            (None,                         None,    Some(0)),
        ];
        for (name, want, want_of_all) in table {
            assert_eq!((some.find(name), all.find(name)), (want, want_of_all), "{name:?}");
        }
    }
}
