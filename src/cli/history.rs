//! `serin history`: the releases of a service, and what was done to its share by hand.

use super::table::{Align, table};
use super::words::{self, NONE};
use crate::admin::api::{Decision, RolloutView};

const COLUMNS: [(&str, Align); 9] = [
    ("BEGAN", Align::Left),
    ("ID", Align::Left),
    ("VERSION", Align::Left),
    ("POOL", Align::Left),
    ("STATE", Align::Left),
    ("TIME", Align::Right),
    ("REQUESTS", Align::Right),
    ("FAILED", Align::Right),
    ("WHY", Align::Left),
];

/// The rollouts of a service, then what was done by hand.
pub(super) fn history(service: &str, rollouts: &[RolloutView], by_hand: &[Decision]) -> String {
    let mut text = if rollouts.is_empty() {
        format!("{service}: no release yet\n")
    } else {
        let rows: Vec<_> = rollouts.iter().map(row).collect();
        table("", &COLUMNS, &rows)
    };
    if !by_hand.is_empty() {
        text.push_str("\nShare set by hand:\n");
        by_hand.iter().for_each(|decision| text.push_str(&told(decision)));
    }
    text
}

fn row(rollout: &RolloutView) -> Vec<String> {
    let last = rollout.decisions.last();
    vec![
        words::began_ms(rollout).map_or_else(|| rollout.started.clone(), words::moment),
        rollout.id.clone(),
        rollout.version.clone(),
        rollout.pool.clone(),
        words::state(&rollout.state, Some(rollout)),
        words::lasted(rollout).map_or_else(|| NONE.to_owned(), words::whole),
        rollout.canary_requests.to_string(),
        rollout.canary_errors.to_string(),
        last.map(|decision| words::one_line(&decision.words)).unwrap_or_default(),
    ]
}

/// A decision in words.
fn told(decision: &Decision) -> String {
    let (when, weight) = (words::moment(decision.at_ms), decision.weight.to_string());
    let what = decision.decision.replace('_', " ");
    let words = words::one_line(&decision.words);
    let mut text = format!("{when}  {what:<11} {weight:>5}  {words}\n");
    let mut more = |line: &str| text.push_str(&format!("    {line}\n"));
    more(&format!("by {}", words::by(decision)));
    if let Some(evidence) = &decision.evidence {
        more(&format!(
            "evidence {:.1} of {:.1}; in this step the canary failed {} of {}, stable {} of {}",
            evidence.log_e,
            evidence.threshold,
            evidence.canary_errors,
            evidence.canary_n,
            evidence.stable_errors,
            evidence.stable_n,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixture;

    #[test]
    fn rollouts_in_a_table() {
        let rollouts = [fixture::rollout("rolled_back", None)];
        let want = "\
BEGAN                 ID  VERSION  POOL   STATE         TIME  REQUESTS  FAILED  WHY
2026-01-01 00:00:00Z  42  42       green  rolled back  1m15s       412       1  1% passed
";
        assert_eq!(history("shop", &rollouts, &[]), want);
        assert_eq!(history("shop", &[], &[]), "shop: no release yet\n");
        let text = history("shop", &[], &rollouts[0].decisions[..1]);
        assert!(text.contains("Share set by hand:\n2026-01-01 00:00:00Z  deploy"), "{text}");
    }
}
