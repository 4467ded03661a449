//! `serin deploy --wait`: looks until the release ends, however often serin restarts meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::client::{Client, typed};
use super::exit::{self, Failure, HELD};
use super::out::Out;
use super::progress::{Lines, line, summary};
use super::words;
use crate::admin::api::{RolloutView, ServiceView, segment};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long nobody may answer: serin may be restarting.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the end of `begun`, but no longer than `limit`.
pub(super) async fn wait(
    client: &Client,
    out: &Out,
    service: &str,
    begun: &RolloutView,
    limit: Duration,
) -> Result<u8, Failure> {
    let mut shown = Shown { out, lines: Lines::default(), out_of_reach: false };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = looks.tick().await;
    let (mut last, mut answered) = (begun.clone(), Duration::ZERO);
    loop {
        let elapsed = looks.tick().await.duration_since(start);
        match look(client, service, begun).await {
            Ok((view, rollout)) => {
                answered = elapsed;
                if let Some(code) = exit::of_state(&rollout.state) {
                    shown.clear();
                    let document = document(service, &rollout, &rollout.state, elapsed);
                    out.either(&document, || summary(service, &rollout));
                    return Ok(code);
                }
                shown.progress(&view, &rollout, elapsed);
                last = rollout;
            }
            Err(failure) if failure.may_pass() && elapsed - answered < PATIENCE => {
                shown.outage(&failure, elapsed);
            }
            Err(failure) => {
                shown.clear();
                return Err(failure);
            }
        }
        if elapsed >= limit {
            shown.clear();
            let document = document(service, &last, "timed_out", elapsed);
            out.either(&document, || timed_out(service, &last, limit));
            return Ok(HELD);
        }
    }
}

/// The service, and the rollout that `begun` became.
async fn look(
    client: &Client,
    service: &str,
    begun: &RolloutView,
) -> Result<(ServiceView, RolloutView), Failure> {
    // A release may be tried again under its id, so that the id alone does not tell.
    let same = |rollout: &RolloutView| rollout.id == begun.id && rollout.started == begun.started;
    let view = client.get(&format!("/v1/services/{}", segment(service))).await?;
    let view: ServiceView = typed(&view)?;
    if let Some(rollout) = view.rollout.clone().filter(same) {
        return Ok((view, rollout));
    }
    // Ours ended, and somebody began another one between two looks.
    let all = client.get(&format!("/v1/services/{}/rollouts", segment(service))).await?;
    let all: Vec<RolloutView> = typed(&all)?;
    let rollout = all.into_iter().find(same).ok_or_else(|| {
        Failure::Other(format!("release {} of {service} is no longer remembered", begun.id))
    })?;
    Ok((view, rollout))
}

/// What is on the screen.
struct Shown<'a> {
    out: &'a Out,
    lines: Lines,
    /// Whether it was said that nobody answers.
    out_of_reach: bool,
}

impl Shown<'_> {
    fn progress(&mut self, view: &ServiceView, rollout: &RolloutView, elapsed: Duration) {
        self.out_of_reach = false;
        let worth = self.lines.worth(view, rollout, elapsed);
        match self.out {
            Out { json: true, .. } => {}
            Out { terminal: true, .. } => self.out.redraw(&line(view, rollout, elapsed)),
            _ if worth => self.out.text(&line(view, rollout, elapsed)),
            _ => {}
        }
    }

    fn outage(&mut self, failure: &Failure, elapsed: Duration) {
        let seconds = elapsed.as_secs();
        let text = format!("{:>3}:{:02}  {failure}; trying again", seconds / 60, seconds % 60);
        let first = !std::mem::replace(&mut self.out_of_reach, true);
        match self.out {
            Out { json: true, .. } => {}
            Out { terminal: true, .. } => self.out.redraw(&text),
            _ if first => self.out.text(&text),
            _ => {}
        }
    }

    fn clear(&self) {
        if self.out.terminal && !self.out.json {
            self.out.undraw();
        }
    }
}

/// The end as a program reads it.
fn document(service: &str, rollout: &RolloutView, result: &str, elapsed: Duration) -> Value {
    let last = rollout.decisions.last();
    json!({
        "service": service,
        "result": result,
        "why": last.map(|decision| &decision.words),
        "waited_s": elapsed.as_secs(),
        "rollout": rollout,
    })
}

fn timed_out(service: &str, rollout: &RolloutView, limit: Duration) -> String {
    format!(
        "{service}: release {} is not finished after {}: {}\n  it goes on by itself; see it with `serin status {service}`, end it with `serin abort {service}`\n",
        rollout.id,
        words::whole(limit),
        words::state(&rollout.state, Some(rollout)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixture;

    #[test]
    fn a_document_says_how_it_ended_and_why() {
        let rollout = fixture::rollout("rolled_back", None);
        let document = document("shop", &rollout, &rollout.state, Duration::from_secs(80));
        assert_eq!(document["result"], "rolled_back");
        assert_eq!(document["why"], "1% passed");
        assert_eq!(document["waited_s"], 80);
        assert_eq!(document["rollout"]["id"], "42");
    }

    #[test]
    fn who_stops_waiting_is_told_that_the_release_goes_on() {
        let rollout = fixture::rollout("step", Some(2));
        let text = timed_out("shop", &rollout, Duration::from_secs(600));
        let want =
            "shop: release 42 is not finished after 10m: step 2 of 2\n  it goes on by itself";
        assert!(text.starts_with(want), "{text}");
    }
}
