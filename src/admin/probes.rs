//! What orchestrators and collectors ask: whether serin lives, whether it may be given traffic,
//! and its metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Admin;
use super::problem::Problem;
use crate::control::ServiceView;

/// `GET /healthz`: the process serves.
pub(super) async fn healthz() -> impl IntoResponse {
    axum::Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: 503 with the reasons until traffic may come.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let services = match admin.ask(admin.handle.services()).await {
        Ok(services) => services,
        Err(problem) => return problem.into_response(),
    };
    let reasons = not_ready(admin.listening.load(Ordering::Acquire), &services);
    if reasons.is_empty() {
        return axum::Json(json!({ "status": "ready" })).into_response();
    }
    Problem::unavailable(reasons.join("; ")).with("reasons", json!(reasons)).into_response()
}

/// `GET /metrics`.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render())
}

/// Why traffic may not come yet. A pool that is known to be down is known: turning traffic away
/// from this replica would not bring it up.
fn not_ready(listening: bool, services: &[ServiceView]) -> Vec<String> {
    let mut reasons = Vec::new();
    if !listening {
        reasons.push("the listeners do not accept".to_owned());
    }
    for service in services {
        let pool = &service.stable;
        let why = if !pool.endpoints.iter().any(|endpoint| endpoint.address.is_some()) {
            "has no address yet"
        } else if pool.endpoints.iter().any(|endpoint| endpoint.health == "unknown") {
            "waits for the first result of a health check"
        } else {
            continue;
        };
        reasons.push(format!("service `{}`: pool `{}` {why}", service.name, pool.name));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(endpoints: &[(Option<&str>, &str)]) -> ServiceView {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(address, health)| {
                json!({
                    "target": "app:80", "address": address, "health": health,
                    "drained": false, "in_flight": 0,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "name": "shop", "generation": 1, "state": "idle", "reason": "",
            "weight": { "wanted": "0%", "observed": null },
            "stable": {
                "name": "blue", "version": null, "endpoints": endpoints, "total": {},
                "requests": 0, "errors": 0, "error_rate": null, "latency_ms": null,
            },
            "canary": null, "previous": null, "rollout": null, "verdict": null,
            "rejected": [], "by_hand": [],
        }))
        .unwrap()
    }

    #[test]
    fn ready_once_everything_is_known() {
        let known = Some("10.0.0.1:80");
        assert!(not_ready(true, &[]).is_empty());
        assert!(not_ready(true, &[service(&[(known, "up"), (known, "down")])]).is_empty());
        assert_eq!(not_ready(false, &[]), ["the listeners do not accept"]);
        let table: [(&[_], &str); 3] = [
            (&[], "has no address yet"),
            (&[(None, "unknown")], "has no address yet"),
            (&[(known, "up"), (known, "unknown")], "waits for the first result of a health check"),
        ];
        for (endpoints, why) in table {
            let reasons = not_ready(true, &[service(&[(known, "up")]), service(endpoints)]);
            assert_eq!(reasons, [format!("service `shop`: pool `blue` {why}")], "{endpoints:?}");
        }
    }
}
