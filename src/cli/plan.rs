//! `serin plan`: what each step of a plan is expected to take and to see, before it is run. The
//! numbers are the judge's; here they are asked for and shown.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::args::PlanArgs;
use super::client::{Client, typed};
use super::exit::{DONE, Failure};
use super::out::Out;
use super::table::{Align, table};
use super::words::{self, NONE};
use crate::admin::api::{ServiceView, segment};
use crate::config::{Config, Service};

/// Stable's error rate where nobody says and nobody can be asked.
const ERROR_RATE: f64 = 0.001;
/// The time that counts of the API are of, in seconds.
const COUNTED_S: f64 = 60.0;

const COLUMNS: [(&str, Align); 8] = [
    ("STEP", Align::Right),
    ("SHARE", Align::Right),
    ("REQUESTS", Align::Right),
    ("TIME", Align::Right),
    ("WAITS FOR", Align::Left),
    ("SEES FROM", Align::Right),
    ("IF DEAD", Align::Right),
    ("AT WORST", Align::Right),
];

/// The traffic that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Requests per second, of both pools together.
    pub rps: f64,
    /// The stable pool's error rate, `0..=1`.
    pub error_rate: f64,
}

/// What is expected of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreseen {
    /// How long it lasts when the canary is as good as stable, in seconds; none if it does not end.
    pub lasts_s: Option<f64>,
    /// What it waits for last: `requests`, `hold`, `errors`, `latency` or `never`.
    pub waits_for: String,
    /// The canary's requests in that time.
    pub canary_requests: Option<f64>,
    /// The smallest error rate of the canary that is rolled back in that time, if any is.
    pub visible_error_rate: Option<f64>,
    /// How many requests fail until a canary that always fails is rolled back.
    pub failed_if_dead: Option<f64>,
    /// How many requests fail until a canary of the smallest visible error rate is.
    pub failed_if_visible: Option<f64>,
    /// The same for people, with what such a step cannot do.
    pub words: String,
}

/// Foresees every step of a service's plan. It is handed in, for the judge is not asked from here.
pub type Foresee = fn(&Service, Traffic) -> Vec<Foreseen>;

/// A step as it is shown.
#[derive(Debug, Serialize)]
struct Step {
    /// From 1.
    step: usize,
    weight: String,
    /// The most that a bad version can fail before it is found, or before the step ends.
    failed_at_worst: Option<f64>,
    /// What the step cannot do.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(flatten)]
    foreseen: Foreseen,
}

/// Shows what the plan of a service comes to.
pub(super) async fn plan(
    client: &Client,
    out: &Out,
    args: &PlanArgs,
    foresee: Foresee,
) -> Result<u8, Failure> {
    let config = load(&args.config)?;
    let Some(service) = config.services.get(&args.service) else {
        let known = config.services.keys().cloned().collect::<Vec<_>>().join(", ");
        let (name, file) = (&args.service, args.config.display());
        return Err(Failure::Usage(format!("{file} has no service `{name}`; it has {known}")));
    };
    let (traffic, source) = traffic(client, args).await?;
    let steps = steps(service, traffic, foresee);
    let document = json!({
        "service": service.name,
        "strategy": service.rollout.plan.strategy,
        "traffic": traffic,
        "steps": steps,
        "lasts_s": lasts(service, &steps).map(|lasts| lasts.as_secs_f64()),
    });
    out.either(&document, || page(service, traffic, source, &steps));
    Ok(DONE)
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|errors| Failure::Usage(errors.to_string()))
}

/// The traffic to expect, and where the number comes from.
async fn traffic(client: &Client, args: &PlanArgs) -> Result<(Traffic, &'static str), Failure> {
    if let Some(rps) = args.rps {
        let error_rate = args.error_rate.unwrap_or(ERROR_RATE);
        return Ok((Traffic { rps, error_rate }, "as given"));
    }
    let view = client.get(&format!("/v1/services/{}", segment(&args.service))).await;
    let view: ServiceView = typed(&view.map_err(|failure| match failure {
        Failure::Unreachable { .. } => {
            Failure::Other(format!("{failure}; say how much traffic there is with --rps N"))
        }
        failure => failure,
    })?)?;
    let traffic = observed(&view, args.error_rate).ok_or_else(|| {
        let name = &args.service;
        Failure::Other(format!(
            "{name} had no request in the last minute; say how much traffic there will be with --rps N"
        ))
    })?;
    Ok((traffic, "seen in the last minute"))
}

/// The traffic of the last minute; none without any.
fn observed(view: &ServiceView, error_rate: Option<f64>) -> Option<Traffic> {
    let requests = view.stable.requests + view.canary.as_ref().map_or(0, |pool| pool.requests);
    #[expect(clippy::cast_precision_loss, reason = "a count of one minute")]
    let rps = requests as f64 / COUNTED_S;
    let error_rate = error_rate.or(view.stable.error_rate).unwrap_or(ERROR_RATE);
    (requests > 0).then_some(Traffic { rps, error_rate })
}

fn steps(service: &Service, traffic: Traffic, foresee: Foresee) -> Vec<Step> {
    let plan = &service.rollout.plan;
    let foreseen = foresee(service, traffic).into_iter();
    let steps = foreseen.zip(plan.weights()).enumerate().map(|(index, (foreseen, weight))| Step {
        step: index + 1,
        weight: weight.to_string(),
        failed_at_worst: at_worst(&foreseen),
        warning: warning(&foreseen, plan.deadline),
        foreseen,
    });
    steps.collect()
}

/// What is not seen may go on to the end of the step.
fn at_worst(foreseen: &Foreseen) -> Option<f64> {
    let unseen =
        foreseen.visible_error_rate.is_none().then_some(foreseen.canary_requests).flatten();
    let found = [foreseen.failed_if_dead, foreseen.failed_if_visible, unseen].into_iter().flatten();
    found.max_by(f64::total_cmp)
}

/// What the step cannot do, where that is more than anybody would want.
fn warning(foreseen: &Foreseen, deadline: Duration) -> Option<String> {
    let Foreseen { lasts_s, visible_error_rate, words, .. } = foreseen;
    if visible_error_rate.is_none() {
        return Some(words.clone());
    }
    let lasts = seconds(lasts_s.map(f64::ceil)?);
    (lasts > deadline).then(|| {
        let (lasts, deadline) = (words::whole(lasts), words::whole(deadline));
        format!("it takes {lasts}, longer than its deadline of {deadline}")
    })
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX)
}

/// How long a release of a good version takes.
fn lasts(service: &Service, steps: &[Step]) -> Option<Duration> {
    let steps: Option<Vec<f64>> = steps.iter().map(|step| step.foreseen.lasts_s).collect();
    Some(seconds(steps?.iter().sum()) + service.rollout.plan.guard)
}

/// The plan as people read it.
fn page(service: &Service, traffic: Traffic, source: &str, steps: &[Step]) -> String {
    let strategy = words::word(&service.rollout.plan.strategy);
    let mut text = format!(
        "{}: {strategy}, at {} requests/s of which stable fails {} ({source})\n",
        service.name,
        count(traffic.rps),
        words::percent(traffic.error_rate),
    );
    let rows: Vec<_> = steps.iter().map(row).collect();
    text.push_str(&table("  ", &COLUMNS, &rows));
    for step in steps {
        if let Some(warning) = &step.warning {
            text.push_str(&format!("  ! step {}: {warning}\n", step.step));
        }
    }
    if let Some(lasts) = lasts(service, steps) {
        let guard = words::whole(service.rollout.plan.guard);
        let lasts = words::whole(lasts);
        text.push_str(&format!("a good release takes about {lasts}, {guard} of guard included\n"));
    }
    text.push_str(
        "SEES FROM: the smallest error rate that is rolled back within the step. IF DEAD: requests that\n\
         fail until a version that always fails is left; AT WORST: until any that is seen is left.\n",
    );
    text
}

fn row(step: &Step) -> Vec<String> {
    let Foreseen {
        lasts_s, canary_requests, visible_error_rate, failed_if_dead, waits_for, ..
    } = &step.foreseen;
    let none = || NONE.to_owned();
    vec![
        step.step.to_string(),
        step.weight.clone(),
        canary_requests.map_or_else(none, count),
        lasts_s.map_or_else(none, |lasts| words::whole(seconds(lasts.ceil()))),
        waits_for.clone(),
        visible_error_rate.map_or_else(none, words::percent),
        failed_if_dead.map_or_else(none, count),
        step.failed_at_worst.map_or_else(none, count),
    ]
}

/// A number of requests: whole from ten on, or where it is whole.
fn count(number: f64) -> String {
    if number >= 10.0 || number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

/// What the steps of every service cannot do at so many requests a second: for `serin check`.
pub(super) fn warnings(config: &Config, rps: f64, foresee: Foresee) -> Vec<(String, String)> {
    let traffic = Traffic { rps, error_rate: ERROR_RATE };
    let releases = config.services.values().filter(|service| service.canary.is_some());
    let all = releases.flat_map(|service| {
        let steps = steps(service, traffic, foresee);
        let said = steps.into_iter().filter_map(|step| Some((step.step, step.warning?)));
        said.map(|(step, warning)| {
            (format!("services.{}.rollout", service.name), format!("step {step}: {warning}"))
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests;
