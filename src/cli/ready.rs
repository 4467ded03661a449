//! `serin ready`: the production checklist, each item checked against the serin that runs and the
//! file that it runs on. `docs/production-checklist.md` says why each of them matters.

mod file;
mod rules;

use serde::Serialize;
use serde_json::json;

use super::client::{Client, typed};
use super::exit::{DONE, FAILED, Failure};
use super::out::Out;
use super::table::{Align, table};
use super::words;
use crate::admin::api::{ServiceView, segment};
use file::File;
use rules::{ABOUT_SERIN, ABOUT_SERVICES};

const COLUMNS: [(&str, Align); 3] = [("", Align::Left), ("ITEM", Align::Left), ("", Align::Left)];

/// What was found about one item.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Finding {
    /// It holds, as this says.
    Holds(String),
    /// It does not.
    Fails(Trouble),
    /// It cannot be told now.
    Unknown(Trouble),
    /// No program can tell; a person has to look.
    ByHand(Trouble),
}

/// Why an item does not hold, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Trouble {
    why: String,
    todo: String,
}

/// What is looked at: a service as it is now, and the file, or why it cannot be read.
struct Seen<'a> {
    view: &'a ServiceView,
    file: Result<&'a File, &'a str>,
}

/// An item of the list as it was found.
#[derive(Clone, Debug, Serialize)]
struct Item {
    /// Its name in the checklist.
    id: &'static str,
    /// The service that it is about; serin itself where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// `ok`, `not_ok`, `unknown` or `by_hand`.
    state: &'static str,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Finding {
    fn holds(why: impl Into<String>) -> Self {
        Self::Holds(why.into())
    }

    fn fails(why: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Fails(Trouble { why: why.into(), todo: todo.into() })
    }

    fn unknown(why: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Unknown(Trouble { why: why.into(), todo: todo.into() })
    }

    fn by_hand(why: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::ByHand(Trouble { why: why.into(), todo: todo.into() })
    }

    fn item(self, id: &'static str, service: Option<&str>) -> Item {
        let (state, why, todo) = match self {
            Self::Holds(why) => ("ok", why, None),
            Self::Fails(Trouble { why, todo }) => ("not_ok", why, Some(todo)),
            Self::Unknown(Trouble { why, todo }) => ("unknown", why, Some(todo)),
            Self::ByHand(Trouble { why, todo }) => ("by_hand", why, Some(todo)),
        };
        Item { id, service: service.map(str::to_owned), state, why, todo }
    }
}

/// Checks `service`, or every one, and serin itself.
pub(super) async fn ready(
    client: &Client,
    out: &Out,
    service: Option<&str>,
) -> Result<u8, Failure> {
    let views: Vec<ServiceView> = match service {
        Some(name) => {
            vec![typed(&client.get(&format!("/v1/services/{}", segment(name))).await?)?]
        }
        None => typed(&client.get("/v1/services").await?)?,
    };
    let file = match client.get_text("/v1/config").await {
        Ok(text) => File::read(&text),
        Err(Failure::Refused { detail, status: 404 | 503, .. }) => Err(detail),
        Err(failure) => return Err(failure),
    };
    let items = items(&views, file.as_ref().map_err(String::as_str));
    // What no program can tell is listed, and does not count.
    let is_ready = items.iter().all(|item| ["ok", "by_hand"].contains(&item.state));
    out.either(&json!({ "ready": is_ready, "items": items }), || list(&items));
    Ok(if is_ready { DONE } else { FAILED })
}

/// Every item, those of serin itself last.
fn items(views: &[ServiceView], file: Result<&File, &str>) -> Vec<Item> {
    let of_services = views.iter().flat_map(|view| {
        let seen = Seen { view, file };
        let check = move |(id, rule): &(&'static str, rules::OfService)| {
            rule(&seen).item(id, Some(&view.name))
        };
        ABOUT_SERVICES.iter().map(check).collect::<Vec<_>>()
    });
    let of_serin = ABOUT_SERIN.iter().map(|(id, rule)| rule(file).item(id, None));
    of_services.chain(of_serin).collect()
}

/// The list as people read it.
fn list(items: &[Item]) -> String {
    let mut text = String::new();
    for group in items.chunk_by(|a, b| a.service == b.service) {
        let name = group.first().and_then(|item| item.service.as_deref()).unwrap_or("serin");
        text.push_str(&format!("{name}\n"));
        let mut rows = Vec::new();
        for item in group {
            let state = match item.state {
                "ok" => "ok",
                "not_ok" => "NOT OK",
                "by_hand" => "by hand",
                other => other,
            };
            rows.push(vec![state.to_owned(), item.id.to_owned(), words::one_line(&item.why)]);
            if let Some(todo) = &item.todo {
                rows.push(vec![String::new(), String::new(), format!("-> {todo}")]);
            }
        }
        // The columns explain themselves.
        let shown = table("  ", &COLUMNS, &rows);
        text.push_str(shown.split_once('\n').map_or("", |(_, rows)| rows));
    }
    let count = |state: &str| items.iter().filter(|item| item.state == state).count();
    let [ok, not, unknown, by_hand] = ["ok", "not_ok", "unknown", "by_hand"].map(count);
    let all = items.len() - by_hand;
    text + &format!(
        "{ok} of {all} hold, {not} do not, {unknown} unknown; {by_hand} to look at by hand\n"
    )
}

#[cfg(test)]
mod tests;
