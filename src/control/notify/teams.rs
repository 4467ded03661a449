//! A workflow webhook of Microsoft Teams: a message with an Adaptive Card. Pure.
//!
//! The format: <https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook>, and for the
//! card <https://adaptivecards.io/explorer/>. Texts are runs of a rich text block: a text block
//! would read Markdown in them, and a link in an answer's excerpt should stay text.

use serde_json::{Value, json};

use super::event::{Event, Severity};

/// The notice of `event`.
pub(super) fn notice(event: &Event) -> Value {
    let color = match (event.severity, event.kind.as_str()) {
        (Severity::Critical, _) => "attention",
        (Severity::Warning, _) => "warning",
        (Severity::Info, "promoted") => "good",
        (Severity::Info, _) => "default",
    };
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let block = |inlines: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": inlines });
    let title = json!({
        "type": "TextRun", "text": event.title(),
        "size": "medium", "weight": "bolder", "color": color,
    });
    let mut body = vec![block(vec![title])];
    if !event.words.is_empty() {
        body.push(block(vec![run(&event.words)]));
    }
    for (name, value) in super::facts(event) {
        let name = json!({ "type": "TextRun", "text": format!("{name}: "), "isSubtle": true });
        let mut fact = block(vec![name, run(&value)]);
        fact["spacing"] = "none".into();
        body.push(fact);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}
