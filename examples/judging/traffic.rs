//! Seeded traffic in front of two versions, as the ticks that a proxy would measure.
//!
//! Arrivals are Poisson; latencies are log-normal around 20 ms; eight routes are asked equally
//! often. What disturbs both pools alike is shared: bursts of errors, bursts of slowness, an error
//! rate that drifts with time and jumps whenever the weight changes. A fault is the canary's alone.

use std::collections::VecDeque;

use super::{Baseline, Interval, RouteInterval, Tick};

/// What is wrong with the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Nothing: it is the same version.
    None,
    /// This share of its requests fails.
    Errors(f64),
    /// Every answer takes this many times as long.
    Slow(f64),
    /// The slowest 3 % of its answers take six times as long; the rest is as it was.
    Tail,
    /// One of the eight routes fails always.
    Route,
    /// A request costs it this many times as much.
    Use(f64),
    /// It stops answering after a minute.
    Hang,
}

/// The traffic, and what the versions make of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    /// Requests per second of the service, both pools together.
    pub(super) rps: f64,
    /// The stable version's error rate.
    pub(super) error_rate: f64,
    /// Whether there are bursts and drift.
    pub(super) unrest: bool,
    /// What is wrong with the canary.
    pub(super) fault: Fault,
}

/// The traffic of one rollout.
#[derive(Debug)]
pub(super) struct Traffic {
    /// The requests that the canary's fault has hit so far.
    pub(super) harmed: u64,
    random: Random,
    world: World,
    /// Buckets of equally likely latencies; the slowest ones are last.
    stable: Vec<u32>,
    canary: Vec<u32>,
    /// Quarters of a second since the start.
    quarters: u32,
    failing_until: u32,
    slow_until: u32,
    /// What the error rate is multiplied with since the weight changed.
    level: f64,
    weight: f64,
    hung: VecDeque<Hung>,
    /// Requests of both pools in the block of resources that is under way.
    block: (u64, u64),
}

/// Requests that came at one time and are not answered.
#[derive(Clone, Copy, Debug)]
struct Hung {
    since: u32,
    count: u64,
    counted: bool,
}

/// One pool's tick under way.
#[derive(Debug)]
struct Counts {
    n: u64,
    errors: u64,
    routes: [(u64, u64); ROUTES],
    buckets: Vec<u64>,
    inflight_slow: u64,
}

const ROUTES: usize = 8;
const LATENCIES: usize = 4_096;
const BUCKETS: usize = 1_408;
const QUARTER_S: f64 = 0.25;
/// When a canary that hangs stops answering.
pub(super) const HANG_S: f64 = 60.0;
/// After so many quarters a request that hangs has timed out.
const TIMEOUT: u32 = 60;
/// A tick ends at the latest after so many quarters, whether the canary has answered or not.
const QUARTERS_MAX: u32 = 20;
/// A burst makes everything eight times as slow: three octaves of 64 buckets.
const SLOW_BUCKETS: usize = 192;

impl Traffic {
    /// Traffic that depends on nothing but the seed and the world.
    pub(super) fn new(seed: u64, world: World, edges_ms: &[f64]) -> Self {
        let mut shape = Random(1);
        let mut ms: Vec<f64> =
            (0..LATENCIES).map(|_| 20.0 * (0.5 * shape.normal()).exp()).collect();
        ms.sort_by(f64::total_cmp);
        let bucket = |ms: f64| {
            let above = edges_ms.partition_point(|&edge| edge <= ms);
            u32::try_from(above.saturating_sub(1)).unwrap_or(u32::MAX)
        };
        let tail = LATENCIES * 97 / 100;
        let slowed = |(at, ms): (usize, &f64)| match world.fault {
            Fault::Slow(times) => bucket(ms * times),
            Fault::Tail if at >= tail => bucket(ms * 6.0),
            _ => bucket(*ms),
        };
        Self {
            harmed: 0,
            random: Random::seeded(seed),
            world,
            stable: ms.iter().map(|ms| bucket(*ms)).collect(),
            canary: ms.iter().enumerate().map(slowed).collect(),
            quarters: 0,
            failing_until: 0,
            slow_until: 0,
            level: 1.0,
            weight: 0.0,
            hung: VecDeque::new(),
            block: (0, 0),
        }
    }

    /// The stable pool's last minute before the rollout.
    pub(super) fn baseline(&mut self) -> Baseline {
        let mut counts = Counts::new();
        self.pool(60.0 * self.world.rps, self.world.error_rate, 0, false, &mut counts);
        let Interval { n, errors, successes, .. } = counts.into_interval().0;
        Baseline { n, errors, successes }
    }

    /// The next tick at a weight. Quarters of a second in which the canary does nothing are merged
    /// with the next one: the judge would wait for it as well. `limit_ms` is the age at which a
    /// request in flight counts as slow.
    pub(super) fn tick(&mut self, step: usize, weight: f64, limit_ms: Option<f64>) -> Tick {
        if self.weight.to_bits() != weight.to_bits() {
            (self.weight, self.level) = (weight, 0.5 * 4.0_f64.powf(self.random.uniform()));
        }
        let first = self.quarters;
        let (mut stable, mut canary) = (Counts::new(), Counts::new());
        let mut resources = Vec::new();
        loop {
            self.quarter(&mut stable, &mut canary, limit_ms);
            resources.extend(self.finished_block());
            let seen = canary.n > 0 || canary.inflight_slow > 0 || weight >= 1.0;
            if seen || self.quarters - first >= QUARTERS_MAX {
                break;
            }
        }
        let routes = stable.routes.iter().zip(&canary.routes).enumerate();
        let routes = routes.map(|(at, (stable, canary))| RouteInterval {
            name: format!("/{at}"),
            stable: *stable,
            canary: *canary,
        });
        Tick {
            t_s: f64::from(self.quarters) * QUARTER_S,
            dt_s: f64::from(self.quarters - first) * QUARTER_S,
            step,
            routes: routes.collect(),
            stable: stable.into_interval().0,
            canary: canary.into_interval().0,
            resources,
            over_limit: false,
        }
    }

    /// A quarter of a second of both pools.
    fn quarter(&mut self, stable: &mut Counts, canary: &mut Counts, limit_ms: Option<f64>) {
        self.quarters += 1;
        let World { rps, unrest, fault, .. } = self.world;
        if unrest {
            // Once a minute each, for a second to four.
            let mut burst = |until: &mut u32| {
                if self.random.uniform() < 1.0 / 240.0 {
                    let long = 4.0 + 12.0 * self.random.uniform();
                    *until = self.quarters + whole(long);
                }
            };
            burst(&mut self.failing_until);
            burst(&mut self.slow_until);
        }
        let mut rate = self.world.error_rate;
        if unrest {
            let wave = (f64::from(self.quarters) / 382.0).sin();
            rate *= self.level * (1.0 + 0.5 * wave);
        }
        let failing = self.quarters < self.failing_until;
        let burst = |rate: f64| if failing { 10.0 * rate + 0.1 } else { rate };
        let slow = if self.quarters < self.slow_until { SLOW_BUCKETS } else { 0 };
        let mean = rps * QUARTER_S;
        self.pool(mean * (1.0 - self.weight), burst(rate), slow, false, stable);
        let mean = mean * self.weight;
        let canary_rate = if let Fault::Errors(rate) = fault { rate } else { rate };
        if fault == Fault::Hang && f64::from(self.quarters) * QUARTER_S > HANG_S {
            let count = self.random.poisson(mean);
            self.hang(count, canary, limit_ms);
        } else {
            self.pool(mean, burst(canary_rate), slow, true, canary);
        }
    }

    /// Adds one pool's quarter of a second.
    fn pool(&mut self, mean: f64, rate: f64, slow: usize, is_canary: bool, counts: &mut Counts) {
        let table = if is_canary { &self.canary } else { &self.stable };
        let dead_route = is_canary && self.world.fault == Fault::Route;
        let n = self.random.poisson(mean);
        for _ in 0..n {
            let random = self.random.next();
            let part = |bits: u64, of: usize| usize::try_from(bits % of as u64).unwrap_or(0);
            let (route, at) = (part(random, ROUTES), part(random >> 3, LATENCIES));
            let failed = (random >> 32) as f64 / 2f64.powi(32) < rate || (dead_route && route == 3);
            counts.routes[route].0 += 1;
            if failed {
                counts.routes[route].1 += 1;
                counts.errors += 1;
            } else {
                counts.buckets[(table[at] as usize + slow).min(BUCKETS - 1)] += 1;
            }
            let harmed = match self.world.fault {
                Fault::None | Fault::Errors(_) | Fault::Route | Fault::Hang => failed,
                Fault::Slow(_) | Fault::Use(_) => true,
                Fault::Tail => at >= LATENCIES * 97 / 100,
            };
            self.harmed += u64::from(is_canary && harmed);
        }
        counts.n += n;
        let block = if is_canary { &mut self.block.1 } else { &mut self.block.0 };
        *block += n;
    }

    /// Adds requests that are not answered, and what becomes of earlier ones.
    fn hang(&mut self, count: u64, canary: &mut Counts, limit_ms: Option<f64>) {
        let now = self.quarters;
        self.harmed += count;
        self.hung.push_back(Hung { since: now, count, counted: false });
        for hung in &mut self.hung {
            let age_ms = f64::from(now - hung.since) * 1e3 * QUARTER_S;
            if !hung.counted && limit_ms.is_some_and(|limit_ms| age_ms >= limit_ms) {
                hung.counted = true;
                canary.inflight_slow += hung.count;
            }
        }
        while self.hung.front().is_some_and(|hung| now - hung.since >= TIMEOUT) {
            let Some(Hung { count, .. }) = self.hung.pop_front() else { break };
            canary.n += count;
            canary.errors += count;
        }
    }

    /// Every ten seconds: what a request cost in each pool. The fewer there were, the less is known.
    fn finished_block(&mut self) -> Option<(f64, f64)> {
        if !self.quarters.is_multiple_of(40) {
            return None;
        }
        let (stable, canary) = std::mem::take(&mut self.block);
        let times = if let Fault::Use(times) = self.world.fault { times } else { 1.0 };
        let mut cost = |n: u64| 1.0 + 0.5 * self.random.normal() / (n as f64).sqrt();
        let block = (stable > 0 && canary > 0).then(|| (cost(stable), times * cost(canary)));
        block.map(|(stable, canary)| (stable.max(0.0), canary.max(0.0)))
    }
}

impl Counts {
    fn new() -> Self {
        let routes = [(0, 0); ROUTES];
        Self { n: 0, errors: 0, routes, buckets: vec![0; BUCKETS], inflight_slow: 0 }
    }

    fn into_interval(self) -> (Interval, [(u64, u64); ROUTES]) {
        let Self { n, errors, routes, buckets, inflight_slow } = self;
        let filled = (0..).zip(buckets).filter(|(_, count)| *count > 0);
        let interval = Interval {
            n,
            errors,
            successes: filled.collect(),
            inflight_slow,
            healthy: true,
            ..Interval::default()
        };
        (interval, routes)
    }
}

/// `SplitMix64`: small, fast, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Neighbouring seeds begin far from each other.
    fn seeded(seed: u64) -> Self {
        Self(Self(seed).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `0..1`.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 2f64.powi(53)
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Arrivals with the given mean, by multiplying uniforms until the gaps are used up.
    fn poisson(&mut self, mean: f64) -> u64 {
        // A product of more than this would leave the range of a double.
        const MOST: f64 = 500.0;
        let (mut n, mut left) = (0, mean);
        while left > 0.0 {
            let end = (-left.min(MOST)).exp();
            let mut product = self.uniform();
            while product > end {
                n += 1;
                product *= self.uniform();
            }
            left -= MOST;
        }
        n
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, not negative")]
fn whole(number: f64) -> u32 {
    number as u32
}
