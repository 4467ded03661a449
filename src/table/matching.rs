//! Which service a request is for. Pure: a hash on the host, then a short walk over prefixes.

use std::collections::HashMap;

use crate::config::{self, HostPattern, Match};

/// What of a request is matched.
pub trait Matched {
    /// The host without its port, in lower case.
    fn host(&self) -> &str;
    /// The path, without the query.
    fn path(&self) -> &str;
    /// The method.
    fn method(&self) -> &str;
    /// The first value of header `name` (lower case).
    fn header(&self, name: &str) -> Option<&[u8]>;
}

/// Finds a service by host, path and further conditions.
#[derive(Debug, Default)]
pub struct Matcher {
    exact: HashMap<String, Rules>,
    /// `*.example.com`, kept as `example.com`.
    wildcard: HashMap<String, Rules>,
    any: Rules,
}

/// Longest prefix first; of equal ones, the one with more conditions first.
type Rules = Vec<Rule>;

#[derive(Clone, Debug)]
struct Rule {
    prefix: String,
    conditions: Vec<Match>,
    service: usize,
}

impl Matcher {
    /// Builds the matcher of `services`, which are numbered in order.
    pub fn new<'a>(services: impl Iterator<Item = &'a config::Service>) -> Self {
        let mut matcher = Self::default();
        for (number, service) in services.enumerate() {
            for prefix in &service.paths {
                let rule = Rule {
                    prefix: prefix.clone(),
                    conditions: service.matches.clone(),
                    service: number,
                };
                if service.hosts.is_empty() {
                    matcher.any.push(rule.clone());
                }
                for host in &service.hosts {
                    let (map, name) = match host {
                        HostPattern::Exact(name) => (&mut matcher.exact, name),
                        HostPattern::Wildcard(name) => (&mut matcher.wildcard, name),
                    };
                    map.entry(name.clone()).or_default().push(rule.clone());
                }
            }
        }
        let lists = matcher.exact.values_mut().chain(matcher.wildcard.values_mut());
        for rules in lists.chain([&mut matcher.any]) {
            rules.sort_by_key(|rule| std::cmp::Reverse((rule.prefix.len(), rule.conditions.len())));
        }
        matcher
    }

    /// Returns the number of the service that `request` is for: the most specific host first, then
    /// the longest path.
    pub fn find(&self, request: &impl Matched) -> Option<usize> {
        let by_host = || {
            let host = request.host();
            let exact = self.exact.get(host).and_then(|rules| first(rules, request));
            exact.or_else(|| self.find_wildcard(host, request))
        };
        let has_hosts = !self.exact.is_empty() || !self.wildcard.is_empty();
        has_hosts.then(by_host).flatten().or_else(|| first(&self.any, request))
    }

    fn find_wildcard(&self, host: &str, request: &impl Matched) -> Option<usize> {
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((label, parent)) = rest.split_once('.') {
            if !label.is_empty()
                && let Some(rules) = self.wildcard.get(parent)
                && let Some(service) = first(rules, request)
            {
                return Some(service);
            }
            rest = parent;
        }
        None
    }
}

fn first(rules: &[Rule], request: &impl Matched) -> Option<usize> {
    let path = request.path();
    let rule = rules.iter().find(|rule| under(path, &rule.prefix) && meets(rule, request))?;
    Some(rule.service)
}

/// Whether `path` is `prefix` or below it: `/shop` holds `/shop` and `/shop/cart`, not `/shopping`.
fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

fn meets(rule: &Rule, request: &impl Matched) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Match::Method(method) => request.method() == method,
        Match::Header { name, value } => request
            .header(name)
            .is_some_and(|got| value.as_ref().is_none_or(|want| want.as_bytes() == got)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    struct Request(&'static str, &'static str, &'static str, Option<&'static str>);

    impl Matched for Request {
        fn method(&self) -> &str {
            self.0
        }
        fn host(&self) -> &str {
            self.1
        }
        fn path(&self) -> &str {
            self.2
        }
        fn header(&self, name: &str) -> Option<&[u8]> {
            self.3.filter(|_| name == "x-tenant").map(str::as_bytes)
        }
    }

    fn matcher(services: &[(&str, &str)]) -> Matcher {
        let mut text = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n".to_owned();
        for (name, keys) in services {
            text += &format!(
                "[services.{name}]\n{keys}\nstable = \"a\"\n\
                 [services.{name}.pools.a]\nendpoints = [\"127.0.0.1:1\"]\n"
            );
        }
        let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new()).unwrap();
        Matcher::new(config.services.values())
    }

    #[test]
    fn the_most_specific_host_and_the_longest_path_win() {
        let matcher = matcher(&[
            ("s0-any", ""),
            ("s1-exact", "hosts = [\"shop.example.com\"]"),
            ("s2-cart", "hosts = [\"shop.example.com\"]\npaths = [\"/cart\"]"),
            ("s3-wild", "hosts = [\"*.example.com\"]"),
            ("s4-tenant", "match = [{ header = \"x-tenant\", value = \"acme\" }]"),
            ("s5-delete", "paths = [\"/api/\"]\nmatch = [{ method = \"DELETE\" }]"),
        ]);
        for (request, want) in [
            (Request("GET", "shop.example.com", "/", None), 1),
            (Request("GET", "shop.example.com", "/cart", None), 2),
            (Request("GET", "shop.example.com", "/cart/1", None), 2),
            (Request("GET", "shop.example.com", "/cartoon", None), 1),
            (Request("GET", "a.b.example.com", "/cart", None), 3),
            (Request("GET", "example.com", "/", None), 0),
            (Request("GET", ".example.com", "/", None), 0),
            (Request("GET", "other", "/", Some("acme")), 4),
            (Request("GET", "other", "/", Some("acme2")), 0),
            (Request("DELETE", "other", "/api/x", None), 5),
            (Request("GET", "other", "/api/x", None), 0),
        ] {
            assert_eq!(matcher.find(&request), Some(want), "{} {}", request.1, request.2);
        }
    }

    #[test]
    fn a_request_that_nothing_matches_has_no_service() {
        let matcher = matcher(&[("s", "hosts = [\"a.example\"]")]);
        assert_eq!(matcher.find(&Request("GET", "b.example", "/", None)), None);
    }
}
