//! Metrics of the business, asked of Prometheus while a release is judged.
//!
//! They are no part of the statistics: a bound that is broken three times running ends the release,
//! and nothing goes forward while a bound is broken or its value is not known.

use std::time::Duration;

use super::errand::Errand;
use super::gates::sample::Finding;
use super::service::{Cause, Service};
use crate::rollout::Event;

/// A bound that is broken so often in a row ends the release.
const BROKEN_MAX: u32 = 3;

/// What is known of each query in this step.
#[derive(Debug, Default)]
pub(super) struct Queries(Vec<State>);

#[derive(Clone, Debug, Default)]
struct State {
    /// Until it is asked next.
    left: Duration,
    /// The errand that asks.
    asked: Option<u64>,
    broken: u32,
    last: Option<Finding>,
}

impl State {
    /// Lets `dt` pass; true when it is to be asked. While an answer is awaited it is not: that there
    /// is none in time is an answer, too.
    fn is_due(&mut self, every: Duration, dt: Duration) -> bool {
        self.left = self.left.saturating_sub(dt);
        let is_due = self.left.is_zero() && self.asked.is_none();
        if is_due {
            self.left = every;
        }
        is_due
    }
}

impl Queries {
    /// Query `index` is asked under this number.
    pub(super) fn asked(&mut self, index: usize, number: u64) {
        if let Some(state) = self.0.get_mut(index) {
            state.asked = Some(number);
        }
    }

    /// Takes in what query `index` found, if it was asked under this number.
    pub(super) fn found(&mut self, index: usize, number: u64, finding: Finding) {
        let Some(state) = self.0.get_mut(index) else { return };
        if state.asked.take_if(|asked| *asked == number).is_none() {
            return;
        }
        match &finding {
            Finding::Kept(_) => state.broken = 0,
            Finding::Broken(_) => state.broken += 1,
            // What is not known neither proves nor clears anything.
            Finding::Missing(_) => {}
        }
        state.last = Some(finding);
    }
}

impl Service {
    /// Asks what is due, and returns what follows from the answers.
    pub(super) fn query(&mut self, dt: Duration) -> Option<(Event, Cause)> {
        let queries = &self.config.judge.queries;
        self.queries.0.resize(queries.len(), State::default());
        for (index, (query, state)) in queries.iter().zip(&mut self.queries.0).enumerate() {
            if state.is_due(query.every, dt) {
                self.errands.push(Errand::Query(index));
            }
        }
        let broken = queries.iter().zip(&self.queries.0).find(|(_, s)| s.broken >= BROKEN_MAX);
        let (query, state) = broken?;
        let Some(Finding::Broken(words)) = &state.last else { return None };
        let words = format!("{words}; {BROKEN_MAX} times running");
        Some((Event::Fail, Cause::own(&format!("query:{}", query.name), words)))
    }

    /// Why a release cannot end well yet: a bound is broken, or its value is not known.
    pub(super) fn open_query(&self) -> Option<String> {
        self.config.judge.queries.iter().zip(&self.queries.0).find_map(
            |(query, state)| match &state.last {
                Some(Finding::Kept(_)) => None,
                Some(Finding::Broken(words) | Finding::Missing(words)) => Some(words.clone()),
                None => Some(format!("{}: not answered yet", query.name)),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries() -> Queries {
        Queries(vec![State::default()])
    }

    #[test]
    fn only_the_answer_that_is_awaited_counts() {
        let mut queries = queries();
        queries.asked(0, 7);
        queries.found(0, 6, Finding::Broken("old".into()));
        assert!(queries.0[0].last.is_none());
        queries.found(0, 7, Finding::Kept("well".into()));
        queries.found(0, 7, Finding::Broken("twice".into()));
        assert!(matches!(queries.0[0].last, Some(Finding::Kept(_))));
        queries.found(3, 7, Finding::Kept("no such query".into()));
    }

    #[test]
    fn a_server_that_hangs_is_not_asked_again_before_that_is_known() {
        let (every, tick) = (Duration::from_secs(1), Duration::from_millis(100));
        let mut queries = queries();
        assert!(queries.0[0].is_due(every, tick), "it waits before the first time");
        queries.asked(0, 1);
        assert!((0..20).all(|_| !queries.0[0].is_due(every, tick)));
        queries.found(0, 1, Finding::Missing("no answer within 1 s".into()));
        assert!(queries.0[0].is_due(every, tick));
        queries.asked(0, 2);
        queries.found(0, 2, Finding::Kept("well".into()));
        assert!((0..9).all(|_| !queries.0[0].is_due(every, tick)));
        assert!(queries.0[0].is_due(every, tick));
    }

    #[test]
    fn a_bound_has_to_be_broken_three_times_running() {
        let mut queries = queries();
        let mut number = 0;
        let mut find = |finding| {
            number += 1;
            queries.asked(0, number);
            queries.found(0, number, finding);
            queries.0[0].broken
        };
        assert_eq!(find(Finding::Broken("b".into())), 1);
        assert_eq!(find(Finding::Missing("m".into())), 1);
        assert_eq!(find(Finding::Broken("b".into())), 2);
        assert_eq!(find(Finding::Kept("k".into())), 0);
    }
}
