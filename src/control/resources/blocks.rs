//! Turns samples of both pools into finished blocks: CPU time for each request. Pure.
//!
//! A server also uses CPU while it serves nothing, and a canary at 1 % has few requests to spread
//! that over. Compared as they are, every small canary would look wasteful. So stable's use is
//! first brought to the canary's rate of requests: with `a` cores and `r` requests a second for
//! each source of stable, and `i` of those cores idle use,
//!
//! ```text
//!   expected = i + (a - i) * r_canary / r_stable
//! ```
//!
//! `i` is what a source of the canary used in a stretch of time without any request, and at most
//! `a`. Until it was seen the worst is taken: all of `a` where the canary is less busy than stable,
//! nothing where it is busier.

use super::{Reading, Use};

/// First attempts of both pools.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    pub(super) stable: u64,
    pub(super) canary: u64,
}

/// The block that is open.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Option<Open>,
    /// The last sample, and the canary's requests since.
    last: Option<(Vec<Reading>, u64)>,
    /// Cores that one source of the canary uses without any request.
    idle: Option<f64>,
}

#[derive(Debug)]
struct Open {
    stable: Vec<Reading>,
    canary: Vec<Reading>,
    requests: Requests,
}

/// Fewer requests than this are no rate: the block goes on.
const REQUESTS: u64 = 10;

impl Blocks {
    /// The pools served so many requests since the last call.
    pub(super) fn served(&mut self, more: Requests) {
        if let Some(open) = &mut self.open {
            open.requests.stable += more.stable;
            open.requests.canary += more.canary;
        }
        if let Some((_, canary)) = &mut self.last {
            *canary += more.canary;
        }
    }

    /// Begins the block anew. What an idle source uses is still known.
    pub(super) fn begin(&mut self) {
        self.open = None;
    }

    /// Learns what the canary uses while it serves nothing.
    pub(super) fn look(&mut self, canary: &[Reading]) {
        if let Some((last, 0)) = &self.last
            && let Some(idle) = cores(last, canary)
        {
            self.idle = Some(idle);
        }
        self.last = Some((canary.to_vec(), 0));
    }

    /// Takes in a sample, and returns what the block has shown if that ended it: the use for each
    /// request that would be expected of the canary, and its own. A source that is missing, that is
    /// new, or that was started anew begins another block.
    pub(super) fn sampled(
        &mut self,
        stable: &[Reading],
        canary: &[Reading],
        block_s: f64,
    ) -> Option<(f64, f64)> {
        let fresh = Open {
            stable: stable.to_vec(),
            canary: canary.to_vec(),
            requests: Requests::default(),
        };
        let Some(open) = &self.open else {
            self.open = Some(fresh);
            return None;
        };
        let both = cores(&open.stable, stable).zip(cores(&open.canary, canary));
        let (Some((stable_cores, canary_cores)), Some(span_s)) = (both, span_s(open, canary))
        else {
            self.open = Some(fresh);
            return None;
        };
        let Requests { stable: n_stable, canary: n_canary } = open.requests;
        if span_s < block_s || n_stable < REQUESTS || n_canary < REQUESTS {
            return None;
        }
        let rate = |n: u64, sources: usize| n as f64 / span_s / sources as f64;
        let (stable_rate, canary_rate) =
            (rate(n_stable, stable.len()), rate(n_canary, canary.len()));
        self.open = Some(fresh);
        let expected = expected(stable_cores, canary_rate / stable_rate, self.idle);
        Some((expected / canary_rate, canary_cores / canary_rate))
    }
}

/// How many cores stable would use at `busy` times its rate of requests.
fn expected(cores: f64, busy: f64, idle: Option<f64>) -> f64 {
    let idle = idle.unwrap_or(if busy < 1.0 { cores } else { 0.0 }).min(cores);
    idle + (cores - idle) * busy
}

/// How many cores one source used between two samples, on average over them; none if they are not
/// the same sources, or one was started anew.
fn cores(before: &[Reading], after: &[Reading]) -> Option<f64> {
    if before.is_empty() || before.len() != after.len() {
        return None;
    }
    let mut sum = 0.0;
    for (before, after) in before.iter().zip(after) {
        let (Ok(was), Ok(is)) = (&before.found, &after.found) else { return None };
        let span_s = after.at_s - before.at_s;
        if before.source != after.source || span_s <= 0.0 {
            return None;
        }
        sum += cpu_s(was, is)? / span_s;
    }
    Some(sum / before.len() as f64)
}

/// CPU time between two looks at the same source, in seconds.
pub(super) fn cpu_s(was: &Use, is: &Use) -> Option<f64> {
    let spent = is.cpu_s? - was.cpu_s?;
    (spent >= 0.0 && was.started == is.started).then_some(spent)
}

/// How long the block has lasted.
fn span_s(open: &Open, canary: &[Reading]) -> Option<f64> {
    let span_s = canary.first()?.at_s - open.canary.first()?.at_s;
    (span_s > 0.0).then_some(span_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(source: &str, at_s: f64, cpu_s: f64) -> Reading {
        let found = Use { cpu_s: Some(cpu_s), started: Some(1.0), ..Use::default() };
        Reading { source: source.into(), at_s, found: Ok(found) }
    }

    /// Ten seconds in which each pool has one source, which used so much CPU.
    fn block(blocks: &mut Blocks, requests: (u64, u64), cpu_s: (f64, f64)) -> Option<(f64, f64)> {
        let (stable, canary) = (reading("s", 0.0, 5.0), reading("c", 0.0, 7.0));
        assert_eq!(blocks.sampled(&[stable], &[canary], 10.0), None);
        blocks.served(Requests { stable: requests.0, canary: requests.1 });
        let (stable, canary) =
            (reading("s", 10.0, 5.0 + cpu_s.0), reading("c", 10.0, 7.0 + cpu_s.1));
        blocks.sampled(&[stable], &[canary], 10.0)
    }

    fn close(found: Option<(f64, f64)>, want: (f64, f64)) {
        let (stable, canary) = found.unwrap();
        assert!((stable - want.0).abs() < 1e-9 && (canary - want.1).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn use_for_each_request_is_compared_at_the_same_load() {
        close(block(&mut Blocks::default(), (1000, 1000), (2.0, 3.0)), (0.002, 0.003));
    }

    /// Both versions use 0.1 cores idle and 1 ms a request; the canary has a hundredth of the load.
    #[test]
    fn what_an_idle_server_uses_is_not_held_against_a_small_canary() {
        let (stable, canary) = (0.1 * 10.0 + 9.9, 0.1 * 10.0 + 0.1);
        let naive = canary / 100.0 / (stable / 9900.0);
        assert!(naive > 9.0, "compared as they are the canary looks {naive} times worse");
        let unknown = block(&mut Blocks::default(), (9900, 100), (stable, canary)).unwrap();
        assert!(unknown.1 < unknown.0, "{unknown:?}");
        let mut known = Blocks { idle: Some(0.1), ..Blocks::default() };
        close(block(&mut known, (9900, 100), (stable, canary)), (0.011, 0.011));
        // With the idle use known a canary that needs twice as much for a request shows.
        let mut known = Blocks { idle: Some(0.1), ..Blocks::default() };
        let worse = block(&mut known, (9900, 100), (stable, 1.0 + 2.0 * 0.1)).unwrap();
        assert!(worse.1 > 1.05 * worse.0, "{worse:?}");
    }

    #[test]
    fn idle_use_is_learned_from_time_without_requests_and_excuses_no_more_than_stable_uses() {
        let mut blocks = Blocks::default();
        blocks.look(&[reading("c", 0.0, 0.0)]);
        blocks.look(&[reading("c", 5.0, 0.25)]);
        assert!((blocks.idle.unwrap() - 0.05).abs() < 1e-9);
        blocks.served(Requests { stable: 10, canary: 1 });
        blocks.look(&[reading("c", 10.0, 5.0)]);
        assert!((blocks.idle.unwrap() - 0.05).abs() < 1e-9, "a request is no idling");
        // A canary that spins without a request is not excused by its own spinning.
        let mut spinning = Blocks { idle: Some(1.0), ..Blocks::default() };
        let (stable, canary) = block(&mut spinning, (500, 500), (2.0, 10.0)).unwrap();
        assert!(canary > 4.0 * stable, "{stable} {canary}");
    }

    #[test]
    fn a_block_ends_when_it_is_long_enough_and_both_pools_were_asked() {
        let mut blocks = Blocks::default();
        let at = |at_s: f64| ([reading("s", at_s, at_s)], [reading("c", at_s, at_s)]);
        for (at_s, requests, ends) in [
            (0.0, (0, 0), false),
            (5.0, (500, 500), false),
            (10.0, (500, 500), true),
            (20.0, (500, 9), false),
            (25.0, (500, 1), true),
            (30.0, (500, 500), false),
        ] {
            blocks.served(Requests { stable: requests.0, canary: requests.1 });
            let (stable, canary) = at(at_s);
            let ended = blocks.sampled(&stable, &canary, 10.0);
            assert_eq!(ended.is_some(), ends, "at {at_s} s: {ended:?}");
        }
    }

    #[test]
    fn a_source_that_was_started_anew_or_was_not_there_begins_another_block() {
        let silent = Reading { found: Err("does not answer".into()), ..reading("c", 10.0, 0.0) };
        let started = Use { cpu_s: Some(9.0), started: Some(2.0), ..Use::default() };
        let reborn = Reading { found: Ok(started), ..reading("c", 10.0, 0.0) };
        let cases = [
            vec![reading("c", 10.0, 6.9)],
            vec![reborn],
            vec![silent],
            vec![reading("other", 10.0, 9.0)],
            vec![reading("c", 10.0, 9.0), reading("d", 10.0, 9.0)],
            vec![],
        ];
        for after in cases {
            let mut blocks = Blocks::default();
            let before = [reading("c", 0.0, 7.0)];
            assert_eq!(blocks.sampled(&[reading("s", 0.0, 5.0)], &before, 10.0), None);
            blocks.served(Requests { stable: 100, canary: 100 });
            let ended = blocks.sampled(&[reading("s", 10.0, 6.0)], &after, 10.0);
            assert_eq!(ended, None, "{after:?}");
        }
    }
}
