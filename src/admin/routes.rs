//! Every address of the API, and what answers there.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{any, get, post, put};

use super::guard::{Door, Guard, guard, tidy};
use super::problem::Problem;
use super::services::{Verb, act, act_on_all, drain, enable};
use super::{Admin, config, probes, services};

/// Addresses that are set aside.
const NOT_YET: [&str; 4] = ["/", "/v1/openapi.json", "/v1/events", "/v1/explain"];

/// The whole API.
pub(super) fn api(admin: Arc<Admin>, door: Door) -> Router {
    let guarded = Guard::new(&admin.config, door);
    let mut router = probes(Router::new())
        .route("/v1/services", get(services::all))
        .route("/v1/services/{service}", get(services::one))
        .route("/v1/services/{service}/weight", put(services::weight))
        .route("/v1/services/{service}/rollouts", get(services::rollouts).post(services::deploy))
        .route("/v1/rollouts/{id}", get(services::rollout))
        .route("/v1/services/{service}/pools/{pool}/endpoints/{endpoint}/drain", post(drain))
        .route("/v1/services/{service}/pools/{pool}/endpoints/{endpoint}/enable", post(enable))
        .route("/v1/config", get(config::show))
        .route("/v1/config/check", post(config::check))
        .route("/v1/config/reload", post(config::reload));
    for verb in Verb::ALL {
        let path = format!("/v1/services/{{service}}/{}", verb.name());
        let handler = move |admin, service, headers, body| act(verb, admin, service, headers, body);
        router = router.route(&path, post(handler));
    }
    for verb in Verb::OF_ALL {
        let path = format!("/v1/{}", verb.name());
        let handler = move |admin, headers, body| act_on_all(verb, admin, headers, body);
        router = router.route(&path, post(handler));
    }
    for path in NOT_YET {
        router = router.route(path, any(not_yet));
    }
    finish(router, admin).layer(from_fn_with_state(guarded, guard)).layer(from_fn(tidy))
}

/// What may be read by everybody who reaches the listener for metrics.
pub(super) fn metrics(admin: Arc<Admin>) -> Router {
    finish(probes(Router::new()), admin).layer(from_fn(tidy))
}

fn probes(router: Router<Arc<Admin>>) -> Router<Arc<Admin>> {
    router
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
}

fn finish(router: Router<Arc<Admin>>, admin: Arc<Admin>) -> Router {
    router.fallback(lost).with_state(admin)
}

async fn lost(method: Method, uri: Uri) -> impl IntoResponse {
    Problem::not_found(format!("there is nothing at {method} {}", uri.path()))
}

async fn not_yet(uri: Uri) -> impl IntoResponse {
    Problem::not_found(format!("{} is not available yet", uri.path()))
}

/// `text` as one segment of a path: all but unreserved characters as `%XX` (RFC 3986 §2).
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_holds_nothing_that_ends_it() {
        assert_eq!(segment("v1.2-rc_3~"), "v1.2-rc_3~");
        assert_eq!(segment("[::1]:80/a?b#c %é"), "%5B%3A%3A1%5D%3A80%2Fa%3Fb%23c%20%25%C3%A9");
    }
}
