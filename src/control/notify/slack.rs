//! An incoming webhook of Slack: a text for the notification, and blocks for the channel. Pure.
//!
//! The format: <https://api.slack.com/messaging/webhooks>, <https://api.slack.com/reference/block-kit/blocks>.

use serde_json::{Value, json};

use super::bounded;
use super::event::{Event, Severity};

/// The most characters of a section's text are 3000; bytes are never fewer.
const TEXT_BYTES_MAX: usize = 3_000;

/// The notice of `event`.
pub(super) fn notice(event: &Event) -> Value {
    let sign = match (event.severity, event.kind.as_str()) {
        (Severity::Critical, _) => ":rotating_light:",
        (Severity::Warning, _) => ":warning:",
        (Severity::Info, "promoted") => ":white_check_mark:",
        (Severity::Info, "approval") => ":raised_hand:",
        (Severity::Info, _) => ":baby_chick:",
    };
    let title = escaped(&event.title());
    let words = escaped(&event.words);
    let section = match words.is_empty() {
        true => format!("{sign} *{title}*"),
        false => format!("{sign} *{title}*\n{words}"),
    };
    let facts = super::facts(event);
    let facts: Vec<_> =
        facts.iter().map(|(name, value)| format!("{name}: {}", escaped(value))).collect();
    json!({
        "text": cut(&format!("{sign} {title}")),
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&section) } },
            {
                "type": "context",
                "elements": [{ "type": "mrkdwn", "text": cut(&facts.join("  |  ")) }],
            },
        ],
    })
}

/// What Slack would read as a link, a mention or a command, as text
/// (<https://api.slack.com/reference/surfaces/formatting#escaping>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Cut to what a block may hold, not within an escaped character.
fn cut(text: &str) -> String {
    let short = bounded(text, TEXT_BYTES_MAX);
    if short.len() == text.len() {
        return short;
    }
    let body = short.trim_end_matches('…');
    match body.rfind('&') {
        Some(start) if !body[start..].contains(';') => format!("{}…", &body[..start]),
        _ => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_words_is_only_text() {
        assert_eq!(
            escaped("<!channel> & <http://x|y>"),
            "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"
        );
    }

    #[test]
    fn a_long_text_is_cut_within_slacks_limit_and_not_within_an_escape() {
        for shift in 0..8 {
            let text = format!("{}{}", "a".repeat(shift), "&lt;".repeat(2_000));
            let cut = cut(&text);
            assert!(cut.len() <= TEXT_BYTES_MAX);
            assert!(cut.ends_with("&lt;…"), "{}", &cut[cut.len() - 12..]);
        }
        assert_eq!(cut("short &lt;"), "short &lt;");
    }
}
