//! A query to Prometheus whose value must keep a bound. What is not known is never a pass.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::sample::{self, Finding};
use super::text::{in_promql, in_url};
use super::{Asked, Failed, Passed};
use crate::clock;
use crate::config::{Query, Url};
use crate::outbound::{self, Request};
use crate::split::Role;

/// Asks `query` of the side `role`, and of the stable side where its bound says so, within `limit`.
pub(in crate::control) async fn ask(
    query: &Query,
    asked: &Asked,
    role: Role,
    limit: Duration,
) -> Finding {
    let until = clock::now() + limit;
    let value = match value(query, asked, role, until).await {
        Ok(value) => value,
        Err(why) => return Finding::Missing(format!("{}: {why}", query.name)),
    };
    let stable = if query.compare.times_stable {
        match self::value(query, asked, Role::Stable, until).await {
            Ok(value) => Some(value),
            Err(why) => return Finding::Missing(format!("{}, of stable: {why}", query.name)),
        }
    } else {
        None
    };
    sample::compare(&query.name, query.compare, value, stable)
}

/// Asks once, as a gate does.
pub(super) async fn check(
    query: &Query,
    asked: &Asked,
    role: Role,
    until: Instant,
) -> Result<Passed, Failed> {
    match ask(query, asked, role, until.saturating_duration_since(clock::now())).await {
        Finding::Kept(words) => Ok(Passed { words, output: None }),
        Finding::Broken(words) | Finding::Missing(words) => Err(Failed::new(words)),
    }
}

/// The one value that the query has for a side.
async fn value(query: &Query, asked: &Asked, role: Role, until: Instant) -> Result<f64, String> {
    let promql = asked.names(role).fill(&query.query, in_promql);
    let url = instant(&query.url, &promql);
    let headers = [("accept".to_owned(), "application/json".to_owned())];
    let request = Request { method: "GET", url: &url, headers: &headers, body: Bytes::new() };
    let left = until.saturating_duration_since(clock::now());
    let answer = outbound::send(&request, left).await;
    sample::read(&answer.map_err(|error| format!("{}: {error}", url.host))?)
}

/// Where `promql` is asked: `api/v1/query` below the server's path, whose own query is kept.
fn instant(server: &Url, promql: &str) -> Url {
    let (path, own) = server.target.split_once('?').unwrap_or((&server.target, ""));
    let path = path.trim_end_matches('/');
    let more = if own.is_empty() { String::new() } else { format!("&{own}") };
    let target = format!("{path}/api/v1/query?query={}{more}", in_url(promql));
    Url { target, ..server.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_asked_below_the_servers_path() {
        let at = |target: &str| {
            let url = Url { tls: false, host: "prom".into(), port: 9090, target: target.into() };
            instant(&url, r#"sum(up{a="b c"}) / 2"#).target
        };
        let asked = "/api/v1/query?query=sum%28up%7Ba%3D%22b%20c%22%7D%29%20%2F%202";
        assert_eq!(at("/"), asked);
        assert_eq!(at("/prom/"), format!("/prom{asked}"));
        assert_eq!(at("/prom?tenant=x"), format!("/prom{asked}&tenant=x"));
    }
}
