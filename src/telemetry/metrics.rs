//! Metrics: every name in one place, counted through cached handles, rendered as Prometheus text.
//!
//! Handles come from the `metrics` crate over a recorder of our own, which keeps no sample: a
//! histogram is its bucket counts. Nothing is formatted until somebody asks.

mod render;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Label};

pub use store::Store;

/// Every metric that serin exposes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Metric {
    /// Answers, by what they came to.
    Requests,
    /// Time to the head of the answer.
    RequestDuration,
    /// Whether an endpoint may be given requests.
    EndpointUp,
    /// The canary's share.
    CanaryShare,
    /// The state of a service's rollout: 1 for the one it is in.
    RolloutState,
    /// The step of a running rollout, from 1.
    RolloutStep,
    /// Decisions taken.
    Decisions,
    /// The judge's log-evidence.
    JudgeLogEvidence,
    /// Comparisons of two halves of stable.
    PlaceboRuns,
    /// Those of them that found a difference.
    PlaceboFired,
    /// Whether a pool's use of resources is asked for and not known.
    ResourcesMissing,
    /// Notices that were given up because others came faster.
    NoticesDropped,
    /// The generation of the routing table.
    TableGeneration,
    /// Connections of clients.
    Connections,
    /// Connections turned away.
    Refused,
    /// When a certificate ends.
    CertificateExpires,
    /// Changed certificates that could not be used.
    CertificateReloadFailures,
}

/// What a metric is, for `# TYPE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

impl Metric {
    /// Every metric, in the order in which they are rendered.
    pub const ALL: [Self; 17] = [
        Self::Requests,
        Self::RequestDuration,
        Self::EndpointUp,
        Self::CanaryShare,
        Self::RolloutState,
        Self::RolloutStep,
        Self::Decisions,
        Self::JudgeLogEvidence,
        Self::PlaceboRuns,
        Self::PlaceboFired,
        Self::ResourcesMissing,
        Self::NoticesDropped,
        Self::TableGeneration,
        Self::Connections,
        Self::Refused,
        Self::CertificateExpires,
        Self::CertificateReloadFailures,
    ];

    /// Name, kind and help text.
    pub const fn describe(self) -> (&'static str, Kind, &'static str) {
        use Kind::{Counter, Gauge, Histogram};
        match self {
            Self::Requests => ("serin_requests_total", Counter, "Answers by what they came to."),
            Self::RequestDuration => (
                "serin_request_duration_seconds",
                Histogram,
                "Time to the head of the answer, for first attempts that did not fail.",
            ),
            Self::EndpointUp => {
                ("serin_endpoint_up", Gauge, "Whether an endpoint may be given requests.")
            }
            Self::CanaryShare => {
                ("serin_canary_share", Gauge, "The canary's share of requests, 0 to 1.")
            }
            Self::RolloutState => {
                ("serin_rollout_state", Gauge, "1 for the state that the rollout is in.")
            }
            Self::RolloutStep => {
                ("serin_rollout_step", Gauge, "The step of the running rollout, from 1; 0 without.")
            }
            Self::Decisions => ("serin_decisions_total", Counter, "Decisions taken, by reason."),
            Self::JudgeLogEvidence => {
                ("serin_judge_log_evidence", Gauge, "Log-evidence against the canary, in nats.")
            }
            Self::PlaceboRuns => (
                "serin_placebo_runs_total",
                Counter,
                "Comparisons of two equal halves of the stable pool.",
            ),
            Self::PlaceboFired => (
                "serin_placebo_fired_total",
                Counter,
                "Comparisons of two equal halves that found a difference.",
            ),
            Self::ResourcesMissing => (
                "serin_resources_missing",
                Gauge,
                "1 while a judged pool's use of resources is asked for and not known.",
            ),
            Self::NoticesDropped => (
                "serin_notices_dropped_total",
                Counter,
                "Notices given up because others came faster than they could be delivered.",
            ),
            Self::TableGeneration => {
                ("serin_table_generation", Gauge, "The generation of the routing table.")
            }
            Self::Connections => ("serin_connections", Gauge, "Connections of clients."),
            Self::Refused => ("serin_refused_total", Counter, "Connections turned away."),
            Self::CertificateExpires => (
                "serin_certificate_expires_seconds",
                Gauge,
                "When the certificate in use expires, in seconds since the Unix epoch.",
            ),
            Self::CertificateReloadFailures => (
                "serin_certificate_reload_failures_total",
                Counter,
                "Changed certificates that could not be used, so that the one before stayed.",
            ),
        }
    }

    const fn name(self) -> &'static str {
        self.describe().0
    }
}

/// A process's metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Store>);

/// Label names and values.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Metrics {
    /// The handle of a counter; keep it where it is used often.
    pub fn counter(&self, metric: Metric, labels: Labels<'_>) -> Counter {
        self.0.counter(key(metric, labels))
    }

    /// The handle of a gauge.
    pub fn gauge(&self, metric: Metric, labels: Labels<'_>) -> Gauge {
        self.0.gauge(key(metric, labels))
    }

    /// The handle of a histogram.
    pub fn histogram(&self, metric: Metric, labels: Labels<'_>) -> Histogram {
        self.0.histogram(key(metric, labels))
    }

    /// Forgets every series of `metric` for which `keep` is false of its labels.
    pub fn retain(&self, metric: Metric, keep: impl Fn(&[Label]) -> bool) {
        self.0.retain(metric.name(), keep);
    }

    /// All metrics in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        render::render(&self.0)
    }
}

fn key(metric: Metric, labels: Labels<'_>) -> metrics::Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    metrics::Key::from_parts(metric.name(), labels)
}

/// What one port reports.
#[derive(Clone, Debug)]
pub struct PortMetrics {
    metrics: Metrics,
    name: Arc<str>,
    open: Gauge,
    refused: Arc<Mutex<HashMap<&'static str, Counter>>>,
}

impl PortMetrics {
    /// The metrics of port `name`.
    pub fn new(metrics: &Metrics, name: &str) -> Self {
        let labels = [("listener", name), ("state", "open")];
        Self {
            metrics: metrics.clone(),
            name: name.into(),
            open: metrics.gauge(Metric::Connections, &labels),
            refused: Arc::default(),
        }
    }

    /// A connection was accepted; it counts until the guard is dropped.
    pub fn opened(&self) -> Opened {
        self.open.increment(1);
        Opened(self.open.clone())
    }

    /// A connection was turned away.
    pub fn refused(&self, reason: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [("listener", &*self.name), ("reason", reason)];
        refused
            .entry(reason)
            .or_insert_with(|| self.metrics.counter(Metric::Refused, &labels))
            .increment(1);
    }
}

/// An open connection in the metrics.
#[derive(Debug)]
pub struct Opened(Gauge);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

#[cfg(test)]
mod tests;
