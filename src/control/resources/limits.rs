//! Hard limits: CPU or memory of one source of the canary above its share in three samples
//! running. Pure.

use std::collections::BTreeMap;

use super::blocks::cpu_s;
use super::{Looked, Reading, Use};
use crate::config;

/// How many samples running must be over a limit.
const SAMPLES: u32 = 3;

/// What is known of each source of the canary.
#[derive(Debug, Default)]
pub(super) struct Limits {
    sources: BTreeMap<String, Source>,
    broken: Option<String>,
}

#[derive(Debug)]
struct Source {
    last: Reading,
    /// Samples running above the CPU's share, and above memory's.
    cpu_over: u32,
    memory_over: u32,
}

impl Limits {
    /// Takes in a look at the canary.
    pub(super) fn sampled(&mut self, looked: &Looked, rule: &config::Resources) {
        let mut sources = BTreeMap::new();
        self.broken = None;
        for reading in &looked.readings {
            let before = self.sources.remove(&reading.source);
            let (cpu_before, memory_before) =
                before.as_ref().map_or((0, 0), |before| (before.cpu_over, before.memory_over));
            // What is not known is not over, and what is over must be seen to be so three times.
            let Ok(found) = &reading.found else { continue };
            let cpu = before.and_then(|before| cpu_over(&before.last, reading, rule));
            let memory = memory_over(found, rule);
            let cpu_over = if cpu.is_some() { cpu_before + 1 } else { 0 };
            let memory_over = if memory.is_some() { memory_before + 1 } else { 0 };
            for (words, times) in [(cpu, cpu_over), (memory, memory_over)] {
                if let Some(words) = words.filter(|_| times >= SAMPLES) {
                    let source = &reading.source;
                    self.broken.get_or_insert_with(|| {
                        format!(
                            "{source} of pool {}: {words}, {times} samples running",
                            looked.pool
                        )
                    });
                }
            }
            let known = Source { last: reading.clone(), cpu_over, memory_over };
            sources.insert(reading.source.clone(), known);
        }
        self.sources = sources;
    }

    /// Which limit is broken now, in words.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }
}

/// Says how far the memory is above its share.
fn memory_over(found: &Use, rule: &config::Resources) -> Option<String> {
    let share = rule.memory?;
    #[expect(clippy::cast_precision_loss, reason = "bytes, as a share of each other")]
    let limit = found.memory_limit.or_else(|| rule.memory_limit.map(|bytes| bytes as f64))?;
    let used = found.memory_bytes?;
    (used > share * limit).then(|| {
        let (used, limit) = (mebibytes(used), mebibytes(limit));
        format!("memory {used} of {limit}, above {}", percent(share))
    })
}

/// Says how far the CPU is above its share, between two looks.
fn cpu_over(last: &Reading, now: &Reading, rule: &config::Resources) -> Option<String> {
    let (Ok(was), Ok(is)) = (&last.found, &now.found) else { return None };
    let (share, limit) = (rule.cpu?, is.cpu_limit.or(rule.cpu_limit)?);
    let span_s = now.at_s - last.at_s;
    let cores = cpu_s(was, is).filter(|_| span_s > 0.0)? / span_s;
    (cores > share * limit)
        .then(|| format!("CPU {cores:.2} of {limit:.2} cores, above {}", percent(share)))
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1_048_576.0)
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rule() -> config::Resources {
        config::Resources {
            source: config::ResourceSource::Metrics(String::new()),
            cpu: Some(0.9),
            memory: Some(0.9),
            cpu_limit: Some(2.0),
            memory_limit: Some(100 << 20),
            every: Duration::from_secs(5),
        }
    }

    fn looked(readings: Vec<Reading>) -> Looked {
        Looked { pool: "green".into(), readings }
    }

    fn reading(at_s: f64, cpu_s: f64, mebibytes: f64) -> Reading {
        let found = Use {
            cpu_s: Some(cpu_s),
            memory_bytes: Some(mebibytes * 1_048_576.0),
            ..Use::default()
        };
        Reading { source: "10.0.0.1:80".into(), at_s, found: Ok(found) }
    }

    /// What is broken after each sample.
    fn story(readings: Vec<Reading>) -> Vec<Option<String>> {
        let mut limits = Limits::default();
        let step = |reading| {
            limits.sampled(&looked(vec![reading]), &rule());
            limits.broken().map(str::to_owned)
        };
        readings.into_iter().map(step).collect()
    }

    #[test]
    fn memory_is_over_after_three_samples_running_and_says_how_much() {
        let sizes = [95.0, 95.0, 89.0, 95.0, 96.0, 97.0, 98.0, 50.0];
        let found =
            story((0..).zip(sizes).map(|(n, size)| reading(f64::from(n), 0.0, size)).collect());
        let broken: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(broken, [false, false, false, false, false, true, true, false]);
        let words =
            "10.0.0.1:80 of pool green: memory 97.0 MiB of 100.0 MiB, above 90%, 3 samples running";
        assert_eq!(found[5].as_deref(), Some(words));
    }

    #[test]
    fn cpu_is_over_after_three_stretches_running() {
        let cpu = [0.0, 1.9, 3.8, 5.7, 7.6];
        let found = story((0..).zip(cpu).map(|(n, cpu)| reading(f64::from(n), cpu, 1.0)).collect());
        let broken: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(broken, [false, false, false, true, true]);
        assert!(found[3].as_ref().unwrap().contains("CPU 1.90 of 2.00 cores, above 90%"));
    }

    #[test]
    fn a_silent_or_restarted_source_begins_to_count_anew() {
        let silent = Reading { found: Err("does not answer".into()), ..reading(2.0, 0.0, 95.0) };
        let full = |at_s| reading(at_s, 0.0, 95.0);
        let found = story(vec![full(0.0), full(1.0), silent, full(3.0), full(4.0), full(5.0)]);
        let broken: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(broken, [false, false, false, false, false, true]);
        let restarts = [0.0, 1.9, 3.8, 0.1, 2.0, 3.9, 5.8];
        let found =
            story((0..).zip(restarts).map(|(n, cpu)| reading(f64::from(n), cpu, 1.0)).collect());
        assert_eq!(found.iter().position(Option::is_some), Some(6));
    }

    #[test]
    fn the_sources_own_limit_comes_first_and_without_any_nothing_is_over() {
        let mut own = reading(0.0, 0.0, 95.0);
        let Ok(found) = &mut own.found else { panic!() };
        found.memory_limit = Some(200.0 * 1_048_576.0);
        assert_eq!(memory_over(found, &rule()), None);
        let none = config::Resources { memory_limit: None, ..rule() };
        found.memory_limit = None;
        assert_eq!(memory_over(found, &none), None);
        assert!(memory_over(found, &rule()).is_some());
    }
}
