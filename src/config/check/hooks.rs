//! `hooks` and `notify` of a rollout: what is called along the way, and who is told.

use toml::de::DeValue;

use super::program::command;
use super::queries::server;
use crate::config::file::{Table, Value};
use crate::config::{Hook, Hooks, Notify, NotifyFormat, Url, keys};

/// PagerDuty's Events API v2, which takes every integration's events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// The hooks of `rollout`.
pub(super) fn hooks(rollout: &Table<'_>) -> Hooks {
    let default = Hooks::default();
    let Some(table) = rollout.table("hooks", &keys::HOOKS) else { return default };
    Hooks {
        deploy: table.read("deploy", hook),
        before_traffic: table.read("before_traffic", hook),
        each_step: table.read("each_step", hook),
        before_promote: table.read("before_promote", hook),
        after: table.read("after", hook),
        retire: table.read("retire", hook),
        rolled_back: table.read("rolled_back", hook),
        deadline: table.read("deadline", |value| value.duration(false)).unwrap_or(default.deadline),
    }
}

fn hook(value: &Value<'_>) -> Option<Hook> {
    match value.raw() {
        DeValue::Array(_) => command(value).map(Hook::Command),
        DeValue::String(_) => {
            let text = value.text()?;
            let lower = text.to_ascii_lowercase();
            if !lower.starts_with("http://") && !lower.starts_with("https://") {
                return value.refuse_with(
                    "a hook is a list of a program and its arguments, or a URL",
                    "write [\"./deploy.sh\", \"{version}\"] or \"https://...\"",
                );
            }
            value.parsed(str::parse::<Url>).map(Hook::Webhook)
        }
        _ => {
            value.mismatch("a list or a URL", None);
            None
        }
    }
}

/// Who is told.
pub(super) fn notify(rollout: &Table<'_>) -> Vec<Notify> {
    let list = rollout.read("notify", Value::list).unwrap_or_default();
    list.iter().filter_map(one_notify).collect()
}

fn one_notify(element: &Value<'_>) -> Option<Notify> {
    let table = element.table(&keys::NOTIFY)?;
    let formats = [
        ("json", NotifyFormat::Json),
        ("slack", NotifyFormat::Slack),
        ("teams", NotifyFormat::Teams),
        ("alertmanager", NotifyFormat::Alertmanager),
        ("pagerduty", NotifyFormat::PagerDuty),
    ];
    let format = match table.get("format") {
        Some(value) => value.choice(&formats, &[])?,
        None => NotifyFormat::Json,
    };
    let routing_key = match format {
        NotifyFormat::PagerDuty => {
            let value = table.require("routing_key", "add routing_key = \"${PAGERDUTY_KEY}\"");
            Some(value.and_then(|value| value.text())?)
        }
        _ => match table.get("routing_key") {
            Some(value) => {
                return value.refuse("`routing_key` belongs to format = \"pagerduty\"");
            }
            None => None,
        },
    };
    let webhook = match (format, table.get("webhook")) {
        (NotifyFormat::PagerDuty, None) => PAGERDUTY.parse().ok(),
        (NotifyFormat::Alertmanager, Some(value)) => server(&value, "/api/v2/alerts"),
        (_, Some(value)) => value.parsed(str::parse::<Url>),
        (_, None) => table
            .require("webhook", "add webhook = \"https://...\"")
            .and_then(|value| value.parsed(str::parse::<Url>)),
    };
    Some(Notify { webhook: webhook?, format, routing_key })
}
