//! Keeps secrets out of what is shown of a file.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What stands in a secret's place.
const HIDDEN: &str = "\"***\"";
/// Tables whose keys are names that the user chose.
const NAMES: [&str; 3] = ["services", "listeners", "pools"];
/// Keys that are secret wherever they stand: the path of a webhook often is a password.
const SECRET: [&str; 2] = ["webhook", "routing_key"];
/// Keys of a gate whose values may hold a password.
const SECRET_OF_GATES: [&str; 3] = ["webhook", "headers", "body"];

/// `text` with its secrets hidden: the values of `force` rules, webhooks wherever they stand, and
/// what gates send. Nothing when it is no TOML, since then nobody can say where a secret stands. `${NAME}` is not replaced in what is shown, so what a variable
/// holds cannot appear.
pub(super) fn redacted(text: &str) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut spans = Vec::new();
    entries(table.get_ref(), Inside::Plain, &mut spans);
    spans.sort_by_key(|span| span.start);
    let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
    for span in spans {
        shown.push_str(text.get(from..span.start)?);
        shown.push_str(HIDDEN);
        from = span.end;
    }
    shown.push_str(text.get(from..)?);
    Some(shown)
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Plain,
    Names,
    Force,
    Gates,
    Hooks,
    Secret,
}

impl Inside {
    /// Where the value of `key` is.
    fn of(self, key: &str) -> Self {
        match self {
            Self::Secret => Self::Secret,
            Self::Names => Self::Plain,
            Self::Force if key == "value" => Self::Secret,
            Self::Gates if SECRET_OF_GATES.contains(&key) => Self::Secret,
            Self::Hooks if key == "deadline" => Self::Plain,
            Self::Plain if NAMES.contains(&key) => Self::Names,
            Self::Plain if SECRET.contains(&key) => Self::Secret,
            Self::Plain => match key {
                "force" => Self::Force,
                "gates" => Self::Gates,
                "hooks" => Self::Hooks,
                _ => Self::Plain,
            },
            inside => inside,
        }
    }
}

fn entries(table: &DeTable<'_>, inside: Inside, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        find(value, inside.of(key.get_ref()), spans);
    }
}

fn find(value: &Spanned<DeValue<'_>>, inside: Inside, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => entries(table, inside, spans),
        // A hook in a list is a program, which everybody on the machine can see run.
        DeValue::Array(_) if inside == Inside::Hooks => {}
        DeValue::Array(array) => array.iter().for_each(|value| find(value, inside, spans)),
        _ if matches!(inside, Inside::Secret | Inside::Hooks) => spans.push(value.span()),
        _ => {}
    }
}

/// `message` without the values of the variables that `text` names: who may ask whether a file is
/// good must not read the environment of the process by it.
pub(super) fn without_values(
    message: &str,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> String {
    let mut shown = message.to_owned();
    for (name, value) in environment {
        let written = format!("${{{name}}}");
        if value.is_empty() || !text.contains(&written) {
            continue;
        }
        // A message may repeat a value whole, in lower case, or the beginning of a long one.
        for length in REPEATED_CHARS {
            let begin: String = value.chars().take(length).collect();
            shown = shown.replace(&begin, &written);
            shown = shown.replace(&begin.to_ascii_lowercase(), &written);
        }
    }
    shown
}

/// How much of a value messages repeat, the longest first.
const REPEATED_CHARS: [usize; 3] = [usize::MAX, 60, 40];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        let text = r#"# kept
[services.shop]
match = [{ header = "x-tenant", value = "acme" }]
force = [{ header = "x-canary", value = "s3cret" }, { cookie = "c", value = '''s3cret
s3cret''', to = "canary" }]
[[services.web.force]]
value = "s3c\"ret" # kept
header = "${NAME}"
"#;
        let want = r#"# kept
[services.shop]
match = [{ header = "x-tenant", value = "acme" }]
force = [{ header = "x-canary", value = "***" }, { cookie = "c", value = "***", to = "canary" }]
[[services.web.force]]
value = "***" # kept
header = "${NAME}"
"#;
        assert_eq!(redacted(text).as_deref(), Some(want));
    }

    #[test]
    fn webhooks_and_what_gates_send_are_hidden() {
        let text = r#"[services.hooks]
stable = "blue"
[services.webhook.pools.gates]
endpoints = ["body:1"]
[[services.shop.gates]]
name = "checkout"
request = "GET /"
headers = { x-token = "s3cret" }
body = "s3cret"
expect = { contains = "ok" }
[[services.shop.gates]]
webhook = "https://example.com/s3cret"
[services.shop.rollout]
notify = [{ webhook = "https://example.com/s3cret", format = "slack" }, { routing_key = "s3cret" }]
[services.shop.rollout.hooks]
deploy = ["./deploy.sh", "{version}"]
after = "https://example.com/s3cret"
deadline = "5m"
"#;
        let want = r#"[services.hooks]
stable = "blue"
[services.webhook.pools.gates]
endpoints = ["body:1"]
[[services.shop.gates]]
name = "checkout"
request = "GET /"
headers = { x-token = "***" }
body = "***"
expect = { contains = "ok" }
[[services.shop.gates]]
webhook = "***"
[services.shop.rollout]
notify = [{ webhook = "***", format = "slack" }, { routing_key = "***" }]
[services.shop.rollout.hooks]
deploy = ["./deploy.sh", "{version}"]
after = "***"
deadline = "5m"
"#;
        assert_eq!(redacted(text).as_deref(), Some(want));
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_hidden_too() {
        let text = "services.shop.force.value = { a = 1, b = [\"x\"] }\n";
        let want = "services.shop.force.value = { a = \"***\", b = [\"***\"] }\n";
        assert_eq!(redacted(text).as_deref(), Some(want));
    }

    #[test]
    fn what_is_no_toml_is_not_shown() {
        assert_eq!(redacted("force = [{ value = \"s3cret\" }"), None);
    }

    #[test]
    fn messages_repeat_no_variable() {
        let environment =
            BTreeMap::from([("A".into(), "S3cret".into()), ("B".into(), "other".into())]);
        let text = "[admin]\nbind = \"${A}\"";
        let shown = without_values("`s3cret`, `S3cret:80`, `other`", text, &environment);
        assert_eq!(shown, "`${A}`, `${A}:80`, `other`");
    }
}
