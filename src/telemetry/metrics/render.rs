//! The Prometheus text exposition format, version 0.0.4.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use metrics::Label;

use super::store::{BOUNDS, Buckets, Series, Store};
use super::{Kind, Metric};

pub(super) fn render(store: &Store) -> String {
    let mut out = String::new();
    for metric in Metric::ALL {
        let (name, kind, help) = metric.describe();
        let family = store.family(name);
        if family.is_empty() {
            continue;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, series) in &family {
            let _ = match series {
                Series::Counter(count) => {
                    writeln!(
                        out,
                        "{name}{} {}",
                        braces(labels, None),
                        count.load(Ordering::Relaxed)
                    )
                }
                Series::Gauge(bits) => {
                    let value = f64::from_bits(bits.load(Ordering::Relaxed));
                    writeln!(out, "{name}{} {value}", braces(labels, None))
                }
                Series::Histogram(buckets) => {
                    histogram(&mut out, name, labels, buckets);
                    Ok(())
                }
            };
        }
    }
    out
}

fn histogram(out: &mut String, name: &str, labels: &[Label], buckets: &Buckets) {
    let mut cumulative = 0;
    let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (count, bound) in buckets.counts.iter().zip(bounds) {
        cumulative += count.load(Ordering::Relaxed);
        let labels = braces(labels, Some(("le", &bound)));
        let _ = writeln!(out, "{name}_bucket{labels} {cumulative}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a sum of microseconds, shown in seconds")]
    let sum = buckets.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
    let labels = braces(labels, None);
    let _ = writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {cumulative}");
}

fn braces(labels: &[Label], extra: Option<(&str, &str)>) -> String {
    let pairs = labels.iter().map(|label| (label.key(), label.value())).chain(extra);
    let inner: Vec<String> =
        pairs.map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    if inner.is_empty() { String::new() } else { format!("{{{}}}", inner.join(",")) }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
