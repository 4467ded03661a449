//! `serin plan`: what the judge expects of the steps of a service's plan. The command line shows it
//! and may not ask the judge itself.

use crate::cli::{Foreseen, Traffic};
use crate::config::Service;
use crate::judge::foresight::{self, Ends};

/// What is expected of each step of the plan of `service`.
pub fn foresee(service: &Service, traffic: Traffic) -> Vec<Foreseen> {
    let plan = &service.rollout.plan;
    let traffic = foresight::Traffic { rps: traffic.rps, error_rate: traffic.error_rate };
    let steps =
        foresight::of(&service.judge.settings, &plan.rules(), plan.purpose(), traffic).into_iter();
    let shown = steps.map(|step| Foreseen {
        lasts_s: step.lasts_s,
        waits_for: name(step.ends).to_owned(),
        canary_requests: step.canary_requests,
        visible_error_rate: step.visible_error_rate,
        failed_if_dead: step.failed_if_dead,
        failed_if_visible: step.failed_if_visible,
        words: step.words,
    });
    shown.collect()
}

const fn name(ends: Ends) -> &'static str {
    match ends {
        Ends::Requests => "requests",
        Ends::Hold => "hold",
        Ends::Errors => "errors",
        Ends::Latency => "latency",
        Ends::Never => "never",
    }
}
