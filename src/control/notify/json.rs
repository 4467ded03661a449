//! serin's own event, as it is. Pure.

use serde_json::{Value, json};

use super::event::Event;

/// The notice of `event`.
pub(super) fn notice(event: &Event) -> Value {
    json!(event)
}
