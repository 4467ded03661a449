use super::*;

#[test]
fn all_kinds_are_rendered_as_prometheus_reads_them() {
    let metrics = Metrics::default();
    let labels = [("service", "shop"), ("pool", "bl\"ue"), ("role", "stable")];
    metrics.counter(Metric::Requests, &labels).increment(3);
    metrics.counter(Metric::Requests, &labels).increment(2);
    metrics.gauge(Metric::TableGeneration, &[]).set(7);
    let durations = metrics.histogram(Metric::RequestDuration, &[("service", "shop")]);
    durations.record_many(0.002, 3);
    durations.record(0.3);
    durations.record(100.0);

    let text = metrics.render();
    for line in [
        "# TYPE serin_requests_total counter",
        r#"serin_requests_total{service="shop",pool="bl\"ue",role="stable"} 5"#,
        "# TYPE serin_table_generation gauge",
        "serin_table_generation 7",
        "# TYPE serin_request_duration_seconds histogram",
        r#"serin_request_duration_seconds_bucket{service="shop",le="0.001"} 0"#,
        r#"serin_request_duration_seconds_bucket{service="shop",le="0.0025"} 3"#,
        r#"serin_request_duration_seconds_bucket{service="shop",le="0.5"} 4"#,
        r#"serin_request_duration_seconds_bucket{service="shop",le="+Inf"} 5"#,
        r#"serin_request_duration_seconds_sum{service="shop"} 100.306"#,
        r#"serin_request_duration_seconds_count{service="shop"} 5"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nis missing from\n{text}");
    }
}

#[test]
fn a_series_that_is_gone_is_not_rendered() {
    let metrics = Metrics::default();
    for endpoint in ["a", "b"] {
        metrics.gauge(Metric::EndpointUp, &[("endpoint", endpoint)]).set(1);
    }
    metrics.retain(Metric::EndpointUp, |labels| labels[0].value() == "b");
    let text = metrics.render();
    assert!(!text.contains("\"a\"") && text.contains("\"b\""), "{text}");
}

#[test]
fn every_metric_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Metric::ALL.map(Metric::name).into();
    assert_eq!(names.len(), Metric::ALL.len());
    assert!(names.iter().all(|name| name.starts_with("serin_")));
}

#[test]
fn the_page_of_metrics_has_every_metric_as_it_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(path).expect("it comes with the source");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `serin_")).collect();
    assert_eq!(rows.len(), Metric::ALL.len());
    for (row, metric) in rows.iter().zip(Metric::ALL) {
        let (name, kind, help) = metric.describe();
        let kind = format!("{kind:?}").to_lowercase();
        assert!(row.starts_with(&format!("| `{name}` | {kind} | ")), "{row}");
        assert!(row.ends_with(&format!(" | {help} |")), "{help}");
    }
}
