//! Fills in what people and programs see: the API's views and the metrics.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};

use super::live::{Decision, Rollout, millis};
use super::placebo::Counts;
use super::publish::Publisher;
use super::service::Service;
use super::stats::Summary;
use super::view::{
    EndpointView, FreezeView, LatencyView, PlaceboView, PoolView, RolloutView, ServiceView,
    ShareView, time,
};
use crate::clock;
use crate::judge::interval_for;
use crate::measure::histogram::middle_us;
use crate::measure::{Delta, Outcome};
use crate::rollout::{STATE_NAMES, Stage, State};
use crate::split::Role;
use crate::telemetry::metrics::{Metric, Metrics};

/// What a service looks like now.
pub(super) fn of(service: &Service, publisher: &Publisher) -> ServiceView {
    let live = &service.live;
    let state = live.state();
    let canary = live.canary.as_ref().map(|name| pool(service, name, publisher));
    ServiceView {
        name: service.config.name.clone(),
        generation: service.generation,
        state: state.name().to_owned(),
        reason: reason(service),
        weight: ShareView { wanted: live.share(), observed: observed(service) },
        stable: pool(service, &live.stable, publisher),
        canary,
        previous: live.previous.clone(),
        rollout: live.rollout.as_ref().map(RolloutView::of),
        verdict: service.verdict.clone().filter(|_| state.is_running() || live.watch.is_some()),
        placebo: placebo(service),
        rejected: live.rejected.clone(),
        unsaved: service.write_error.clone(),
        frozen: live.frozen(millis(clock::unix())).map(FreezeView::of),
        rehearsal: live.rehearsal.clone(),
        by_hand: live.by_hand.clone(),
    }
}

fn placebo(service: &Service) -> Option<PlaceboView> {
    let Counts { runs, fired } = service.live.placebo;
    let window = service.judging.placebo.window();
    service.is_placebo().then(|| PlaceboView {
        runs,
        fired,
        log_e: window.map(|window| window.log_e),
        since: window.map(|window| time(window.since_ms)),
    })
}

/// Why a service is in its state, in words.
fn reason(service: &Service) -> String {
    let live = &service.live;
    let verdict = || service.verdict.as_ref().map(|verdict| verdict.words.clone());
    let last = || live.rollout.as_ref().and_then(Rollout::last).map(|d| d.words.clone());
    let frozen = service.frozen();
    match live.state() {
        State::Running { paused: true, .. } if service.is_stopped() => last().unwrap_or_default(),
        State::Running { paused: true, .. } => "held by an operator".into(),
        State::Running { .. } if frozen.is_some() => frozen.unwrap_or_default(),
        State::Running { moving: Some(to), .. } if service.awaited.is_some() => {
            format!("waiting for a hook before {}", to.name())
        }
        State::Running { moving: Some(to), .. } => format!("moving to {}", to.name()),
        State::Running { stage: Stage::Gate, .. } => service.gating.words().into(),
        State::Running { stage: Stage::Approval(_), .. } => "waiting for `promote`".into(),
        State::Running { .. } => verdict().unwrap_or_default(),
        State::Idle | State::Ended(_) if !live.weight.is_zero() => {
            let watched = service.config.judge.watch;
            let fallback =
                if watched { "share set by hand" } else { "share set by hand, unwatched" };
            verdict().unwrap_or_else(|| fallback.into())
        }
        // What was done to the share by hand since the last release ended.
        State::Idle | State::Ended(_) if by_hand_is_last(live) => {
            live.by_hand.last().map(|decision| decision.words.clone()).unwrap_or_default()
        }
        State::Idle => "no release yet".into(),
        State::Ended(_) => last().unwrap_or_default(),
    }
}

fn by_hand_is_last(live: &super::live::Live) -> bool {
    let released = live.rollout.as_ref().and_then(|r| r.decisions.last()).map_or(0, |d| d.at_ms);
    live.by_hand.last().is_some_and(|decision| decision.at_ms > released)
}

/// The canary's share of the answers of the last minute.
fn observed(service: &Service) -> Option<f64> {
    let answers =
        |pool: &str| service.seen.get(pool).map_or(0, |seen| seen.stats.summary().answers);
    let canary = service.live.canary.as_deref().map_or(0, answers);
    ratio(canary, canary + answers(&service.live.stable))
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    let ratio = part as f64 / whole as f64;
    (whole > 0).then_some(ratio)
}

fn pool(service: &Service, name: &str, publisher: &Publisher) -> PoolView {
    let live = service.live.pools.get(name);
    let stats = service.seen.get(name).map(|seen| &seen.stats);
    let Summary { n, errors, quantiles_ms, .. } =
        stats.map(super::stats::Stats::summary).unwrap_or_default();
    let total = stats.map(|stats| stats.total).unwrap_or_default();
    let named = Outcome::ALL.iter().zip(total).filter(|(_, count)| *count > 0);
    let key = (service.config.name.clone(), name.to_owned());
    let endpoints = publisher.registry.pool(&key).map(|pool| {
        let mut views: Vec<EndpointView> = pool
            .endpoints
            .iter()
            .map(|endpoint| EndpointView {
                target: endpoint.target.to_string(),
                address: Some(endpoint.address.to_string()),
                health: endpoint.health().name().to_owned(),
                drained: endpoint.is_drained(),
                in_flight: endpoint.in_flight(),
            })
            .collect();
        for target in service.live.targets(name, &service.config) {
            if !pool.endpoints.iter().any(|endpoint| endpoint.target == *target) {
                views.push(EndpointView {
                    target: target.to_string(),
                    address: None,
                    health: "unknown".into(),
                    drained: false,
                    in_flight: 0,
                });
            }
        }
        views
    });
    PoolView {
        name: name.to_owned(),
        version: live.and_then(|live| live.version.clone()),
        endpoints: endpoints.unwrap_or_default(),
        total: named.map(|(outcome, count)| (outcome.name().to_owned(), count)).collect(),
        requests: n,
        errors,
        error_rate: ratio(errors, n),
        error_interval: (n > 0).then(|| interval_for(errors, n, 0.05)),
        latency_ms: quantiles_ms.map(|[p50, p90, p99, p999]| LatencyView { p50, p90, p99, p999 }),
        resources: service.judging.resources.note(name).map(str::to_owned),
    }
}

/// How often gauges are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Keeps the metrics. Handles are made once for each series.
#[derive(Debug)]
pub(super) struct Report {
    metrics: Metrics,
    pools: HashMap<(String, String, Role), PoolHandles>,
    /// By the endpoint's number.
    up: HashMap<u64, Gauge>,
    /// The generation of each service when its gauges were last set.
    reported: HashMap<String, u64>,
    since: Duration,
}

#[derive(Debug)]
struct PoolHandles {
    outcomes: [Option<Counter>; Outcome::ALL.len()],
    duration: Histogram,
}

impl Report {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            pools: HashMap::new(),
            up: HashMap::new(),
            reported: HashMap::new(),
            since: GAUGES_EVERY,
        }
    }

    /// A pool did this.
    pub(super) fn measured(&mut self, service: &Service, pool: &str, delta: &Delta) {
        let is_canary = service.live.canary.as_deref() == Some(pool);
        let role = if is_canary { Role::Canary } else { Role::Stable };
        let name = service.config.name.clone();
        let labels = [("service", name.as_str()), ("pool", pool), ("role", role.name())];
        let metrics = &self.metrics;
        let handles =
            self.pools.entry((name.clone(), pool.to_owned(), role)).or_insert_with(|| {
                PoolHandles {
                    outcomes: [const { None }; Outcome::ALL.len()],
                    duration: metrics.histogram(Metric::RequestDuration, &labels),
                }
            });
        for outcome in Outcome::ALL {
            let count = delta.outcomes[outcome.index()];
            if count > 0 {
                let [service, pool, role] = labels;
                let labels = [service, pool, role, ("outcome", outcome.name())];
                handles.outcomes[outcome.index()]
                    .get_or_insert_with(|| metrics.counter(Metric::Requests, &labels))
                    .increment(count);
            }
        }
        for &(bucket, count) in &delta.interval.successes {
            #[expect(clippy::cast_precision_loss, reason = "microseconds, shown in seconds")]
            let seconds = middle_us(bucket as usize) as f64 / 1e6;
            handles.duration.record_many(seconds, usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// A decision was taken.
    pub(super) fn decided(&self, service: &str, decision: &Decision) {
        let labels = [
            ("service", service),
            ("decision", decision.decision.as_str()),
            ("reason", decision.reason.as_str()),
        ];
        self.metrics.counter(Metric::Decisions, &labels).increment(1);
    }

    /// A comparison of halves ended; these are all there were.
    pub(super) fn placebo(&self, service: &str, counts: Counts) {
        let labels = [("service", service)];
        self.metrics.counter(Metric::PlaceboRuns, &labels).absolute(counts.runs);
        self.metrics.counter(Metric::PlaceboFired, &labels).absolute(counts.fired);
    }

    /// Brings the gauges up to date now and then.
    pub(super) fn tick(
        &mut self,
        dt: Duration,
        services: &BTreeMap<String, Service>,
        publisher: &Publisher,
    ) {
        self.since += dt;
        if self.since < GAUGES_EVERY {
            return;
        }
        self.since = Duration::ZERO;
        self.set(Metric::TableGeneration, &[], publisher.generation);
        self.reported.retain(|name, _| services.contains_key(name));
        for (name, service) in services {
            // What nobody uses and nobody changed looks as it did.
            let before = self.reported.insert(name.clone(), service.generation);
            if service.is_active() || before != Some(service.generation) {
                self.service(name, service);
            }
        }
        // Evidence of a release that is over would look like evidence of this moment. All are gone
        // through once: there may be thousands of services, and thousands of series.
        let is_judged = |label: &Label| {
            services.get(label.value()).is_some_and(|service| service.verdict.is_some())
        };
        self.metrics
            .retain(Metric::JudgeLogEvidence, |labels| labels.first().is_some_and(is_judged));
        self.endpoints(services, publisher);
    }

    fn endpoints(&mut self, services: &BTreeMap<String, Service>, publisher: &Publisher) {
        let mut seen = HashMap::with_capacity(self.up.len());
        for (name, service) in services {
            for pool in service.config.pools.keys() {
                let key = (name.clone(), pool.clone());
                let Some(known) = publisher.registry.pool(&key) else { continue };
                for endpoint in &known.endpoints {
                    let gauge = self.up.remove(&endpoint.id).unwrap_or_else(|| {
                        let address = endpoint.address.to_string();
                        let labels =
                            [("service", name.as_str()), ("pool", pool), ("endpoint", &address)];
                        self.metrics.gauge(Metric::EndpointUp, &labels)
                    });
                    gauge.set(if endpoint.is_available() { 1.0 } else { 0.0 });
                    seen.insert(endpoint.id, gauge);
                }
            }
        }
        let gone = std::mem::replace(&mut self.up, seen);
        if !gone.is_empty() {
            // Rare, so all are made anew rather than each looked for.
            self.up.clear();
            self.metrics.retain(Metric::EndpointUp, |_| false);
            self.endpoints(services, publisher);
        }
    }

    fn service(&self, name: &str, service: &Service) {
        let label = ("service", name);
        let live = &service.live;
        let dropped = service.notices.dropped();
        if dropped > 0 {
            self.metrics.counter(Metric::NoticesDropped, &[label]).absolute(dropped);
        }
        let state = service.live.state();
        for known in STATE_NAMES {
            let is = u64::from(known == state.name());
            self.set(Metric::RolloutState, &[label, ("state", known)], is);
        }
        let step = match state {
            State::Running { stage: Stage::Step(step) | Stage::Approval(step), .. } => step + 1,
            _ => 0,
        };
        self.set(Metric::RolloutStep, &[label], step as u64);
        let share = self.metrics.gauge(Metric::CanaryShare, &[label, ("kind", "wanted")]);
        share.set(service.live.share().fraction());
        let share = self.metrics.gauge(Metric::CanaryShare, &[label, ("kind", "observed")]);
        share.set(observed(service).unwrap_or(0.0));
        for rule in service.resource_rules().iter().zip([Some(&live.stable), live.canary.as_ref()])
        {
            if let (Some(_), Some(pool)) = rule {
                let missing = service.judging.resources.is_missing(pool);
                let labels = [label, ("pool", pool.as_str())];
                self.set(Metric::ResourcesMissing, &labels, u64::from(missing));
            }
        }
        if let Some(verdict) = &service.verdict {
            let labels = [label, ("evidence", "total")];
            self.metrics.gauge(Metric::JudgeLogEvidence, &labels).set(verdict.evidence.log_e);
            for (evidence, value) in &verdict.evidence.by_name {
                let labels = [label, ("evidence", evidence.as_str())];
                self.metrics.gauge(Metric::JudgeLogEvidence, &labels).set(*value);
            }
        }
    }

    fn set(&self, metric: Metric, labels: &[(&'static str, &str)], value: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.metrics.gauge(metric, labels).set(value as f64);
    }
}
