//! `serin rehearse`: asks for a rehearsal of the way back, and waits for what it showed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::args::Wish;
use super::ask;
use super::client::{Client, typed};
use super::exit::{DONE, Failure, GATE_FAILED, HELD};
use super::out::Out;
use crate::admin::api::{Rehearsed, ServiceView, segment};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two lines where none can be drawn again.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// A rehearsal takes seconds; one that takes longer than this will not end.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn rehearse(client: &Client, out: &Out, wish: &Wish) -> Result<u8, Failure> {
    let path = format!("/v1/services/{}", segment(&wish.service));
    let before = rehearsal(client, &path).await?.map(|rehearsal| rehearsal.at_ms);
    client.post(&format!("{path}/rehearse"), &ask::why(&wish.why)).await?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = looks.tick().await;
    let mut line_at = Duration::ZERO;
    let result = loop {
        let elapsed = looks.tick().await.duration_since(start);
        match rehearsal(client, &path).await {
            Ok(seen) => {
                let new = seen.filter(|rehearsal| Some(rehearsal.at_ms) != before);
                if new.is_some() || elapsed >= LIMIT {
                    break new;
                }
            }
            // serin may be coming back, but this rehearsal may not.
            Err(failure) if failure.may_pass() && elapsed < LIMIT => {}
            Err(failure) => return Err(failure),
        }
        let line = format!("{}: rehearsing the way back, {} s", wish.service, elapsed.as_secs());
        match out {
            Out { json: true, .. } => {}
            Out { terminal: true, .. } => out.redraw(&line),
            _ if elapsed >= line_at => {
                line_at = elapsed + LINE_EVERY;
                out.text(&line);
            }
            _ => {}
        }
    };
    if out.terminal && !out.json {
        out.undraw();
    }
    let (document, text, code) = end(&wish.service, result.as_ref());
    out.either(&document, || text);
    Ok(code)
}

async fn rehearsal(client: &Client, path: &str) -> Result<Option<Rehearsed>, Failure> {
    Ok(typed::<ServiceView>(&client.get(path).await?)?.rehearsal)
}

/// How a rehearsal ended: for a program, for a person, and as a code.
fn end(service: &str, result: Option<&Rehearsed>) -> (Value, String, u8) {
    let (name, words, code) = match result {
        Some(seen) if seen.armed => ("armed", seen.words.clone(), DONE),
        Some(seen) => {
            ("not_armed", format!("the way back does not work: {}", seen.words), GATE_FAILED)
        }
        None => {
            let limit = LIMIT.as_secs();
            ("timed_out", format!("no result within {limit} s; see `serin status {service}`"), HELD)
        }
    };
    let document = json!({ "service": service, "result": name, "rehearsal": result });
    (document, format!("{service}: {words}"), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_its_words_and_its_code() {
        let seen =
            |armed, words: &str| Rehearsed { at_ms: 1, armed, words: words.into(), back_ms: None };
        let table = [
            (Some(seen(true, "rollback armed, 3 ms")), "armed", "shop: rollback armed, 3 ms", 0),
            (
                Some(seen(false, "stable gave no answer")),
                "not_armed",
                "shop: the way back does not work: stable gave no answer",
                12,
            ),
            (None, "timed_out", "shop: no result within 60 s; see `serin status shop`", 11),
        ];
        for (result, name, words, code) in table {
            let (document, text, got) = end("shop", result.as_ref());
            assert_eq!(
                (document["result"].as_str(), text.as_str(), got),
                (Some(name), words, code)
            );
        }
    }
}
