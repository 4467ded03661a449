//! What an operator asks for, checked and done.

use super::Control;
use super::command::{Action, Asker, Deploy, Refusal};
use super::live::{Freeze, LivePool, Rollout, millis};
use super::service::{Cause, Service};
use crate::clock;
use crate::config::Target;
use crate::rollout::plan::{Plan, Strategy, check_steps, default_steps};
use crate::rollout::{self, End, Event, State};
use crate::split::Weight;

/// How many endpoints a deploy may name: each is checked, and looked at by every tick.
const ENDPOINTS_MAX: usize = 1_000;
/// How many steps a plan may have.
const STEPS_MAX: usize = 100;

impl Control {
    /// Does `action`, or refuses it and changes nothing.
    pub(super) fn act(&mut self, name: &str, action: Action, asker: Asker) -> Result<(), Refusal> {
        let service = &self.services[name];
        if let Some(seen) = asker.if_generation
            && seen != service.generation
        {
            return Err(Refusal::Stale(format!(
                "service `{name}` is at generation {}, not {seen}: look again before you change it",
                service.generation
            )));
        }
        let cause = |reason: &str, words: String| Cause {
            reason: reason.to_owned(),
            words,
            actor: asker.actor.clone(),
            why: asker.why.clone(),
            evidence: None,
        };
        if let Some(frozen) = service.frozen()
            && goes_forward(&action, service.live.weight)
        {
            let hint = "thaw it first; the way back is always open";
            return Err(Refusal::Conflict(format!("service `{name}`: {frozen}; {hint}")));
        }
        let event = match action {
            Action::Weight(weight) => {
                return self.set_weight(
                    name,
                    weight,
                    &cause("operator", format!("set to {weight}")),
                );
            }
            Action::Deploy(deploy) => {
                let words = format!("version {}", deploy.version);
                return self.deploy(name, deploy, cause("operator", words));
            }
            Action::Retry => return self.retry(name),
            Action::Rehearse => return self.rehearse(name),
            Action::Freeze { until_ms } => return self.freeze(name, until_ms, &asker),
            Action::Thaw => return self.thaw(name),
            Action::Drain { pool, endpoint, out } => {
                return self.drain_endpoint(name, &pool, endpoint, out);
            }
            Action::Promote { full: false } => Event::Promote,
            Action::Promote { full: true } => Event::PromoteFull,
            Action::Pause => Event::Pause,
            Action::Resume => Event::Resume,
            Action::Abort
                if !service.live.state().is_running() && !service.live.weight.is_zero() =>
            {
                let cause = cause("operator", "abort by an operator".into());
                return self.set_weight(name, Weight::ZERO, &cause);
            }
            // Nobody is on the canary, which is what was asked for.
            Action::Abort if service.live.state() == State::Idle => return Ok(()),
            Action::Abort => Event::Abort,
            Action::Undo => Event::Undo,
        };
        let state = service.live.state();
        let undone = event == Event::Undo && state == State::Ended(End::Promoted);
        if undone && service.live.previous.is_none() {
            let why = format!(
                "service `{name}`: the previous pool is no longer kept, so there is nothing to undo; deploy the old version instead"
            );
            return Err(Refusal::Conflict(why));
        }
        if undone {
            self.check_alive(name)?;
        }
        let what = match event {
            Event::PromoteFull => "promote --full".to_owned(),
            _ => format!("{event:?}").to_lowercase(),
        };
        if matches!(event, Event::Promote | Event::PromoteFull)
            && let Some(service) = self.services.get_mut(name)
            && service.is_stopped()
            && let Some(rollout) = &mut service.live.rollout
            && rollout::next(rollout.state, event, &rollout.plan).is_ok()
        {
            // A person overrules the verdict that stopped it; another has to be earned anew.
            rollout.judge = None;
        }
        let words = format!("{what} by an operator");
        self.apply(name, event, cause("operator", words)).map_err(|_| {
            Refusal::Conflict(format!("service `{name}`: {}", impossible(event, state)))
        })
    }

    /// Going back to a pool that is dead would be worse than staying.
    fn check_alive(&mut self, name: &str) -> Result<(), Refusal> {
        let service = &self.services[name];
        let Some(previous) = service.live.previous.clone() else { return Ok(()) };
        let pool = self.publisher.pool(service, &previous);
        if pool.is_some_and(|pool| pool.endpoints.iter().any(|e| e.is_available())) {
            return Ok(());
        }
        Err(Refusal::Conflict(format!(
            "service `{name}`: no endpoint of pool `{previous}` is healthy; start it, then undo"
        )))
    }

    fn set_weight(&mut self, name: &str, weight: Weight, cause: &Cause) -> Result<(), Refusal> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        if service.live.state().is_running() {
            return Err(Refusal::Conflict(format!(
                "service `{name}`: a rollout runs and sets the share itself; use promote, pause or abort"
            )));
        }
        if service.live.canary.is_none() && !weight.is_zero() {
            return Err(Refusal::Conflict(format!("service `{name}` has no canary pool")));
        }
        if service.live.weight == weight {
            return Ok(());
        }
        if weight > service.live.weight {
            service.can_be_written()?;
        }
        tracing::info!(service = name, %weight, actor = cause.actor, "weight set by hand");
        self.change_share(name, weight, "weight", cause);
        Ok(())
    }

    fn deploy(&mut self, name: &str, deploy: Deploy, cause: Cause) -> Result<(), Refusal> {
        let routes = self.choose_routes(name);
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        let live = &service.live;
        let id = deploy.id.clone().unwrap_or_else(|| deploy.version.clone());
        for (what, text) in [("version", &deploy.version), ("id", &id)] {
            if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
                return Err(Refusal::Invalid(format!(
                    "`{what}` must have 1 to 128 printable characters"
                )));
            }
        }
        if live.state().is_running() {
            let running = live.rollout.as_ref().map_or("", |rollout| rollout.id.as_str());
            return Err(Refusal::Conflict(format!(
                "service `{name}`: release `{running}` is being rolled out; wait for its end or abort it"
            )));
        }
        service.can_be_written()?;
        if live.rejected.contains(&id) {
            return Err(Refusal::Conflict(format!(
                "service `{name}`: release `{id}` was rolled back; deploy it under another id, or allow the release that was rejected last again with retry"
            )));
        }
        let Some(pool) = live.canary.clone() else {
            return Err(Refusal::Conflict(format!(
                "service `{name}` has no second pool to release to; add one and name it `canary`"
            )));
        };
        if live.targets(&pool, &service.config).is_empty() && deploy.endpoints.is_none() {
            return Err(Refusal::Invalid(format!(
                "pool `{pool}` has no endpoint: name them in the deploy"
            )));
        }
        if let Some(endpoints) = &deploy.endpoints {
            if !(1..=ENDPOINTS_MAX).contains(&endpoints.len()) {
                let why = format!(
                    "`endpoints` must name 1 to {ENDPOINTS_MAX} servers, not {}",
                    endpoints.len()
                );
                return Err(Refusal::Invalid(why));
            }
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = endpoints.iter().find(|endpoint| !seen.insert(*endpoint)) {
                return Err(Refusal::Invalid(format!("`endpoints` names {twice} twice")));
            }
        }
        let plan = plan(&service.config.rollout.plan, &deploy)?;
        if !live.weight.is_zero() {
            // A release begins at 0 %, and a kill must not bring the share of before back.
            let words = format!("release {id} begins at 0%");
            self.change_share(name, Weight::ZERO, "weight", &Cause { words, ..cause.clone() });
        }
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        let live = &mut service.live;
        live.archive();
        let known = live.pools.entry(pool.clone()).or_insert_with(LivePool::default);
        known.version = Some(deploy.version.clone());
        known.release = Some(id.clone());
        if let Some(endpoints) = deploy.endpoints {
            known.endpoints = Some(endpoints);
        }
        live.previous = None;
        live.retire_at_ms = None;
        live.watch = None;
        live.rollout = Some(Rollout {
            id,
            version: deploy.version,
            pool: pool.clone(),
            state: State::Idle,
            started_ms: millis(clock::unix()),
            ended_ms: None,
            canary_requests: 0,
            canary_errors: 0,
            decisions: Vec::new(),
            judge: None,
            ab: (plan.strategy == Strategy::Ab).then(Box::default),
            deployed: false,
            gates: Vec::new(),
            rehearsal: None,
            plan,
            routes,
        });
        service.verdict = None;
        service.forget(&pool);
        self.publisher.turn(name, &pool);
        self.apply(name, Event::Deploy, cause)
            .map_err(|refused| Refusal::Conflict(refused.to_string()))
    }

    fn retry(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        let Some(id) = service.live.rejected.pop() else {
            return Err(Refusal::Conflict(format!("service `{name}`: no release is rejected")));
        };
        tracing::info!(service = name, id, "allowed again");
        self.persist(name);
        Ok(())
    }

    fn freeze(&mut self, name: &str, until_ms: Option<u64>, asker: &Asker) -> Result<(), Refusal> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        let now = millis(clock::unix());
        if until_ms.is_some_and(|until| until <= now) {
            return Err(Refusal::Invalid("`until` must be in the future".into()));
        }
        let Asker { actor, why, .. } = asker.clone();
        tracing::warn!(service = name, actor, "frozen: nothing goes forward");
        service.live.freeze = Some(Freeze { since_ms: now, until_ms, actor, why });
        if service.drop_move() {
            // A hook that it waited for may take minutes, and must not move anything then.
            self.errands.cancel(name);
        }
        self.persist(name);
        Ok(())
    }

    fn thaw(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        if service.live.freeze.take().is_some() {
            tracing::info!(service = name, "thawed: releases may go forward again");
            self.persist(name);
        }
        Ok(())
    }

    fn drain_endpoint(
        &mut self,
        name: &str,
        pool: &str,
        endpoint: Target,
        out: bool,
    ) -> Result<(), Refusal> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        if !service.config.pools.contains_key(pool) {
            return Err(Refusal::NotFound(format!("service `{name}` has no pool `{pool}`")));
        }
        if !service.live.targets(pool, &service.config).contains(&endpoint) {
            return Err(Refusal::NotFound(format!("pool `{pool}` has no endpoint `{endpoint}`")));
        }
        let drained = &mut service.live.pools.entry(pool.to_owned()).or_default().drained;
        if out {
            drained.insert(endpoint);
        } else {
            drained.remove(&endpoint);
        }
        self.publisher.publish(service);
        self.persist(name);
        Ok(())
    }
}

impl Service {
    /// Nothing goes forward whose way back could be forgotten.
    fn can_be_written(&self) -> Result<(), Refusal> {
        let Some(error) = &self.write_error else { return Ok(()) };
        let name = &self.config.name;
        Err(Refusal::Conflict(format!(
            "service `{name}`: its state cannot be written ({error}), so a rollback could be forgotten; mend that first"
        )))
    }
}

/// Whether `action` would put more users on a new version.
fn goes_forward(action: &Action, weight: Weight) -> bool {
    match action {
        Action::Deploy(_) | Action::Promote { .. } | Action::Resume => true,
        Action::Weight(wanted) => *wanted > weight,
        _ => false,
    }
}

/// The plan of a deploy: the file's, with what the deploy says instead.
fn plan(file: &Plan, deploy: &Deploy) -> Result<Plan, Refusal> {
    let mut plan = file.clone();
    let mut own = None;
    if let Some(strategy) = deploy.strategy
        && strategy != plan.strategy
    {
        plan.strategy = strategy;
        own = Some(default_steps(strategy));
    }
    if let Some(steps) = &deploy.steps {
        if steps.len() > STEPS_MAX {
            return Err(Refusal::Invalid(format!("`steps` must be at most {STEPS_MAX}")));
        }
        let steps: Vec<_> =
            steps.iter().map(super::command::DeployStep::step).collect::<Result<_, _>>()?;
        if plan.strategy == Strategy::Ab && steps.len() != 1 {
            return Err(Refusal::Invalid("`steps`: strategy `ab` holds one weight".into()));
        }
        check_steps(&steps).map_err(|bad| {
            let which = bad.step.map_or(String::new(), |step| format!("step {}: ", step + 1));
            Refusal::Invalid(format!("`steps`: {which}{}", bad.message))
        })?;
        own = Some(steps);
    }
    if let Some(steps) = own {
        plan.replace_steps(steps);
    }
    Ok(plan)
}

fn impossible(event: Event, state: State) -> String {
    let what = match event {
        Event::Promote | Event::PromoteFull => "promote",
        Event::Pause => "pause",
        Event::Resume => "resume",
        Event::Abort => "abort",
        _ => "undo",
    };
    match state {
        State::Idle => format!("cannot {what}: there is no rollout"),
        State::Running { moving: Some(_), .. } => {
            format!(
                "cannot {what} while the next stage waits for the disk or for a hook; ask again, or pause it to give the move up"
            )
        }
        State::Running { stage: rollout::Stage::Gate, .. } if what == "promote" => {
            "cannot promote: no release skips its gates".into()
        }
        state => format!("cannot {what}: the rollout is in state {}", state.name()),
    }
}
