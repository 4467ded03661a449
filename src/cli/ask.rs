//! What each command asks of a running serin.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::args::{EndpointArgs, Verb, Why, Wish};
use super::client::{Client, typed};
use super::exit::{DONE, Failure};
use super::out::Out;
use super::plan::{self, Foresee};
use super::{deploy, explain, history, ready, rehearse, status, words};
use crate::admin::api::{Decision, Reloaded, RolloutView, ServiceView, segment};

/// Between two pages of `status --watch`.
const PAGE_EVERY: Duration = Duration::from_secs(1);

/// Asks what `verb` wants, and shows the answer.
pub(super) async fn ask(
    client: &Client,
    out: &Out,
    verb: Verb,
    foresee: Foresee,
) -> Result<u8, Failure> {
    match verb {
        Verb::Plan(args) => return plan::plan(client, out, &args, foresee).await,
        Verb::Deploy(args) => return deploy::deploy(client, out, args).await,
        Verb::Status { service, watch: false } => {
            let (value, text) = status(client, service.as_deref()).await?;
            out.either(&value, || text);
        }
        Verb::Status { service, watch: true } => watch(client, out, service.as_deref()).await?,
        Verb::Weight { service, share, why } => {
            let mut body = self::why(&why);
            body["canary"] = share.into();
            let path = format!("/v1/services/{}/weight", segment(&service));
            done(out, &client.put(&path, &body).await?)?;
        }
        Verb::Promote { service, full, why } => {
            let mut body = self::why(&why);
            if full {
                body["full"] = true.into();
            }
            act(client, out, &service, "promote", &body).await?;
        }
        Verb::Pause(wish) => wished(client, out, "pause", &wish).await?,
        Verb::Resume(wish) => wished(client, out, "resume", &wish).await?,
        Verb::Abort(wish) => wished(client, out, "abort", &wish).await?,
        Verb::Undo(wish) => wished(client, out, "undo", &wish).await?,
        Verb::Retry(wish) => wished(client, out, "retry", &wish).await?,
        Verb::Rehearse(wish) => return rehearse::rehearse(client, out, &wish).await,
        Verb::Freeze { service, until, why } => {
            let mut body = self::why(&why);
            if let Some(until) = until {
                body["until"] = until.into();
            }
            of_one_or_all(client, out, "freeze", service.as_deref(), &body).await?;
        }
        Verb::Thaw { service, why } => {
            of_one_or_all(client, out, "thaw", service.as_deref(), &self::why(&why)).await?;
        }
        Verb::Drain(args) => endpoint(client, out, "drain", &args).await?,
        Verb::Enable(args) => endpoint(client, out, "enable", &args).await?,
        Verb::History { service } => past(client, out, &service).await?,
        Verb::Explain { id } => explain::explain(client, out, &id).await?,
        Verb::Ready { service } => return ready::ready(client, out, service.as_deref()).await,
        Verb::Reload => {
            let value = client.post("/v1/config/reload", &json!({})).await?;
            let Reloaded { generation, notes } = typed(&value)?;
            out.either(&value, || {
                let notes: String = notes.iter().map(|note| format!("  {note}\n")).collect();
                format!("reloaded: generation {generation}\n{notes}")
            });
        }
        // Done without asking anybody.
        Verb::Run(_)
        | Verb::Demo(_)
        | Verb::Judge
        | Verb::Check { .. }
        | Verb::Completions { .. } => {}
    }
    Ok(DONE)
}

/// A body that holds the reason, where one was given.
pub(super) fn why(why: &Why) -> Value {
    why.text.as_ref().map_or_else(|| json!({}), |why| json!({ "why": why }))
}

async fn wished(client: &Client, out: &Out, verb: &str, wish: &Wish) -> Result<(), Failure> {
    act(client, out, &wish.service, verb, &why(&wish.why)).await
}

async fn act(
    client: &Client,
    out: &Out,
    service: &str,
    verb: &str,
    body: &Value,
) -> Result<(), Failure> {
    let path = format!("/v1/services/{}/{verb}", segment(service));
    done(out, &client.post(&path, body).await?)
}

/// Asks one service for `verb`, or every one.
async fn of_one_or_all(
    client: &Client,
    out: &Out,
    verb: &str,
    service: Option<&str>,
    body: &Value,
) -> Result<(), Failure> {
    let Some(service) = service else {
        let value = client.post(&format!("/v1/{verb}"), body).await?;
        let views: Vec<ServiceView> = typed(&value)?;
        out.either(&value, || views.iter().map(words::freeze).collect::<Vec<_>>().join("\n"));
        return Ok(());
    };
    let value = client.post(&format!("/v1/services/{}/{verb}", segment(service)), body).await?;
    let view: ServiceView = typed(&value)?;
    out.either(&value, || words::freeze(&view));
    Ok(())
}

async fn endpoint(
    client: &Client,
    out: &Out,
    verb: &str,
    args: &EndpointArgs,
) -> Result<(), Failure> {
    let place = &args.place;
    let path = format!(
        "/v1/services/{}/pools/{}/endpoints/{}/{verb}",
        segment(&place.service),
        segment(&place.pool),
        segment(&place.endpoint.to_string()),
    );
    let value = client.post(&path, &why(&args.why)).await?;
    let view: ServiceView = typed(&value)?;
    out.either(&value, || status::one(&view));
    Ok(())
}

/// Shows the service as it is after what was asked for.
fn done(out: &Out, value: &Value) -> Result<(), Failure> {
    let view: ServiceView = typed(value)?;
    out.either(value, || words::service(&view));
    Ok(())
}

async fn status(client: &Client, service: Option<&str>) -> Result<(Value, String), Failure> {
    let Some(service) = service else {
        let value = client.get("/v1/services").await?;
        let text = status::all(&typed::<Vec<ServiceView>>(&value)?);
        return Ok((value, text));
    };
    let value = client.get(&format!("/v1/services/{}", segment(service))).await?;
    let text = status::one(&typed(&value)?);
    Ok((value, text))
}

/// Shows the status every second until ctrl-c. Once it was seen, an outage is shown and waited out.
async fn watch(client: &Client, out: &Out, service: Option<&str>) -> Result<(), Failure> {
    let mut pages = tokio::time::interval(PAGE_EVERY);
    pages.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = false;
    loop {
        let page = async {
            pages.tick().await;
            status(client, service).await
        };
        let page = tokio::select! {
            page = page => page,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match page {
            Ok((value, text)) => {
                seen = true;
                if !out.page(&value, &text) {
                    return Ok(());
                }
            }
            Err(failure) if seen && failure.may_pass() => {
                out.complain(&format!("serin: {failure}; trying again"));
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn past(client: &Client, out: &Out, service: &str) -> Result<(), Failure> {
    let path = format!("/v1/services/{}", segment(service));
    let value = client.get(&format!("{path}/rollouts")).await?;
    let rollouts: Vec<RolloutView> = typed(&value)?;
    if out.json {
        out.document(&value);
        return Ok(());
    }
    let view: ServiceView = typed(&client.get(&path).await?)?;
    let by_hand: &[Decision] = &view.by_hand;
    out.text(&history::history(service, &rollouts, by_hand));
    Ok(())
}
