//! Tells what happens, as it happens.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::load::{Harm, Load};
use super::servers::Servers;
use crate::cli::{DemoArgs, Fault};
use crate::clock;
use crate::control::{Handle, Refusal, ServiceView};

const LOOK_EVERY: Duration = Duration::from_millis(50);
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How the release ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    Promoted,
    RolledBack,
    GateFailed,
}

/// The end of the story.
#[derive(Debug)]
pub(super) struct End {
    pub(super) ending: Ending,
    /// A short name of why.
    pub(super) reason: String,
    why: String,
    canary_requests: u64,
    canary_errors: u64,
    /// Requests that the canary was serving when it lost its traffic.
    pub(super) in_flight: u64,
    /// From the moment that a sound canary broke to the end.
    broken_for: Option<Duration>,
    /// From the canary's first request to the end.
    with_traffic: Duration,
    whole: Duration,
}

/// The teller.
pub(super) struct Story {
    began: Instant,
    json: bool,
    fault: Fault,
    rps: u32,
}

impl Story {
    pub(super) fn new(args: &DemoArgs) -> Self {
        Self { began: clock::now(), json: args.json, fault: args.fault, rps: args.rps }
    }

    fn say(&self, line: &str) {
        if !self.json {
            let at = clock::now().duration_since(self.began).as_secs_f64();
            println!("{at:6.1} s  {line}");
        }
    }

    pub(super) fn opens(&self, servers: &Servers, address: SocketAddr, admin: &str) {
        let text = format!(
            "serin demo: service `shop`, stable pool blue (v1) {:?}, canary pool green (v2, fault: {}) {:?}\n\
             proxy:  http://{address}   (send it requests of your own: they are served and counted like the others)\n\
             admin:  {admin}   (try: serin --admin {admin} status shop)\n\
             load:   {} requests a second from 5000 users, each of whom stays on one side\n",
            servers.stable,
            self.fault.name(),
            servers.canary,
            self.rps
        );
        // With --json standard output is for the one document.
        if self.json {
            eprint!("{text}")
        } else {
            println!("{text}")
        }
        self.say("traffic begins; all of it goes to blue");
    }

    /// Follows the release to its end.
    pub(super) async fn follow(
        &self,
        handle: &Handle,
        load: &Load,
        servers: &Servers,
    ) -> Result<End, Refusal> {
        let began = clock::now();
        let (mut first_request, mut broken_at) = (None, None);
        let (mut told, mut told_at) = (0, began);
        loop {
            let view = handle.service("shop").await?;
            let Some(rollout) = &view.rollout else {
                return Err(Refusal::Failed("the rollout is gone".into()));
            };
            let now = clock::now();
            if rollout.canary_requests > 0 {
                first_request.get_or_insert(now);
            }
            if broken_at.is_none() && servers.has_broken() {
                broken_at = Some(now);
                self.say(match self.fault {
                    Fault::Crash => "[now]        the servers of v2 die",
                    _ => "[now]        v2 answers nothing any more, but its health check",
                });
            }
            for decision in rollout.decisions.iter().skip(told) {
                let (what, words) = (&decision.decision, &decision.words);
                self.say(&format!(
                    "{:<12} canary {:>4}  {words}",
                    what,
                    decision.weight.to_string()
                ));
                told_at = now;
            }
            told = rollout.decisions.len();
            let ending = match view.state.as_str() {
                "promoted" => Some(Ending::Promoted),
                "rolled_back" => Some(Ending::RolledBack),
                "gate_failed" => Some(Ending::GateFailed),
                _ => None,
            };
            if let Some(ending) = ending {
                let in_flight = view.canary.iter().flat_map(|pool| &pool.endpoints);
                let last = rollout.decisions.last();
                return Ok(End {
                    ending,
                    reason: last.map(|d| d.reason.clone()).unwrap_or_default(),
                    why: last.map(|d| d.words.clone()).unwrap_or_default(),
                    canary_requests: rollout.canary_requests,
                    canary_errors: rollout.canary_errors,
                    in_flight: in_flight.map(|e| u64::from(e.in_flight)).sum(),
                    broken_for: broken_at.map(|broken| now - broken),
                    with_traffic: first_request.map_or(Duration::ZERO, |first| now - first),
                    whole: now - began,
                });
            }
            if now - told_at >= TELL_EVERY {
                told_at = now;
                self.say(&progress(&view, &load.harm()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) fn closes(&self, end: &End, harm: &Harm, hits_after: u64, as_it_should: bool) {
        let ending = match end.ending {
            Ending::Promoted => "promoted",
            Ending::RolledBack => "rolled_back",
            Ending::GateFailed => "gate_failed",
        };
        if self.json {
            let summary = json!({
                "fault": self.fault.name(),
                "result": ending,
                "reason": end.reason,
                "why": end.why,
                "requests": harm.requests,
                "failures": harm.failures,
                "users_harmed": harm.users.len(),
                "users_of_v2": harm.met.len(),
                "latency_ms": { "v1": harm.v1.median_ms(), "v2": harm.v2.median_ms() },
                "canary_requests": end.canary_requests,
                "canary_failures": end.canary_errors,
                "canary_requests_after_the_end":
                    (end.ending == Ending::RolledBack).then_some(hits_after),
                "seconds_broken": end.broken_for.map(|broken| broken.as_secs_f64()),
                "seconds_with_canary_traffic": end.with_traffic.as_secs_f64(),
                "seconds_in_all": end.whole.as_secs_f64(),
                "as_it_should": as_it_should,
            });
            println!("{summary}");
            return;
        }
        let (seconds, whole) = (end.with_traffic.as_secs_f64(), end.whole.as_secs_f64());
        println!("\nv2 was {}: {}", ending.replace('_', " "), end.why);
        println!("  requests             {:>8}", harm.requests);
        println!("  failed               {:>8}", harm.failures);
        println!("  users harmed         {:>8} of 5000 got a failure", harm.users.len());
        println!("  users of v2          {:>8} of 5000", harm.met.len());
        let [v1, v2] = [harm.v1.median_ms(), harm.v2.median_ms()].map(Option::unwrap_or_default);
        println!("  median               {v2:>8.1} ms from v2, {v1:.1} ms from v1");
        println!(
            "  canary               {:>8} requests, {} failed",
            end.canary_requests, end.canary_errors
        );
        if end.ending == Ending::RolledBack {
            println!("  time to rollback     {seconds:>8.1} s after the canary's first request");
            if let Some(broken) = end.broken_for {
                println!("                       {:>8.1} s after it broke", broken.as_secs_f64());
            }
            println!("  canary hits since    {hits_after:>8}");
        } else {
            println!("  release took         {whole:>8.1} s");
        }
        let verdict =
            if as_it_should { "as it should have ended" } else { "NOT as it should have" };
        println!("  the story ended      {verdict}");
    }
}

fn progress(view: &ServiceView, harm: &Harm) -> String {
    let (requests, errors) =
        view.rollout.as_ref().map_or((0, 0), |r| (r.canary_requests, r.canary_errors));
    format!(
        "{:<12} canary {:>4}  {requests} requests, {errors} failed; {} users harmed; {}",
        format!("[{}]", view.state),
        view.weight.wanted.to_string(),
        harm.users.len(),
        view.reason
    )
}
