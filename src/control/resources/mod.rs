//! What the pools use beside what requests show: CPU and memory of their processes.
//!
//! ```text
//!   sampler (service thread) -> Sample -> blocks: CPU for each request, stable beside canary
//!      reads exposition, cgroup, pid      limits: three samples over a hard limit
//!                                         what could not be read, in words
//! ```
//!
//! The evidence is CPU time for each request: it is what a regression costs first, and both pools
//! can be asked in the same stretch of time. Memory has no such measure, for it does not grow with
//! each request, so it has its hard limit only. What cannot be read is never taken as fine.

mod blocks;
mod cgroup;
mod exposition;
mod limits;
mod pid;
mod sampler;
mod source;

use std::time::Duration;

use crate::config;
use crate::judge::Settings;
use blocks::{Blocks, Requests};
use limits::Limits;

pub(super) use sampler::Samplers;

/// What one source says that it uses. All that is not said is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Use {
    /// CPU time since it started, in seconds.
    pub(super) cpu_s: Option<f64>,
    /// Memory that is in use now, in bytes.
    pub(super) memory_bytes: Option<f64>,
    /// How many cores it may use.
    pub(super) cpu_limit: Option<f64>,
    /// How many bytes it may use.
    pub(super) memory_limit: Option<f64>,
    /// When it started, on any clock: another value is another process.
    pub(super) started: Option<f64>,
}

/// One look at one source: an endpoint, a folder or a process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// What people know it by.
    pub(super) source: String,
    /// When it answered, in seconds on the sampler's clock.
    pub(super) at_s: f64,
    /// What it said, or why it said nothing.
    pub(super) found: Result<Use, String>,
}

/// One look at both pools of a service, in the same moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) service: String,
    pub(super) stable: Looked,
    pub(super) canary: Looked,
}

/// One look at one pool. Without readings there is nothing configured to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Looked {
    pub(super) pool: String,
    pub(super) readings: Vec<Reading>,
}

/// What a judge gets of a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// Finished blocks: use for each request of stable and of the canary.
    pub(super) blocks: Vec<(f64, f64)>,
    /// Which endpoint of the canary broke a hard limit, and by how much.
    pub(super) over_limit: Option<String>,
}

/// What is known of both pools' use while they are judged.
#[derive(Debug, Default)]
pub(super) struct Watched {
    blocks: Blocks,
    limits: Limits,
    finished: Vec<(f64, f64)>,
    /// Why a pool's use is not known, by pool.
    missing: Vec<(String, String)>,
    /// Limits that were asked for and that nobody says, by pool.
    unlimited: Vec<(String, String)>,
    /// Since the last sample.
    silent_for: Duration,
    /// Since both pools are looked at.
    watched_for: Duration,
    /// How long the next sample may take; none before the first one.
    patience: Option<Duration>,
}

/// After so many samples that did not come silence counts as missing.
const SILENT_SAMPLES: u32 = 3;
/// Finished blocks that may wait for a tick; there is one every few seconds at most.
const FINISHED_MAX: usize = 16;

impl Watched {
    /// Takes in one look at both pools. `rules` are the pools' own, stable's first.
    pub(super) fn sampled(
        &mut self,
        sample: &Sample,
        rules: [Option<&config::Resources>; 2],
        settings: &Settings,
    ) {
        self.silent_for = Duration::ZERO;
        let every = rules.into_iter().flatten().map(|rule| rule.every).max();
        self.patience = every.map(|every| SILENT_SAMPLES * every + sampler::DEADLINE);
        self.missing.clear();
        self.unlimited.clear();
        for (looked, rule) in [&sample.stable, &sample.canary].into_iter().zip(rules) {
            let Some(rule) = rule else { continue };
            let pool = || looked.pool.clone();
            self.missing.extend(missing(looked, rule).map(|why| (pool(), why)));
            self.unlimited.extend(unlimited(looked, rule).map(|why| (pool(), why)));
        }
        if let [_, Some(rule)] = rules {
            self.limits.sampled(&sample.canary, rule);
        }
        self.blocks.look(&sample.canary.readings);
        // A canary that is still cold is excused, as it is for latency.
        let warm = self.watched_for.as_secs_f64() >= settings.warm_s;
        if rules.iter().all(Option::is_some) && warm {
            let (stable, canary) = (&sample.stable.readings, &sample.canary.readings);
            let block = self.blocks.sampled(stable, canary, settings.resource_block_s);
            self.finished.extend(block);
            let excess = self.finished.len().saturating_sub(FINISHED_MAX);
            self.finished.drain(..excess);
        }
    }

    /// Lets `dt` pass in which the pools served so many first attempts.
    pub(super) fn served(&mut self, stable: u64, canary: u64, dt: Duration) {
        self.blocks.served(Requests { stable, canary });
        self.silent_for += dt;
        if canary > 0 || !self.watched_for.is_zero() {
            self.watched_for += dt;
        }
    }

    /// What the judge has not heard yet.
    pub(super) fn take(&mut self) -> Taken {
        Taken {
            blocks: std::mem::take(&mut self.finished),
            over_limit: self.limits.broken().map(str::to_owned),
        }
    }

    /// Begins the open block anew: shares or endpoints have changed.
    pub(super) fn begin_block(&mut self) {
        self.blocks.begin();
        self.finished.clear();
    }

    /// Why the pools' use is not known although it was asked for; nothing advances meanwhile.
    pub(super) fn missing(&self, rules: [Option<&config::Resources>; 2]) -> Option<String> {
        if rules.iter().all(Option::is_none) {
            return None;
        }
        if self.patience.is_none() {
            return Some("resources are not read yet".into());
        }
        if self.is_silent() {
            let seconds = self.silent_for.as_secs();
            return Some(format!("resources were not read for {seconds} s"));
        }
        let said =
            self.missing.iter().map(|(pool, why)| format!("resources of pool {pool}: {why}"));
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What people should know of `pool`'s resources, if anything.
    pub(super) fn note(&self, pool: &str) -> Option<&str> {
        let of = |list: &&(String, String)| list.0 == pool;
        let missing = self.missing.iter().find(of);
        missing.or_else(|| self.unlimited.iter().find(of)).map(|(_, why)| why.as_str())
    }

    /// Whether `pool`'s use is not known although it was asked for.
    pub(super) fn is_missing(&self, pool: &str) -> bool {
        self.is_silent() || self.missing.iter().any(|(known, _)| known == pool)
    }

    fn is_silent(&self) -> bool {
        self.patience.is_some_and(|patience| self.silent_for > patience)
    }
}

/// Why the use of a pool is not known: the first source that says nothing, and how many more do.
fn missing(looked: &Looked, rule: &config::Resources) -> Option<String> {
    if looked.readings.is_empty() {
        return Some("no endpoint is up to be asked".into());
    }
    let silent = looked.readings.iter().filter_map(|reading| {
        let source = &reading.source;
        match &reading.found {
            Err(why) => Some(format!("{source} {why}")),
            // CPU is what is compared, whether or not it has a limit; memory has its limit only.
            Ok(found) if found.cpu_s.is_none() && (rule.cpu.is_some() || rule.memory.is_none()) => {
                Some(format!("{source} does not say its CPU time"))
            }
            // Without a limit there is nothing to hold it to.
            Ok(found) if found.memory_bytes.is_none() && limited(found, rule) => {
                Some(format!("{source} does not say its memory"))
            }
            Ok(_) => None,
        }
    });
    let silent: Vec<String> = silent.collect();
    match silent.len() {
        0 => None,
        1 => silent.into_iter().next(),
        more => silent.into_iter().next().map(|first| format!("{first}, and {} more", more - 1)),
    }
}

/// Whether memory is held to a limit that is known.
const fn limited(found: &Use, rule: &config::Resources) -> bool {
    rule.memory.is_some() && (found.memory_limit.is_some() || rule.memory_limit.is_some())
}

/// Which limit is asked for and not known.
fn unlimited(looked: &Looked, rule: &config::Resources) -> Option<String> {
    let found = || looked.readings.iter().filter_map(|reading| reading.found.as_ref().ok());
    let no_memory = rule.memory.is_some() && rule.memory_limit.is_none();
    if no_memory && found().any(|found| found.memory_limit.is_none()) {
        return Some("its memory limit is not known: set `resources.memory_limit`".into());
    }
    let no_cpu = rule.cpu.is_some() && rule.cpu_limit.is_none();
    (no_cpu && found().any(|found| found.cpu_limit.is_none()))
        .then(|| "its CPU limit is not known: set `resources.cpu_limit`".into())
}

#[cfg(test)]
mod tests;
