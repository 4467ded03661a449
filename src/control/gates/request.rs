//! The smoke test: one request to every endpoint of a pool, and what each must answer.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::text::{Names, as_it_is, in_url};
use super::{Asked, Failed, Passed, expect};
use crate::clock;
use crate::config::{Smoke, Url};
use crate::outbound::{self, Request, span_words};
use crate::split::Role;

/// Asks the endpoints of a side, one after another, until `until`. The first that does not answer as
/// it should ends it.
pub(super) async fn check(
    smoke: &Smoke,
    asked: &Asked,
    role: Role,
    until: Instant,
) -> Result<Passed, Failed> {
    let endpoints = &asked.side(role).endpoints;
    if endpoints.is_empty() {
        let pool = &asked.side(role).pool;
        return Err(Failed::new(format!("pool {pool} has no endpoint that could be asked")));
    }
    let mut slowest = Duration::ZERO;
    for (asked_before, (target, address)) in endpoints.iter().enumerate() {
        let endpoint = target.to_string();
        let names = Names { endpoint: &endpoint, ..asked.names(role) };
        let place = names.fill(&smoke.target, in_url);
        let failed = |words: String| {
            Failed::new(format!("{} {place} of {endpoint} ({address}): {words}", smoke.method))
        };
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() {
            let count = endpoints.len();
            return Err(failed(format!(
                "the deadline passed when {asked_before} of {count} endpoints had been asked"
            )));
        }
        let url =
            Url { tls: false, host: target.host.clone(), port: target.port, target: place.clone() };
        let headers: Vec<_> = smoke
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), names.fill(value, as_it_is)))
            .collect();
        let body = Bytes::from(names.fill_body(&smoke.body));
        let request = Request { method: &smoke.method, url: &url, headers: &headers, body };
        // There is no use in waiting for an answer that is too late already.
        let limit = smoke.expect.within.map_or(left, |within| within.min(left));
        let began = clock::now();
        let answer = outbound::send_to(*address, &request, limit).await;
        let took = clock::now().duration_since(began);
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        expect::meets(&smoke.expect, &answer, took).map_err(failed)?;
        slowest = slowest.max(took);
    }
    let words = match endpoints.len() {
        1 => format!("the endpoint answered as it should in {}", span_words(slowest)),
        count => format!(
            "all {count} endpoints answered as they should, the slowest in {}",
            span_words(slowest)
        ),
    };
    Ok(Passed { words, output: None })
}
