//! Gates and hooks: when they are asked, and what follows from their answers.

use std::time::Duration;

use super::Control;
use super::errand::{Errand, HookCall, Lane, News, Phase, REPORTS_MAX, What};
use super::gates::{Asked, Failed, GateReport, Side};
use super::live::{Call, Decision, Rollout, millis};
use super::notices::event;
use super::service::{Cause, Pools, Remark, Service};
use crate::clock;
use crate::rollout::plan::Strategy;
use crate::rollout::{Event, Stage, State};
use crate::split::Role;
use crate::upstream::{Pool, Standing};

/// How long a `rolled_back` hook waits for the canary's last requests, in milliseconds.
const DRAIN_MS: u64 = 30_000;

impl Control {
    /// Asks what services want to be asked, and calls the hooks that are due.
    pub(super) fn run_errands(&mut self) {
        let wanted: Vec<(String, Errand)> = self
            .services
            .iter_mut()
            .filter(|(_, service)| !service.errands.is_empty())
            .flat_map(|(name, service)| {
                let errands: Vec<_> = service.errands.drain(..).collect();
                errands.into_iter().map(|errand| (name.clone(), errand))
            })
            .collect();
        for (name, errand) in wanted {
            self.run_errand(&name, errand);
        }
        let due: Vec<String> = self
            .services
            .iter()
            .filter(|(_, service)| !service.live.calls.is_empty() && service.calling.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.call_next(&name);
        }
    }

    fn run_errand(&mut self, name: &str, errand: Errand) {
        let Some(asked) = self.question(name) else { return };
        let Some(service) = self.services.get_mut(name) else { return };
        let number = match errand {
            Errand::Query(index) => {
                if let Some(query) = service.config.judge.queries.get(index) {
                    let number = self.errands.query(name, index, query.clone(), asked);
                    service.queries.asked(index, number);
                }
                return;
            }
            Errand::Gates => Some(self.errands.gates(name, service.config.gates.clone(), asked)),
            Errand::Hook(phase) => {
                let last = service.live.rollout.as_ref().and_then(Rollout::last);
                let event = last.map(|decision| as_json(service, decision)).unwrap_or_default();
                self.call_hook(name, phase, asked, event, Lane::Awaited)
            }
            Errand::Rehearsal => self.start_rehearsal(name),
        };
        if let Some(service) = self.services.get_mut(name) {
            service.awaited = number;
            if number.is_none() && errand == Errand::Rehearsal {
                // Without a number no answer ever comes.
                let words = "there are more pools than can be measured, so it cannot be rehearsed";
                service.gating.failed("rehearsal", words.to_owned());
            }
        }
    }

    fn call_hook(
        &mut self,
        name: &str,
        phase: Phase,
        asked: Asked,
        event: serde_json::Value,
        lane: Lane,
    ) -> Option<u64> {
        let hooks = &self.services.get(name)?.config.rollout.hooks;
        let (hook, deadline) = (phase.hook(hooks)?.clone(), hooks.deadline);
        let call = HookCall { phase, hook, asked, event, deadline };
        Some(self.errands.hook(name, call, lane))
    }

    /// A move is on disk: it is made at once, or once its hook agrees.
    pub(super) fn written(&mut self, name: &str) {
        let Some(service) = self.services.get_mut(name) else { return };
        if service.awaited.is_some() {
            return;
        }
        let phase = match service.live.state() {
            State::Running { moving: Some(Stage::Step(step)), .. } if step > 0 => {
                Some(Phase::EachStep)
            }
            State::Running { moving: Some(Stage::Guard), .. } => Some(Phase::BeforePromote),
            _ => None,
        };
        match phase.filter(|phase| phase.hook(&service.config.rollout.hooks).is_some()) {
            Some(phase) => self.run_errand(name, Errand::Hook(phase)),
            None => self.decide(name, Event::Stored, Cause::default()),
        }
    }

    /// An errand came back.
    pub(super) fn heard(&mut self, news: News) {
        let News { service: name, number, what } = news;
        let Some(service) = self.services.get_mut(&name) else { return };
        if let Some((_, call)) = service.calling.take_if(|(calling, _)| *calling == number) {
            return self.called(&name, &call, what);
        }
        let what = match what {
            What::Query(index, finding) => return service.queries.found(index, number, finding),
            what => what,
        };
        if let What::Rehearsed(probed) = what {
            self.rehearsed(&name, number, probed);
            return self.health_changed();
        }
        // What is not awaited any more was asked for a release, or a step, that is gone.
        if service.awaited != Some(number) {
            return;
        }
        match what {
            What::Report(report) => return service.keep_report(report),
            What::Gates(true) => service.gate_passed(),
            What::Gates(false) => service.gate_failed(),
            What::Hook { phase, result, took } => {
                service.keep_report(hook_report(phase, &result, took));
                match (phase, result) {
                    (Phase::EachStep | Phase::BeforePromote, Ok(_)) => {
                        service.awaited = None;
                        return self.decide(&name, Event::Stored, Cause::default());
                    }
                    (Phase::EachStep | Phase::BeforePromote, Err(Failed { words, .. })) => {
                        service.awaited = None;
                        let reason = format!("hook:{}", phase.name());
                        let pools = self.publisher.pools(service);
                        let dead = pools.is_some_and(|p| p.stable.standing() == Standing::Down);
                        // Nobody is sent back to a pool that is dead: a person has to look.
                        let event = if dead { Event::Pause } else { Event::Fail };
                        return self.decide(&name, event, Cause::own(&reason, words));
                    }
                    (Phase::Deploy, Ok(_)) => {
                        if let Some(rollout) = &mut service.live.rollout {
                            rollout.deployed = true;
                        }
                        service.gate_passed();
                        // A kill must not start the new version twice.
                        self.persist(&name);
                    }
                    (_, Ok(_)) => service.gate_passed(),
                    (_, Err(_)) => service.gate_failed(),
                }
            }
            What::Query(..) | What::Rehearsed(_) => {}
        }
        self.health_changed();
    }

    /// Calls the first hook that no release waits for, once it is due.
    fn call_next(&mut self, name: &str) {
        let Some(service) = self.services.get(name) else { return };
        let Some(call) = service.live.calls.first().cloned() else { return };
        if call.phase.hook(&service.config.rollout.hooks).is_none() {
            return self.called_is_done(name, &call);
        }
        let waited_ms = millis(clock::unix()).saturating_sub(call.since_ms);
        if call.phase == Phase::RolledBack && waited_ms < DRAIN_MS {
            let pool = self.publisher.pool(service, &call.pool);
            let busy = pool.is_some_and(|pool| pool.endpoints.iter().any(|e| e.in_flight() > 0));
            if busy {
                return;
            }
        }
        let Some(asked) = self.question(name) else { return };
        // It is about the pool that the call names, whatever its part is by now, and about what ran
        // there then: another release may have it already.
        let mut asked = Asked { release: call.release.clone(), ..asked };
        if asked.canary.pool != call.pool {
            std::mem::swap(&mut asked.canary, &mut asked.stable);
        }
        let Some(service) = self.services.get(name) else { return };
        let file = service.config.pools.get(&call.pool).map(|pool| pool.endpoints.as_slice());
        let own = call.endpoints.as_deref().or(file).unwrap_or_default();
        let mut event = event(service, &call.decision);
        if call.phase != Phase::Retire {
            asked.canary.endpoints.retain(|(target, _)| own.contains(target));
            asked.canary.version.clone_from(&call.version);
        }
        if let Some(release) = event.release.as_mut().filter(|known| known.id != call.release) {
            release.id.clone_from(&call.release);
            release.version.clone_from(&call.version);
            let retires = call.phase == Phase::Retire;
            let pool = if retires { &asked.stable.pool } else { &call.pool };
            release.pool.clone_from(pool);
        }
        let event = serde_json::to_value(event).unwrap_or_default();
        let number = self.call_hook(name, call.phase, asked, event, Lane::Call);
        if let Some(service) = self.services.get_mut(name) {
            service.calling = number.map(|number| (number, call));
        }
    }

    fn called(&mut self, name: &str, call: &Call, what: What) {
        if let What::Hook { phase, result, .. } = what {
            match result {
                Ok(words) => tracing::info!(service = name, hook = phase.name(), words, "called"),
                Err(Failed { words, .. }) => {
                    let words = format!("hook `{}`: {words}", phase.name());
                    tracing::error!(service = name, words, "a hook failed");
                    self.remark(name, Remark { kind: "hook_failed", words });
                }
            }
        }
        self.called_is_done(name, call);
    }

    fn called_is_done(&mut self, name: &str, call: &Call) {
        let Some(service) = self.services.get_mut(name) else { return };
        // It need not be the first any more: the list is bounded, and others may replace the state.
        let is_it = |known: &Call| {
            (known.phase, &known.release, known.since_ms)
                == (call.phase, &call.release, call.since_ms)
        };
        if let Some(at) = service.live.calls.iter().position(is_it) {
            service.live.calls.remove(at);
        }
        self.persist(name);
    }

    /// What those who are asked are told.
    fn question(&mut self, name: &str) -> Option<Asked> {
        let service = self.services.get(name)?;
        let Pools { stable, canary } = self.publisher.pools(service)?;
        let live = &service.live;
        let side = |pool: &Pool| Side {
            pool: pool.name.clone(),
            version: live.pools.get(&pool.name).and_then(|l| l.version.clone()).unwrap_or_default(),
            endpoints: pool
                .endpoints
                .iter()
                .filter(|endpoint| !endpoint.is_drained())
                .map(|endpoint| (endpoint.target.clone(), endpoint.address))
                .collect(),
        };
        Some(Asked {
            service: name.to_owned(),
            release: live.rollout.as_ref().map(|r| r.id.clone()).unwrap_or_default(),
            strategy: live.rollout.as_ref().map_or(Strategy::Canary, |r| r.plan.strategy),
            stable: side(&stable),
            canary: canary.map(|canary| side(&canary)).unwrap_or_default(),
            folder: self.errands.folder.clone(),
        })
    }
}

fn as_json(service: &Service, decision: &Decision) -> serde_json::Value {
    serde_json::to_value(event(service, decision)).unwrap_or_default()
}

impl Service {
    /// Keeps what a gate or a hook found, as evidence.
    fn keep_report(&mut self, report: GateReport) {
        let Some(rollout) = &mut self.live.rollout else { return };
        if rollout.gates.len() == REPORTS_MAX {
            // The newest is the one that decides, and it is the last.
            rollout.gates.remove(0);
        }
        rollout.gates.push(report);
    }

    fn gate_passed(&mut self) {
        self.awaited = None;
        let reports = self.live.rollout.as_ref().map(|rollout| rollout.gates.as_slice());
        let words = reports.and_then(<[_]>::last).map(|report| format!("{} passed", report.name));
        self.gating.passed(words.unwrap_or_default(), self.observed);
    }

    fn gate_failed(&mut self) {
        self.awaited = None;
        let last = self.live.rollout.as_ref().and_then(|rollout| rollout.gates.last());
        let (reason, words) = match last {
            Some(report) => (
                format!("gate:{}", report.name),
                format!("{} on {}: {}", report.name, report.against, report.words),
            ),
            None => ("gate".to_owned(), "a gate failed".to_owned()),
        };
        self.gating.failed(&reason, words);
    }
}

fn hook_report(phase: Phase, result: &Result<String, Failed>, took: Duration) -> GateReport {
    let (passed, words, output) = match result {
        Ok(words) => (true, words.clone(), None),
        Err(Failed { words, output }) => (false, words.clone(), output.clone()),
    };
    GateReport {
        name: format!("hook:{}", phase.name()),
        against: Role::Canary,
        passed,
        words,
        took_ms: millis(took),
        output,
    }
}
