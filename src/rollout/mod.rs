//! The rollout state machine: what has been observed goes in, what to do comes out.
//!
//! ```text
//!            Deploy         GatePassed          Advance, last step          GuardOver
//!   Idle ────────────▶ Gate ──────────▶ Step(k) ───────────────────▶ Guard ──────────▶ Promoted
//!   Ended ───────────▶  │               │  ▲ │ Advance, approval wanted │                  │ Undo
//!                       │               │  │ └──▶ Approval(k) ──────────┤ Promote          ▼
//!                       │ GateFailed    │  └── Advance: next step       │                Undone
//!                       ▼               ▼                               ▼
//!                   GateFailed      RolledBack ◀──────────────── Fail, Abort, Undo
//! ```
//!
//! A move forward is written down before it is made: the target waits in `moving` until `Stored`.
//! A move back is made first. Nothing here knows the time: holds, deadlines and the guard's end
//! are events, so neither a pause nor a restart can count as minutes of good behaviour.

pub mod plan;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::split::Weight;
use plan::{OnInconclusive, Plan, Strategy};

/// Where a running rollout stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The canary is being checked and gets no traffic.
    Gate,
    /// The canary holds the weight of this step and is judged.
    Step(usize),
    /// This step passed and waits for a person.
    Approval(usize),
    /// The canary holds all traffic, with the previous pool warm.
    Guard,
    /// The canary became stable; only ever the target of a move.
    Done,
}

impl Stage {
    /// The stage in words.
    pub fn name(self) -> String {
        match self {
            Self::Gate => "the gates".into(),
            Self::Step(step) => format!("step {}", step + 1),
            Self::Approval(step) => format!("the approval of step {}", step + 1),
            Self::Guard => "the guard".into(),
            Self::Done => "promoted".into(),
        }
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The canary became stable.
    Promoted,
    /// The canary lost all traffic.
    RolledBack,
    /// The canary never got any traffic.
    GateFailed,
    /// Promoted, then put back.
    Undone,
}

/// The state of a service's rollout.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There never was one.
    #[default]
    Idle,
    /// One runs.
    Running {
        /// The last confirmed stage: what a restart comes back to.
        stage: Stage,
        /// The stage that is being written down before it is entered.
        moving: Option<Stage>,
        /// Whether an operator holds it. A paused canary is still judged.
        paused: bool,
    },
    /// The last one ended.
    Ended(End),
}

/// What may happen to a rollout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// An operator starts a release.
    Deploy,
    /// Every gate passed, with results newer than the deploy.
    GatePassed,
    /// A gate failed, or did not pass in time.
    GateFailed,
    /// The pending move is on disk.
    Stored,
    /// The judge found the step passed.
    Advance,
    /// The judge found the canary worse, or the canary has no endpoint left.
    Fail,
    /// The step's deadline passed undecided.
    Deadline,
    /// The guard's time passed without a bad verdict.
    GuardOver,
    /// An operator moves it one stage forward.
    Promote,
    /// An operator skips the remaining steps.
    PromoteFull,
    /// An operator holds it.
    Pause,
    /// An operator lets it go on.
    Resume,
    /// An operator gives up on it.
    Abort,
    /// An operator wants the old version back.
    Undo,
    /// The process came back.
    Restarted,
    /// The machine came back: a rollback's intent may have been lost with it.
    Rebooted,
}

/// What the shell has to do, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Forget what health checks said of the canary before now, and draw a new salt.
    Renew,
    /// Write the intent to roll back, without waiting for the disk.
    Intent,
    /// Exchange the stable and the canary pool.
    Swap,
    /// Publish the table that follows from the state.
    Publish,
    /// Write the state to disk; a pending move is answered with [`Event::Stored`].
    Persist,
    /// Begin the stage's observation anew.
    Observe,
}

/// The event does not apply in this state; nothing changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not possible in this state")
    }
}

/// The state after an event, and what to do.
pub type Next = (State, &'static [Effect]);

const BACK: &[Effect] = &[Effect::Intent, Effect::Publish, Effect::Persist];

/// Returns the state after `event`, and what to do about it.
pub fn next(state: State, event: Event, plan: &Plan) -> Result<Next, Refused> {
    use Effect::{Intent, Observe, Persist, Publish, Renew, Swap};
    let State::Running { stage, moving, paused } = state else {
        return match (state, event) {
            (State::Idle | State::Ended(_), Event::Deploy) => {
                Ok((at(Stage::Gate), &[Renew, Publish, Persist, Observe]))
            }
            (State::Ended(End::Promoted), Event::Undo) => {
                Ok((State::Ended(End::Undone), &[Intent, Swap, Publish, Persist]))
            }
            // Giving up twice is giving up once.
            (State::Ended(End::RolledBack | End::GateFailed | End::Undone), Event::Abort) => {
                Ok((state, &[]))
            }
            (_, Event::Restarted | Event::Rebooted) => Ok((state, &[Publish])),
            _ => Err(Refused),
        };
    };
    match (event, stage) {
        // Past the point of no return the old version may not understand the new one's data: what
        // is left is to stand still and call a person.
        (Event::Fail, _) if plan.is_irreversible(stage) => {
            let frozen = State::Running { stage, moving: None, paused: true };
            Ok((frozen, if state == frozen { &[] } else { &[Persist] }))
        }
        (Event::Fail | Event::Abort, _) => Ok((State::Ended(End::RolledBack), BACK)),
        (Event::Undo, Stage::Guard) => Ok((State::Ended(End::RolledBack), BACK)),
        (Event::GateFailed, Stage::Gate) if moving.is_none() => {
            Ok((State::Ended(End::GateFailed), BACK))
        }
        // A move that is still being written down is not made any more.
        (Event::Pause, _) if !paused => {
            Ok((State::Running { stage, moving: None, paused: true }, &[Persist]))
        }
        (Event::Resume, _) if paused => {
            Ok((State::Running { stage, moving, paused: false }, &[Persist, Observe]))
        }
        (Event::Stored, _) => match moving {
            Some(Stage::Done) => Ok((State::Ended(End::Promoted), &[Swap, Publish, Persist])),
            Some(stage) => {
                Ok((State::Running { stage, moving: None, paused }, &[Publish, Persist, Observe]))
            }
            None => Err(Refused),
        },
        // What was pending never happened; what was confirmed is begun anew.
        (Event::Restarted, _) => {
            Ok((State::Running { stage, moving: None, paused }, &[Publish, Persist, Observe]))
        }
        (Event::Rebooted, _) if plan.is_irreversible(stage) => next(state, Event::Restarted, plan),
        (Event::Rebooted, _) => Ok((
            State::Running { stage: Stage::Gate, moving: None, paused },
            &[Renew, Publish, Persist, Observe],
        )),
        _ if moving.is_some() => Err(Refused),
        (Event::Promote | Event::PromoteFull | Event::Advance, _)
            if plan.strategy == Strategy::Ab =>
        {
            Err(Refused)
        }
        (Event::Promote, _) => ahead(stage, plan, true).ok_or(Refused),
        (Event::PromoteFull, Stage::Step(_) | Stage::Approval(_)) => {
            Ok(move_to(stage, Stage::Guard))
        }
        _ if paused => Err(Refused),
        (Event::GatePassed, Stage::Gate) => Ok(move_to(stage, Stage::Step(0))),
        (Event::Advance, Stage::Step(_)) => ahead(stage, plan, false).ok_or(Refused),
        (Event::Deadline, Stage::Step(_)) => match plan.on_inconclusive {
            OnInconclusive::Hold => Ok((state, &[])),
            OnInconclusive::Advance => ahead(stage, plan, false).ok_or(Refused),
            OnInconclusive::Rollback => next(state, Event::Fail, plan),
        },
        (Event::GuardOver, Stage::Guard) => Ok(move_to(stage, Stage::Done)),
        _ => Err(Refused),
    }
}

/// The canary's share that follows from `state`; `by_hand` is what it is while no rollout runs.
pub fn weight(state: State, plan: &Plan, by_hand: Weight) -> Weight {
    match state {
        State::Running { stage, .. } => match stage {
            Stage::Gate => Weight::ZERO,
            Stage::Step(step) | Stage::Approval(step) => {
                plan.steps.get(step).map_or(Weight::ZERO, |step| step.weight)
            }
            Stage::Guard | Stage::Done => Weight::FULL,
        },
        State::Idle | State::Ended(_) => by_hand,
    }
}

const fn at(stage: Stage) -> State {
    State::Running { stage, moving: None, paused: false }
}

/// The move to the stage after `stage`. A person's `promote` stands in for the approval.
fn ahead(stage: Stage, plan: &Plan, by_person: bool) -> Option<Next> {
    let after = |step: usize| {
        if step + 1 < plan.steps.len() { Stage::Step(step + 1) } else { Stage::Guard }
    };
    let to = match stage {
        Stage::Step(step) => {
            let wants_approval = plan.steps.get(step).is_some_and(|step| step.approval);
            if wants_approval && !by_person { Stage::Approval(step) } else { after(step) }
        }
        Stage::Approval(step) => after(step),
        Stage::Guard => Stage::Done,
        // No gate may be skipped.
        Stage::Gate | Stage::Done => return None,
    };
    Some(move_to(stage, to))
}

const fn move_to(stage: Stage, to: Stage) -> Next {
    (State::Running { stage, moving: Some(to), paused: false }, &[Effect::Persist])
}

impl State {
    /// Whether a rollout runs.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// The stage of a running rollout.
    pub const fn stage(self) -> Option<Stage> {
        match self {
            Self::Running { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// The state's name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running { paused: true, .. } => "paused",
            Self::Running { stage: Stage::Gate, .. } => "gate",
            Self::Running { stage: Stage::Step(_), .. } => "step",
            Self::Running { stage: Stage::Approval(_), .. } => "approval",
            Self::Running { stage: Stage::Guard | Stage::Done, .. } => "guard",
            Self::Ended(End::Promoted) => "promoted",
            Self::Ended(End::RolledBack) => "rolled_back",
            Self::Ended(End::GateFailed) => "gate_failed",
            Self::Ended(End::Undone) => "undone",
        }
    }
}

/// Every name that [`State::name`] returns.
pub const STATE_NAMES: [&str; 10] = [
    "idle",
    "paused",
    "gate",
    "step",
    "approval",
    "guard",
    "promoted",
    "rolled_back",
    "gate_failed",
    "undone",
];

#[cfg(test)]
mod tests;
