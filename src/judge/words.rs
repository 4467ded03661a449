//! The reason of a verdict, in words that a person can act on.

use super::Judge;
use super::comparison::{Name, Named};
use super::guard::Watched;
use super::slice::Pair;

impl Judge {
    /// Why the evidence against the canary is what it is.
    pub(super) fn words_against(&self, named: &Named<'_>) -> String {
        match named.name {
            Name::Errors => format!("errors: {}", counts(self.step.raw)),
            Name::Route(name) => {
                let known = &self.comparison.routes.known;
                let route = known.iter().find(|route| route.name == name);
                format!("route {name}: {}", counts(route.map(|r| r.step).unwrap_or_default()))
            }
            Name::Level(name) => {
                let mut levels = self.comparison.latency.levels.iter();
                let Some(level) = levels.find(|level| level.name == name) else {
                    return name.into();
                };
                let Pair { stable, canary } = level.step;
                // A canary that hangs has completed nothing, which its counts alone do not say.
                let unanswered = match self.canary.unanswered().min(canary.events) {
                    0 => String::new(),
                    count => format!(" ({count} without an answer yet)"),
                };
                format!(
                    "{name}: canary {} of {} above {}{unanswered}, stable {} of {} above {}",
                    canary.events,
                    canary.n,
                    ms(level.canary_ms),
                    stable.events,
                    stable.n,
                    ms(level.stable_ms)
                )
            }
            Name::Resources => {
                let resources = &self.comparison.resources;
                format!(
                    "resources: the canary used over {} more per request in {} of {} blocks",
                    percent(self.settings.resource_margin),
                    resources.more,
                    resources.blocks
                )
            }
        }
    }
}

/// Why the guard's evidence is what it is.
pub(super) fn watched(watched: &Watched) -> String {
    let what = if watched.name.ends_with("slow") { "slow requests" } else { "errors" };
    let limit = percent(watched.tolerated);
    format!("{what} at 100 %: {} of {}, tolerated {limit}", watched.seen.events, watched.seen.n)
}

/// Errors of both pools.
pub(super) fn counts(pair: Pair) -> String {
    let Pair { stable, canary } = pair;
    format!("canary {} of {}, stable {} of {}", canary.events, canary.n, stable.events, stable.n)
}

/// "evidence 5.2 of 4.6".
pub(super) fn evidence(log_e: f64, threshold: f64) -> String {
    format!("evidence {log_e:.1} of {threshold:.1}")
}

/// A share, with as many digits as it needs.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 1.0 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

/// A time, with as many digits as it needs.
pub(super) fn ms(ms: f64) -> String {
    if ms >= f64::MAX {
        return "the last bucket".into();
    }
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// "40 s", "12 min", "4.2 h".
pub(super) fn duration(s: f64) -> String {
    match s {
        _ if s < 120.0 => format!("{s:.0} s"),
        _ if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        _ if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        _ => format!("{:.0} days", s / 86_400.0),
    }
}
