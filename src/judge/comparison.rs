//! All evidence against the canary, and its weighted sum.
//!
//! A weighted average of e-processes is an e-process whatever the dependence between them, so
//! errors, routes, latency and resources are averaged, not corrected for multiplicity.

use serde::{Deserialize, Serialize};

use super::edges::Edges;
use super::errors::Errors;
use super::latency::Latency;
use super::resources::Resources;
use super::routes::Routes;
use super::settings::Settings;
use super::slice::{Pair, Slice};
use super::wealth::{Process, log_sum_exp};

/// The evidence of the whole rollout.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Comparison {
    pub(super) errors: Errors,
    pub(super) routes: Routes,
    pub(super) latency: Latency,
    pub(super) resources: Resources,
    /// Slices closed, as far as they begin a new e-process.
    slices: u32,
}

/// One evidence: its name, its weight and its log wealth.
pub(super) struct Named<'a> {
    pub(super) name: Name<'a>,
    pub(super) weight: f64,
    pub(super) log_wealth: f64,
}

/// What an evidence is about.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Errors,
    Route(&'a str),
    Resources,
    Level(&'a str),
}

impl Comparison {
    pub(super) fn new(settings: &Settings, baseline: &[(u32, u64)]) -> Self {
        let mut comparison = Self {
            errors: Errors::new(settings),
            routes: Routes::default(),
            latency: Latency::new(settings, baseline),
            resources: Resources::new(settings),
            slices: 0,
        };
        comparison.inject(settings.inject_start);
        comparison
    }

    /// Lets the share `q` of the start times of every process begin now.
    pub(super) fn inject(&mut self, q: f64) {
        for process in self.processes() {
            process.inject(q);
        }
    }

    /// Tests one slice. Answers the slow requests for the advance test, if there are any.
    pub(super) fn test(
        &mut self,
        slice: &Slice,
        now_s: f64,
        edges: &Edges,
        settings: &Settings,
    ) -> Option<Pair> {
        if self.slices < settings.horizon_slices {
            self.slices += 1;
            self.inject(settings.inject_slices / f64::from(settings.horizon_slices));
        }
        self.errors.test(slice.kept(), settings);
        self.routes.test(settings);
        let slow = self.latency.test(slice, now_s, edges, settings);
        let half_life_s = settings.reference_half_life_s;
        self.latency.learn(&slice.stable.successes, now_s, half_life_s);
        slow
    }

    pub(super) fn begin_step(&mut self) {
        self.routes.begin_step();
        self.latency.begin_step();
    }

    /// The log of the weighted average of all evidence.
    pub(super) fn log_e(&self, settings: &Settings) -> f64 {
        let terms: Vec<f64> = self.named(settings).map(|named| named.log_share()).collect();
        log_sum_exp(&terms)
    }

    /// The evidence that contributes most.
    pub(super) fn strongest(&self, settings: &Settings) -> Option<Named<'_>> {
        self.named(settings).max_by(|a, b| a.log_share().total_cmp(&b.log_share()))
    }

    /// Every evidence with its weight. A route slot that is not used carries none.
    pub(super) fn named(&self, settings: &Settings) -> impl Iterator<Item = Named<'_>> {
        let attention = &settings.attention;
        let route_weight = attention.routes / settings.max_routes as f64;
        let errors = Named::new(Name::Errors, attention.errors, &self.errors.process);
        let resources = Named::new(Name::Resources, attention.resources, &self.resources.process);
        let routes = self.routes.known.iter();
        let routes =
            routes.map(move |r| Named::new(Name::Route(&r.name), route_weight, &r.process));
        let weights = attention.latency.iter().copied().chain(std::iter::repeat(0.0));
        let levels: Vec<f64> = weights.take(self.latency.levels.len()).collect();
        let levels = self.latency.levels.iter().zip(levels);
        let levels = levels.map(|(l, weight)| Named::new(Name::Level(&l.name), weight, &l.process));
        [errors].into_iter().chain(levels).chain(routes).chain([resources])
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let routes = self.routes.known.iter_mut().map(|route| &mut route.process);
        let levels = self.latency.levels.iter_mut().map(|level| &mut level.process);
        let single = [&mut self.errors.process, &mut self.resources.process];
        single.into_iter().chain(routes).chain(levels)
    }
}

impl<'a> Named<'a> {
    fn new(name: Name<'a>, weight: f64, process: &Process) -> Self {
        Self { name, weight, log_wealth: process.log_wealth() }
    }

    /// What it contributes to the sum.
    fn log_share(&self) -> f64 {
        // A weight that is not a number must not make the sum one that is not.
        if self.weight > 0.0 { self.weight.ln() + self.log_wealth } else { f64::NEG_INFINITY }
    }
}

impl Name<'_> {
    /// The short name, for machines.
    pub(super) fn short(self) -> String {
        match self {
            Self::Errors => "err".into(),
            Self::Resources => "res".into(),
            Self::Level(level) => level.into(),
            Self::Route(route) => format!("route:{route}"),
        }
    }
}
