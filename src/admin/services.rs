//! Services and their rollouts: what they are now, and what an operator wants of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Admin;
use super::input::{asker, object, read, shaped};
use super::problem::Problem;
use super::routes::segment;
use super::until::until_ms;
use crate::clock;
use crate::config::Target;
use crate::control::{Action, RolloutView, ServiceView};

type Answer = Result<Response, Problem>;
type Shared = State<Arc<Admin>>;

/// What may be asked of a service by one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Promote,
    Pause,
    Resume,
    Abort,
    Undo,
    Retry,
    Rehearse,
    Freeze,
    Thaw,
}

impl Verb {
    pub(super) const ALL: [Self; 9] = [
        Self::Promote,
        Self::Pause,
        Self::Resume,
        Self::Abort,
        Self::Undo,
        Self::Retry,
        Self::Rehearse,
        Self::Freeze,
        Self::Thaw,
    ];
    /// Those that may be asked of every service at once.
    pub(super) const OF_ALL: [Self; 2] = [Self::Freeze, Self::Thaw];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Undo => "undo",
            Self::Retry => "retry",
            Self::Rehearse => "rehearse",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
        }
    }

    /// What `full` and `until` make of it, at `now` since the epoch.
    fn action(
        self,
        full: Option<bool>,
        until: Option<&str>,
        now: Duration,
    ) -> Result<Action, Problem> {
        if full.is_some() && self != Self::Promote {
            return Err(Problem::invalid("`full` belongs to promote"));
        }
        if until.is_some() && self != Self::Freeze {
            return Err(Problem::invalid("`until` belongs to freeze"));
        }
        Ok(match self {
            Self::Promote => Action::Promote { full: full.unwrap_or_default() },
            Self::Pause => Action::Pause,
            Self::Resume => Action::Resume,
            Self::Abort => Action::Abort,
            Self::Undo => Action::Undo,
            Self::Retry => Action::Retry,
            Self::Rehearse => Action::Rehearse,
            Self::Freeze => {
                Action::Freeze { until_ms: until.map(|text| until_ms(text, now)).transpose()? }
            }
            Self::Thaw => Action::Thaw,
        })
    }
}

/// `GET /v1/services`.
pub(super) async fn all(State(admin): Shared) -> Answer {
    json(StatusCode::OK, &admin.ask(admin.handle.services()).await?)
}

/// `GET /v1/services/{service}`.
pub(super) async fn one(State(admin): Shared, Path(service): Path<String>) -> Answer {
    seen(&admin.ask(admin.handle.service(&service)).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightBody {
    canary: String,
    why: Option<String>,
}

/// `PUT /v1/services/{service}/weight`.
pub(super) async fn weight(
    State(admin): Shared,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let WeightBody { canary, why } = shaped(object(&read(&headers, body).await?)?)?;
    let action = canary.parse().map(Action::Weight);
    let action = action.map_err(|bad| Problem::invalid(format!("`canary`: {bad}")))?;
    let asker = asker(&headers, why)?;
    seen(&*admin.ask(admin.handle.act(&service, action, asker)).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerbBody {
    why: Option<String>,
    full: Option<bool>,
    until: Option<String>,
}

impl VerbBody {
    fn action(&self, verb: Verb) -> Result<Action, Problem> {
        verb.action(self.full, self.until.as_deref(), clock::unix())
    }
}

/// `POST /v1/services/{service}/promote` and the like.
pub(super) async fn act(
    verb: Verb,
    State(admin): Shared,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: VerbBody = shaped(object(&read(&headers, body).await?)?)?;
    let action = asked.action(verb)?;
    let mut asker = asker(&headers, asked.why)?;
    if verb == Verb::Abort {
        // Whoever wants out must not be told to look again first.
        asker.if_generation = None;
    }
    seen(&*admin.ask(admin.handle.act(&service, action, asker)).await?)
}

/// `POST /v1/freeze` and `POST /v1/thaw`: of every service.
pub(super) async fn act_on_all(
    verb: Verb,
    State(admin): Shared,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: VerbBody = shaped(object(&read(&headers, body).await?)?)?;
    let action = asked.action(verb)?;
    let asker = asker(&headers, asked.why)?;
    if asker.if_generation.is_some() {
        let detail = "`If-Match` takes the generation of one service; ask each of them for that";
        return Err(Problem::bad_request(detail));
    }
    admin.ask(admin.handle.act_on_all(action, asker)).await?;
    json(StatusCode::OK, &admin.ask(admin.handle.services()).await?)
}

/// `POST /v1/services/{service}/rollouts`.
pub(super) async fn deploy(
    State(admin): Shared,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let mut body = object(&read(&headers, body).await?)?;
    let why = match body.remove("why") {
        None | Some(Value::Null) => None,
        Some(Value::String(why)) => Some(why),
        Some(_) => return Err(Problem::invalid("`why` is a text")),
    };
    let action = Action::Deploy(shaped(body)?);
    let asker = asker(&headers, why)?;
    let view = admin.ask(admin.handle.act(&service, action, asker)).await?;
    let Some(rollout) = &view.rollout else {
        return Err(Problem::unavailable("the rollout is gone already"));
    };
    let location = format!("/v1/rollouts/{}", segment(&rollout.id));
    let mut response = json(StatusCode::CREATED, &named(&service, rollout)?)?;
    let location = location.parse().map_err(|_| Problem::unavailable("the id is no address"))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `GET /v1/services/{service}/rollouts`.
pub(super) async fn rollouts(State(admin): Shared, Path(service): Path<String>) -> Answer {
    let rollouts = admin.ask(admin.handle.history(Some(&service))).await?;
    let rollouts: Result<Vec<Value>, Problem> =
        rollouts.iter().map(|(service, rollout)| named(service, rollout)).collect();
    json(StatusCode::OK, &rollouts?)
}

/// `GET /v1/rollouts/{id}`: the newest of that id, as a release may be tried again.
pub(super) async fn rollout(State(admin): Shared, Path(id): Path<String>) -> Answer {
    let (service, rollout) = admin.ask(admin.handle.rollout(&id)).await?;
    json(StatusCode::OK, &named(&service, &rollout)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyBody {
    why: Option<String>,
}

/// `POST /v1/services/{service}/pools/{pool}/endpoints/{endpoint}/drain`.
pub(super) async fn drain(
    admin: Shared,
    path: Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    set_drained(admin, path, headers, body, true).await
}

/// `POST /v1/services/{service}/pools/{pool}/endpoints/{endpoint}/enable`.
pub(super) async fn enable(
    admin: Shared,
    path: Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    set_drained(admin, path, headers, body, false).await
}

async fn set_drained(
    State(admin): Shared,
    Path((service, pool, endpoint)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
    out: bool,
) -> Answer {
    let WhyBody { why } = shaped(object(&read(&headers, body).await?)?)?;
    let endpoint: Target = endpoint.parse().map_err(|bad| Problem::invalid(format!("{bad}")))?;
    let asker = asker(&headers, why)?;
    let action = Action::Drain { pool, endpoint, out };
    seen(&*admin.ask(admin.handle.act(&service, action, asker)).await?)
}

/// A service with the generation that `If-Match` takes.
fn seen(view: &ServiceView) -> Answer {
    let tag = format!("\"{}\"", view.generation);
    let mut response = json(StatusCode::OK, view)?;
    response.headers_mut().extend(tag.parse().ok().map(|tag| (ETAG, tag)));
    Ok(response)
}

/// A rollout with its service's name.
fn named(service: &str, rollout: &RolloutView) -> Result<Value, Problem> {
    let mut value = serde_json::to_value(rollout).map_err(unwritable)?;
    if let Some(value) = value.as_object_mut() {
        value.insert("service".into(), service.into());
    }
    Ok(value)
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(unwritable)?;
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

fn unwritable(error: serde_json::Error) -> Problem {
    Problem::unavailable(format!("the answer cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_promote_can_be_full_and_only_freeze_has_an_end() {
        let now = Duration::from_secs(1_000);
        for verb in Verb::ALL {
            let full = verb.action(Some(true), None, now);
            assert_eq!(full.is_ok(), verb == Verb::Promote, "{verb:?}");
            let until = verb.action(None, Some("10s"), now);
            assert_eq!(until.is_ok(), verb == Verb::Freeze, "{verb:?}");
            assert!(verb.action(None, None, now).is_ok(), "{verb:?}");
        }
        let promote = Verb::Promote.action(Some(true), None, now);
        assert!(matches!(promote, Ok(Action::Promote { full: true })));
        let freeze = Verb::Freeze.action(None, Some("10s"), now);
        assert!(matches!(freeze, Ok(Action::Freeze { until_ms: Some(1_010_000) })));
        assert!(Verb::Freeze.action(None, Some("soon"), now).is_err());
    }
}
