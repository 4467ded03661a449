//! What follows from a tick beside decisions: what is recorded, what is looked at, which requests
//! in flight count as slow, and whether halves of stable are divided anew.

use std::time::Duration;

use super::Control;
use super::placebo::Ended;
use super::publish::Cohort;
use super::resources::{Sample, Watched};
use crate::measure::{SlotId, routes};

/// How often what was sampled of paths is halved: routes follow what is asked for lately.
const SAMPLES_AGE: Duration = Duration::from_secs(10 * 60);

impl Control {
    /// Does what follows from the tick that ended, which was `dt` long.
    pub(super) fn settle(&mut self, dt: Duration) {
        self.samples_age += dt;
        if self.samples_age >= SAMPLES_AGE {
            self.samples_age = Duration::ZERO;
            self.drain.age_samples();
        }
        let services = &self.services;
        self.samplers.retain(|name| services.get(name).is_some_and(|service| service.is_judged()));
        for (name, service) in &mut self.services {
            if !service.is_active() {
                continue;
            }
            self.recorder.take(name, &mut service.judging.recording);
            if let Some(ended) = service.judging.placebo.take_ended() {
                self.report.placebo(name, service.live.placebo);
                if ended == Ended::Fired {
                    self.publisher.publish(service);
                }
            }
            if service.is_judged() {
                if service.resource_rules().iter().any(Option::is_some)
                    && let Some(pools) = self.publisher.pools(service)
                    && let Some(canary) = &pools.canary
                {
                    let [stable_rule, canary_rule] = service.resource_rules();
                    self.samplers.look(name, (&pools.stable, stable_rule), (canary, canary_rule));
                }
            } else {
                service.judging.resources = Watched::default();
            }
            let limit_ms = service.limit_ms();
            if service.judging.limited.differs(limit_ms, service.generation) {
                let live = &service.live;
                let stable = [(&live.stable, Cohort::Pool), (&live.stable, Cohort::Half)];
                let canary = live.canary.as_ref().map(|pool| (pool, Cohort::Pool));
                let pools = stable.into_iter().chain(canary);
                let slots: Vec<SlotId> = pools
                    .filter_map(|(pool, cohort)| self.publisher.known_slot(name, pool, cohort))
                    .collect();
                let generation = service.generation;
                service.judging.limited.set(&self.drain, slots, limit_ms, generation);
            }
        }
    }

    /// Takes in what a service's pools use.
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let Some(service) = self.services.get_mut(&sample.service) else { return };
        let live = &service.live;
        let is =
            sample.stable.pool == live.stable && live.canary.as_ref() == Some(&sample.canary.pool);
        // It may have been on its way when the release ended.
        if is && service.is_judged() {
            service.sampled(sample);
        }
    }

    /// The routes of service `name` to judge on their own: those that stable is asked for most.
    pub(super) fn choose_routes(&self, name: &str) -> Vec<String> {
        let Some(service) = self.services.get(name) else { return Vec::new() };
        let max = service.config.judge.settings.max_routes;
        let slot = self.publisher.known_slot(name, &service.live.stable, Cohort::Pool);
        let samples = slot.map(|slot| self.drain.take_samples(slot)).unwrap_or_default();
        let chosen = routes::choose(&samples, max);
        // One route is all requests, which are judged anyway.
        if chosen.len() > 1 { chosen } else { Vec::new() }
    }
}
