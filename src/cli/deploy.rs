//! `serin deploy`: begins a release, and says so.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::args::DeployArgs;
use super::ask;
use super::client::{Client, typed};
use super::exit::{DONE, Failure};
use super::out::Out;
use super::{wait, words};
use crate::admin::api::{RolloutView, segment};

pub(super) async fn deploy(client: &Client, out: &Out, args: DeployArgs) -> Result<u8, Failure> {
    let path = format!("/v1/services/{}/rollouts", segment(&args.service));
    let begun = client.post(&path, &body(&args)).await?;
    let rollout: RolloutView = typed(&begun)?;
    if !args.wait {
        out.either(&begun, || started(&args.service, &rollout) + &watch(&args.service));
        return Ok(DONE);
    }
    if !out.json {
        let mut text = started(&args.service, &rollout);
        if least(&rollout) > args.timeout {
            let limit = words::whole(args.timeout);
            text.push_str(&format!(
                "  --timeout is {limit}: this ends before the release does, which goes on by itself\n"
            ));
        }
        out.text(&text);
    }
    wait::wait(client, out, &args.service, &rollout, args.timeout).await
}

fn body(args: &DeployArgs) -> Value {
    let mut body = ask::why(&args.why);
    body["version"] = args.version.clone().into();
    if let Some(id) = &args.id {
        body["id"] = id.clone().into();
    }
    if !args.endpoints.is_empty() {
        body["endpoints"] = json!(args.endpoints);
    }
    if let Some(strategy) = args.strategy.and_then(|strategy| strategy.to_possible_value()) {
        body["strategy"] = strategy.get_name().into();
    }
    body
}

/// The least time that the plan takes.
fn least(rollout: &RolloutView) -> Duration {
    rollout.plan.steps.iter().map(|step| step.hold).sum::<Duration>() + rollout.plan.guard
}

fn started(service: &str, rollout: &RolloutView) -> String {
    let RolloutView { id, version, pool, steps, .. } = rollout;
    let plural = if *steps == 1 { "" } else { "s" };
    format!(
        "{service}: release {id} began: version {version} in pool {pool}, {} with {steps} step{plural}, at least {}\n",
        words::word(&rollout.strategy),
        words::whole(least(rollout)),
    )
}

fn watch(service: &str) -> String {
    format!("  see how it goes: serin status {service} --watch\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Strategy, Why};
    use crate::cli::fixture;

    #[test]
    fn only_what_was_given_is_sent() {
        let mut args = DeployArgs {
            service: "shop".into(),
            endpoints: Vec::new(),
            version: "42".into(),
            id: None,
            strategy: None,
            wait: false,
            timeout: Duration::from_secs(1),
            why: Why { text: None },
        };
        assert_eq!(body(&args), json!({ "version": "42" }));
        args.endpoints = vec!["app:3000".parse().unwrap()];
        args.id = Some("42-b".into());
        args.strategy = Some(Strategy::BlueGreen);
        args.why.text = Some("ticket 12".into());
        let want = json!({
            "version": "42", "id": "42-b", "endpoints": ["app:3000"], "strategy": "blue-green",
            "why": "ticket 12",
        });
        assert_eq!(body(&args), want);
        args.strategy = Some(Strategy::Ab);
        assert_eq!(body(&args)["strategy"], "ab");
    }

    #[test]
    fn what_began_is_said() {
        let text = started("shop", &fixture::rollout("gate", None));
        assert_eq!(
            text,
            "shop: release 42 began: version 42 in pool green, canary with 2 steps, at least 6m\n"
        );
    }
}
