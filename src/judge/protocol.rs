//! The judge outside of the proxy: JSON lines in, JSON lines out.
//!
//! Anyone can replay recorded ticks, compare settings, or test the judge against data of their
//! own. Each `init`, `resume` and `tick` is answered with one line; a line that cannot be read is
//! answered with `{"error": ...}`, changes nothing, and the replay goes on.
//!
//! - `stages` are the steps' weights, `steps` their rules as well. A `stage` beyond them is the
//!   guard at 100 %.
//! - The key cap needs 20 distinct keys. Where a tick does not say `distinct_keys`, only the
//!   failing keys are known, so those are counted.
//! - A bad `init` leaves no judge: its ticks must not be judged by the one before.
//! - [`init_line`], [`tick_line`] and the other writers make the lines of a live rollout; read
//!   back, they give its verdicts to the last bit.

mod cfg;
mod json;
mod write;

use serde::{Deserialize, Serialize};

use super::guard::Objectives;
use super::interval::{Interval, RouteInterval, Tick};
use super::verdict::{Ruling, Verdict};
use super::{Baseline, Judge, Purpose, StepRule};
use cfg::Cfg;
use json::{Json, Read, Wrong};

pub use write::{END, RESTART_STEP, init_line, resume_line, tick_line};

/// One replay.
#[derive(Debug, Default)]
pub struct Session {
    replay: Option<Replay>,
    lines: u64,
}

#[derive(Debug)]
struct Replay {
    judge: Judge,
    /// The length of a tick that does not say its own.
    dt_s: Option<f64>,
    /// How many edges there are; counts beyond the last one are taken too.
    edges: usize,
}

impl Session {
    /// Answers one line of input; blank lines and `end` have no answer.
    pub fn line(&mut self, line: &str) -> Option<String> {
        self.lines += 1;
        if line.trim().is_empty() {
            return None;
        }
        let answer = match self.read(line) {
            Ok(verdict) => serde_json::to_string(&Answer::from(verdict?)),
            Err(wrong) => {
                let error = format!("line {}: {wrong}", self.lines);
                serde_json::to_string(&Problem { error })
            }
        };
        // Plain data with text for keys cannot fail to be written.
        answer.ok()
    }

    fn read(&mut self, line: &str) -> Read<Option<&Verdict>> {
        let json: Json =
            serde_json::from_str(line).map_err(|e| Wrong::new(format!("not JSON: {e}")))?;
        let kind = json.field("type", |kind| kind.text().map(String::from))?;
        match kind.as_str() {
            "init" => {
                self.replay = None;
                let replay = self.replay.insert(Replay::new(&json)?);
                Ok(Some(replay.judge.verdict()))
            }
            "tick" => {
                let replay = self.replay.as_mut();
                let replay = replay.ok_or_else(|| Wrong::new("a tick before an init"))?;
                let tick = replay.tick(&json)?;
                replay.judge.tick(&tick);
                Ok(Some(replay.judge.verdict()))
            }
            "resume" => {
                self.replay = None;
                let replay = self.replay.insert(Replay::resume(line)?);
                Ok(Some(replay.judge.verdict()))
            }
            "restart_step" => {
                let replay = self.replay.as_mut();
                let replay = replay.ok_or_else(|| Wrong::new("a restart before an init"))?;
                replay.judge.restart_step();
                Ok(None)
            }
            "end" => {
                self.replay = None;
                Ok(None)
            }
            _ => {
                let what = "expected init, resume, tick, restart_step or end";
                Err(Wrong::new(what).inside("type"))
            }
        }
    }
}

impl Replay {
    fn new(json: &Json) -> Read<Self> {
        let edges_ms = json.field("edges_ms", |edges| edges.list(Json::number))?;
        if !edges_ms.is_sorted_by(|a, b| a < b) {
            return Err(Wrong::new("expected edges in ascending order").inside("edges_ms"));
        }
        let edges = edges_ms.len();
        let dt_s = json.optional("dt", Json::positive)?;
        let baseline = json.optional("baseline", |pool| baseline(pool, edges))?;
        let cfg = json.optional("cfg", Cfg::read)?.unwrap_or_default();
        let steps = steps(json, &cfg)?;
        let purpose = json.optional("purpose", purpose)?.unwrap_or(Purpose::Canary);
        let objectives = json.optional("objectives", objectives)?.unwrap_or_default();
        let baseline = baseline.unwrap_or_default();
        let judge = Judge::new(cfg.settings, steps, purpose, edges_ms, &baseline);
        Ok(Self { judge: judge.with_objectives(objectives), dt_s, edges })
    }

    fn resume(line: &str) -> Read<Self> {
        /// What a state file holds is read as from there.
        #[derive(Deserialize)]
        struct Resumed {
            judge: Judge,
        }
        let resumed: Resumed = serde_json::from_str(line)
            .map_err(|e| Wrong::new(format!("no state of a judge: {e}")).inside("judge"))?;
        let judge = resumed.judge;
        let edges = judge.edges.count();
        Ok(Self { judge, dt_s: None, edges })
    }

    fn tick(&self, json: &Json) -> Read<Tick> {
        let dt_s = json.optional("dt", |dt| dt.within(0.0, f64::MAX))?.or(self.dt_s);
        let step = json.field("stage", Json::count)?;
        let resources = json.optional("res", |blocks| {
            blocks.list(|block| block.pair(Json::number, Json::number))
        })?;
        Ok(Tick {
            t_s: json.field("t", Json::number)?,
            dt_s: dt_s.ok_or_else(|| Wrong::new("is missing here and in init").inside("dt"))?,
            step: usize::try_from(step).unwrap_or(usize::MAX),
            stable: json.field("stable", |pool| interval(pool, self.edges))?,
            canary: json.field("canary", |pool| interval(pool, self.edges))?,
            routes: json.optional("routes", routes)?.unwrap_or_default(),
            resources: resources.unwrap_or_default(),
            over_limit: json.optional("over_limit", Json::flag)?.unwrap_or_default(),
        })
    }
}

/// The rules of the steps: their weights with the same rule for all, or each with its own.
fn steps(json: &Json, cfg: &Cfg) -> Read<Vec<StepRule>> {
    let weight = |weight: &Json| weight.within(0.0, 1.0);
    let rule = |step: &Json| {
        let seconds = |s: &Json| s.within(0.0, f64::MAX);
        Ok(StepRule {
            weight: step.field("weight", weight)?,
            requests: step.optional("requests", Json::count)?.unwrap_or(cfg.requests),
            hold_s: step.optional("hold_s", seconds)?.unwrap_or(cfg.hold_s),
        })
    };
    let steps = match json.optional("steps", |steps| steps.list(rule))? {
        Some(steps) => steps,
        None => {
            let weights = json.field("stages", |stages| stages.list(weight))?.into_iter();
            let &Cfg { requests, hold_s, .. } = cfg;
            weights.map(|weight| StepRule { weight, requests, hold_s }).collect()
        }
    };
    if steps.is_empty() {
        return Err(Wrong::new("expected at least one stage").inside("stages"));
    }
    Ok(steps)
}

fn purpose(json: &Json) -> Read<Purpose> {
    match json.text()? {
        "canary" => Ok(Purpose::Canary),
        "blue-green" => Ok(Purpose::BlueGreen),
        "watch" => Ok(Purpose::Watch),
        other => Err(Wrong::new(format!("expected canary, blue-green or watch, not {other}"))),
    }
}

fn objectives(json: &Json) -> Read<Objectives> {
    Ok(Objectives {
        error_rate: json.optional("error_rate", |rate| rate.within(0.0, 1.0))?,
        p99_ms: json.optional("p99_ms", Json::positive)?,
    })
}

fn baseline(pool: &Json, edges: usize) -> Read<Baseline> {
    let Interval { n, errors, successes, .. } = interval(pool, edges)?;
    Ok(Baseline { n, errors, successes })
}

fn interval(pool: &Json, edges: usize) -> Read<Interval> {
    let (n, errors) = (pool.field("n", Json::count)?, pool.optional("err", Json::count)?);
    let errors = errors.unwrap_or_default();
    if errors > n {
        return Err(Wrong::new(format!("{errors} of {n} requests cannot fail")).inside("err"));
    }
    let buckets = |json: &Json| histogram(json, edges);
    let keys = |keys: &Json| keys.list(|entry| entry.pair(key, Json::count));
    Ok(Interval {
        n,
        errors,
        successes: pool.optional("hist", buckets)?.unwrap_or_default(),
        aborts: pool.optional("aborts", buckets)?.unwrap_or_default(),
        inflight_slow: pool.optional("inflight_slow", Json::count)?.unwrap_or_default(),
        error_keys: pool.optional("err_keys", keys)?.unwrap_or_default(),
        distinct_keys: pool.optional("distinct_keys", Json::count)?.unwrap_or_default(),
        healthy: pool.optional("healthy", Json::flag)?.unwrap_or(true),
    })
}

fn histogram(json: &Json, edges: usize) -> Read<Vec<(u32, u64)>> {
    let bucket = |json: &Json| {
        let bucket = json.count()?;
        let known = usize::try_from(bucket).is_ok_and(|bucket| bucket < edges);
        let bucket = u32::try_from(bucket).ok().filter(|_| known);
        bucket.ok_or_else(|| Wrong::new(format!("expected a bucket below {edges}")))
    };
    json.list(|entry| entry.pair(bucket, Json::count))
}

fn routes(json: &Json) -> Read<Vec<RouteInterval>> {
    let counts = |counts: &Json| counts.pair(Json::count, Json::count);
    let route = |(name, route): &(String, Json)| {
        let both = || Ok((route.field("stable", counts)?, route.field("canary", counts)?));
        let (stable, canary) = both().map_err(|wrong: Wrong| wrong.inside(name))?;
        Ok(RouteInterval { name: name.clone(), stable, canary })
    };
    json.entries()?.iter().map(route).collect()
}

/// An identity of a sticky key. A text is hashed with 64-bit FNV-1a.
fn key(json: &Json) -> Read<u64> {
    if let Json::Whole(key) = json {
        return Ok(*key);
    }
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Ok(json.text()?.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

#[derive(Serialize)]
struct Answer<'a> {
    verdict: Ruling,
    log_e: f64,
    why: &'a str,
    inflight_limit_ms: Option<f64>,
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

impl<'a> From<&'a Verdict> for Answer<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        Self {
            verdict: verdict.ruling,
            log_e: verdict.evidence.log_e,
            why: &verdict.reason,
            inflight_limit_ms: verdict.evidence.inflight_limit_ms,
        }
    }
}

#[cfg(test)]
#[path = "tests/protocol.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/record.rs"]
mod record;
