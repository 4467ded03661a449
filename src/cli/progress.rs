//! How a release goes, line by line.

use std::time::Duration;

use super::words;
use crate::admin::api::{RolloutView, ServiceView};

/// Between two lines whose reasons alone differ.
const REASON_EVERY: Duration = Duration::from_secs(1);
/// A line at least this often, so that whoever watches a log sees that something runs.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// How a release stands, in one line; `view` is what else is known of its service.
pub(super) fn line(view: &ServiceView, rollout: &RolloutView, elapsed: Duration) -> String {
    let (minutes, seconds) = (elapsed.as_secs() / 60, elapsed.as_secs() % 60);
    let state = words::state(&rollout.state, Some(rollout));
    let mut line = format!(
        "{minutes:>3}:{seconds:02}  {state:<19} {:>6}  {} requests, {} failed",
        view.weight.wanted.to_string(),
        rollout.canary_requests,
        rollout.canary_errors,
    );
    let reason = words::one_line(&view.reason);
    if !reason.is_empty() {
        line.push_str(&format!("  {reason}"));
    }
    line
}

/// Says which lines are worth printing where none can be drawn again.
#[derive(Debug, Default)]
pub(super) struct Lines {
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    at: Duration,
    /// State, step, share, and whether anything failed.
    state: (String, Option<usize>, String, bool),
    /// The reason without its numbers, which change all the time.
    reason: String,
}

impl Lines {
    /// Whether what is seen now differs from the last line that was worth it.
    pub(super) fn worth(
        &mut self,
        view: &ServiceView,
        rollout: &RolloutView,
        elapsed: Duration,
    ) -> bool {
        let weight = view.weight.wanted.to_string();
        let state = (rollout.state.clone(), rollout.step, weight, rollout.canary_errors > 0);
        let reason = without_numbers(&view.reason);
        let worth = self.shown.as_ref().is_none_or(|shown| {
            let since = elapsed.saturating_sub(shown.at);
            shown.state != state
                || (shown.reason != reason && since >= REASON_EVERY)
                || since >= LINE_EVERY
        });
        if worth {
            self.shown = Some(Shown { at: elapsed, state, reason });
        }
        worth
    }
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// How a release ended: what, why, and what it cost.
pub(super) fn summary(service: &str, rollout: &RolloutView) -> String {
    let RolloutView { id, version, .. } = rollout;
    let what = match rollout.state.as_str() {
        "promoted" => "was promoted",
        "rolled_back" => "was rolled back",
        "gate_failed" => "did not pass its gates and got no traffic",
        "undone" => "was undone: the version before is back",
        other => other,
    };
    let mut text = format!("{service}: version {version} {what}\n");
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<7} {value}\n"));
    if let Some(last) = rollout.decisions.last() {
        line("why", &words::one_line(&last.words));
        line("by", &words::by(last));
    }
    let (requests, failed) = (rollout.canary_requests, rollout.canary_errors);
    line("canary", &format!("{requests} requests, {failed} failed"));
    if let Some(lasted) = words::lasted(rollout) {
        line("time", &words::whole(lasted));
    }
    if rollout.state != "promoted" {
        line("more", &format!("serin explain {id}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixture;

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_line_says_where_and_why() {
        let rollout = fixture::rollout("step", Some(2));
        assert_eq!(
            line(&fixture::service(), &rollout, s(75)),
            "  1:15  step 2 of 2             5%  412 requests, 1 failed  412 of 500 requests"
        );
    }

    #[test]
    fn counting_up_is_no_news() {
        let (mut view, mut rollout) = (fixture::service(), fixture::rollout("step", Some(1)));
        let mut lines = Lines::default();
        assert!(lines.worth(&view, &rollout, s(0)), "the first");
        (view.reason, rollout.canary_requests) = ("499 of 500 requests".into(), 499);
        assert!(!lines.worth(&view, &rollout, s(5)), "only numbers changed");
        rollout.step = Some(2);
        assert!(lines.worth(&view, &rollout, s(5)), "another step");
        view.reason = "held by an operator".into();
        assert!(!lines.worth(&view, &rollout, s(5)), "another reason, at once");
        assert!(lines.worth(&view, &rollout, s(6)), "another reason, later");
        assert!(lines.worth(&view, &rollout, s(36)), "a sign of life");
    }

    #[test]
    fn the_end_is_told_with_its_reason() {
        let want = "\
shop: version 42 was rolled back
  why     1% passed
  by      serin
  canary  412 requests, 1 failed
  time    1m15s
  more    serin explain 42
";
        assert_eq!(summary("shop", &fixture::rollout("rolled_back", None)), want);
    }
}
