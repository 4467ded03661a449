//! From evidence to a ruling: the rules in the order in which they apply.

use super::history::Recent;
use super::settings::Mode;
use super::slice::Slice;
use super::threshold::Finding;
use super::verdict::{Evidence, Ruling, Verdict};
use super::{Judge, Purpose, StepRule, Tick, words};

/// A ruling and its reason.
pub(super) struct Said {
    ruling: Ruling,
    reason: String,
    words: String,
    alarm: bool,
}

impl Judge {
    /// The verdict on the state after a tick. A rollback is latched.
    pub(super) fn rule(&mut self, tick: &Tick, now_s: f64) -> Verdict {
        let evidence = self.evidence(now_s);
        let said = match &self.rolled_back {
            Some((reason, words)) => Said::rollback(reason.clone(), words.clone()),
            None => self.decide(tick, now_s, &evidence),
        };
        if said.ruling == Ruling::Rollback && self.rolled_back.is_none() {
            self.rolled_back = Some((said.reason.clone(), said.words.clone()));
        }
        let Said { ruling, reason, words, alarm } = said;
        Verdict { ruling, reason, words, alarm, evidence }
    }

    fn decide(&mut self, tick: &Tick, now_s: f64, evidence: &Evidence) -> Said {
        // Never roll back onto a dead pool, whatever the canary does.
        if let Some(words) = self.stable_is_dead(tick, now_s) {
            self.forget_proof();
            return Said { alarm: true, ..Said::hold("both-bad", words) };
        }
        if tick.over_limit {
            return Said::rollback("limit", "a hard resource limit was broken three times running");
        }
        if !tick.canary.healthy {
            return Said::rollback("empty", "the canary has no healthy endpoint");
        }
        match self.steps.get(tick.step).copied() {
            None => self.decide_guard(evidence),
            Some(step) if self.settings.mode == Mode::Threshold => self.decide_once(step, now_s),
            Some(step) => self.decide_step(step, evidence),
        }
    }

    /// The sequential rule within a step.
    fn decide_step(&self, step: StepRule, evidence: &Evidence) -> Said {
        let Evidence { log_e, threshold, .. } = *evidence;
        let shown = words::evidence(log_e, threshold);
        let strongest = self.comparison.strongest(&self.settings);
        let strongest = strongest.map(|named| (named.name.short(), self.words_against(&named)));
        let (name, against) = strongest.unwrap_or_default();
        if log_e >= threshold {
            return Said::rollback(name, format!("{against}; {shown}"));
        }
        if let Some(words) = self.harm_done(evidence.excess) {
            return Said::rollback("harm", words);
        }
        if self.purpose == Purpose::Watch {
            return Said::hold("watch", format!("watching: {shown}"));
        }
        if log_e >= self.settings.suspicion {
            let below = self.settings.suspicion;
            let words = format!("{against}; evidence {log_e:.1}, a step ends below {below:.1}");
            return Said::hold("suspicion", words);
        }
        if let Some(said) = short_of(step, evidence.canary_n, evidence.step_s) {
            return said;
        }
        self.unproven(evidence).unwrap_or_else(Said::advance)
    }

    /// What the step has not shown yet. Only a canary's step has to: the evidence of any other
    /// purpose holds nothing to show.
    fn unproven(&self, evidence: &Evidence) -> Option<Said> {
        let wanted = evidence.advance_threshold;
        let short = |shown: Option<f64>| shown.filter(|shown| *shown < wanted);
        if let Some(shown) = short(evidence.advance_errors) {
            let words = match evidence.stable_n {
                0 => "no stable requests in this step to compare with".into(),
                _ => format!("error evidence {shown:.1} of {wanted:.1}"),
            };
            return Some(Said::hold("evidence:err", words));
        }
        let shown = short(evidence.advance_latency)?;
        let words = if self.comparison.latency.has_reference() {
            self.latency_words(shown, wanted)
        } else {
            "too few stable successes to compare latencies with".into()
        };
        Some(Said::hold("evidence:latency", words))
    }

    /// How far the proof about latency is; none is collected while the canary warms up.
    fn latency_words(&self, shown: f64, wanted: f64) -> String {
        match self.comparison.latency.warm_left_s(self.clock.now_s(), &self.settings) {
            Some(left_s) => format!("latency evidence begins in {left_s:.0} s, after the warm-up"),
            None => format!("latency evidence {shown:.1} of {wanted:.1}"),
        }
    }

    /// The textbook rule: one look at the end of the step.
    fn decide_once(&mut self, step: StepRule, now_s: f64) -> Said {
        let window = &self.window;
        if let Some(said) = short_of(step, window.counts.canary.n, now_s - window.started_s) {
            return said;
        }
        let ratio = self.settings.error_ratio;
        match window.finding(&self.edges, &self.settings) {
            Finding::Missing(what) => Said::hold("missing", what),
            Finding::Errors { canary, stable } => {
                let (c, s) = (words::percent(canary), words::percent(stable));
                let words = format!("errors: canary {c}, stable {s}; more than {ratio} times");
                Said::rollback("threshold:err", words)
            }
            Finding::Slow { canary_ms, stable_ms } => {
                let (c, s) = (words::ms(canary_ms), words::ms(stable_ms));
                let ratio = self.settings.latency_ratio;
                let words = format!("p99: canary {c}, stable {s}; more than {ratio} times");
                Said::rollback("threshold:p99", words)
            }
            Finding::Fine if self.purpose == Purpose::Watch => {
                // A share set by hand has no last step: each stretch of it is looked at once.
                self.window = super::threshold::Window::new(now_s);
                Said::hold("watch", "watching: nothing above its limit")
            }
            Finding::Fine => Said::advance(),
        }
    }

    fn decide_guard(&self, evidence: &Evidence) -> Said {
        let Evidence { log_e, threshold, .. } = *evidence;
        let shown = words::evidence(log_e, threshold);
        let watched = self.guard.iter().flat_map(super::guard::Guard::watched);
        match watched.max_by(|a, b| a.log_wealth().total_cmp(&b.log_wealth())) {
            Some(worst) if log_e >= threshold => {
                let words = format!("{}; {shown}", words::watched(worst));
                Said::rollback(worst.name.clone(), words)
            }
            _ => Said::hold("guard", format!("watching at 100 %: {shown}")),
        }
    }

    /// Why nothing may be rolled back onto the stable pool, if so.
    fn stable_is_dead(&self, tick: &Tick, now_s: f64) -> Option<String> {
        if !tick.stable.healthy {
            return Some("the stable pool has no healthy endpoint; nothing is decided".into());
        }
        let rate = self.recent.error_rate(now_s)?;
        (rate > self.settings.stable_dead).then(|| {
            format!(
                "the stable pool failed {} of its requests in the last {} s; nothing is decided",
                words::percent(rate),
                Recent::SPAN_S
            )
        })
    }

    /// The harm budget: so many excess errors are enough, with any evidence at all.
    fn harm_done(&self, excess: f64) -> Option<String> {
        let max_harm = self.settings.max_harm?;
        let harm = excess >= max_harm && self.comparison.errors.process.log_wealth() > 0.0;
        harm.then(|| {
            format!(
                "{excess:.0} errors more than stable's rate explains, of {max_harm:.0} allowed; {}",
                words::counts(self.step.raw)
            )
        })
    }

    pub(super) fn evidence(&self, now_s: f64) -> Evidence {
        let (log_e, by_name) = match (&self.guard, self.is_guarding()) {
            (Some(guard), true) => {
                let by_name = guard.watched().map(|w| (w.name.clone(), shown(w.log_wealth())));
                (guard.log_e(), by_name.collect())
            }
            _ => {
                let named = self.comparison.named(&self.settings);
                let by_name = named.map(|n| (n.name.short(), shown(n.log_wealth)));
                (self.comparison.log_e(&self.settings), by_name.collect())
            }
        };
        let proves = self.purpose == Purpose::Canary && !self.is_guarding();
        let times = proves && !self.comparison.latency.levels.is_empty();
        let limit = self.comparison.latency.inflight_limit(now_s, &self.edges, &self.settings);
        Evidence {
            log_e: shown(log_e),
            threshold: shown(-self.settings.alpha.ln()),
            by_name,
            advance_errors: proves.then(|| shown(self.advance.errors())),
            advance_latency: times.then(|| shown(self.advance.latency())),
            advance_threshold: shown(-self.settings.alpha_advance.ln()),
            step_s: shown(now_s - self.step.started_s),
            canary_n: self.step.raw.canary.n,
            canary_errors: self.step.raw.canary.events,
            stable_n: self.step.raw.stable.n,
            stable_errors: self.step.raw.stable.events,
            excess: shown(self.comparison.errors.excess),
            inflight_limit_ms: limit.map(|limit| shown(limit.slow_ms)),
        }
    }
}

impl Said {
    fn hold(reason: &str, words: impl Into<String>) -> Self {
        Self { ruling: Ruling::Hold, reason: reason.into(), words: words.into(), alarm: false }
    }

    fn rollback(reason: impl Into<String>, words: impl Into<String>) -> Self {
        let (reason, words) = (reason.into(), words.into());
        Self { ruling: Ruling::Rollback, reason, words, alarm: false }
    }

    fn advance() -> Self {
        let words = "the step has shown what it had to show".into();
        Self { ruling: Ruling::Advance, reason: "advance".into(), words, alarm: false }
    }
}

/// What every step needs before anything else: enough requests and enough time.
fn short_of(step: StepRule, requests: u64, step_s: f64) -> Option<Said> {
    if requests < step.requests {
        let words = format!("{requests} of {} requests", step.requests);
        return Some(Said::hold("requests", words));
    }
    if step_s < step.hold_s - Slice::ROUNDING_S {
        return Some(Said::hold("hold", format!("{step_s:.0} of {:.0} s", step.hold_s)));
    }
    None
}

/// A number that can be written as JSON and read back. JSON has no infinities, and a reader may
/// round the largest numbers up to one.
fn shown(value: f64) -> f64 {
    const LARGEST: f64 = 1e300;
    if value.is_nan() { 0.0 } else { value.clamp(-LARGEST, LARGEST) }
}
