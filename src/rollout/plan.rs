//! A plan: how a release moves from its first request to all of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::judge::{Purpose, StepRule};
use crate::split::Weight;

/// How a rollout moves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Many steps, each judged.
    Canary,
    /// One short 1 % step, then the switch.
    BlueGreen,
    /// A lasting split that is reported on and never promoted.
    Ab,
}

/// What happens when a step's deadline passes and the judge is still undecided.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInconclusive {
    /// Stay, and alarm.
    Hold,
    /// Go on.
    Advance,
    /// Go back.
    Rollback,
}

/// One step of a plan. It ends when requests, time and judge agree.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Step {
    /// The canary's share during the step.
    pub weight: Weight,
    /// The least number of canary requests.
    pub requests: u64,
    /// The least time of observation.
    pub hold: Duration,
    /// Whether the step also waits for `promote`.
    #[serde(default)]
    pub approval: bool,
}

/// A checked plan: the weights rise, none is 0 % and there is at least one step.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// How the rollout moves.
    pub strategy: Strategy,
    /// At least one.
    pub steps: Vec<Step>,
    /// Watched at 100 % with the previous pool warm for this long.
    pub guard: Duration,
    /// How long after promotion the previous pool is kept for `undo`.
    pub retire_after: Duration,
    /// Of a step.
    pub deadline: Duration,
    /// What the deadline does.
    pub on_inconclusive: OnInconclusive,
    /// The step, from 0, from which on nothing is rolled back any more: the release freezes and
    /// alarms instead.
    #[serde(default)]
    pub irreversible_from: Option<usize>,
}

/// The least number of canary requests of a step that names none.
pub const REQUESTS: u64 = 100;
/// The least time of a step that names none.
pub const HOLD: Duration = Duration::from_secs(60);

impl Plan {
    /// The default plan of `strategy`.
    pub fn default_of(strategy: Strategy) -> Self {
        Self {
            strategy,
            steps: default_steps(strategy),
            guard: Duration::from_secs(5 * 60),
            retire_after: Duration::from_secs(15 * 60),
            deadline: Duration::from_secs(60 * 60),
            on_inconclusive: OnInconclusive::Hold,
            irreversible_from: None,
        }
    }

    /// Puts `steps` in place of its own. The point of no return stays at its share: it is the first
    /// step that gives as much, or the guard where none does.
    pub fn replace_steps(&mut self, steps: Vec<Step>) {
        let share = self.irreversible_from.map(|from| self.steps.get(from).map(|step| step.weight));
        self.irreversible_from = share.map(|share| {
            let reaches = |step: &Step| share.is_some_and(|share| step.weight >= share);
            steps.iter().position(reaches).unwrap_or(steps.len())
        });
        self.steps = steps;
    }

    /// Whether a release at `stage` may no longer be rolled back by itself.
    pub fn is_irreversible(&self, stage: Stage) -> bool {
        self.irreversible_from.is_some_and(|from| match stage {
            Stage::Gate => false,
            Stage::Step(step) | Stage::Approval(step) => step >= from,
            Stage::Guard | Stage::Done => true,
        })
    }

    /// What the judge is told of the steps.
    pub fn rules(&self) -> Vec<StepRule> {
        let rule = |step: &Step| StepRule {
            weight: step.weight.fraction(),
            requests: step.requests,
            hold_s: step.hold.as_secs_f64(),
        };
        self.steps.iter().map(rule).collect()
    }

    /// What the judge judges for.
    pub const fn purpose(&self) -> Purpose {
        match self.strategy {
            Strategy::Canary => Purpose::Canary,
            Strategy::BlueGreen => Purpose::BlueGreen,
            Strategy::Ab => Purpose::Watch,
        }
    }

    /// The canary's share at each step.
    pub fn weights(&self) -> impl Iterator<Item = Weight> + '_ {
        self.steps.iter().map(|step| step.weight)
    }
}

/// The steps of `strategy` where the file names none.
pub fn default_steps(strategy: Strategy) -> Vec<Step> {
    let step = |basis_points, requests, hold_s| Step {
        weight: Weight::from_basis_points(basis_points).unwrap_or_default(),
        requests,
        hold: Duration::from_secs(hold_s),
        approval: false,
    };
    match strategy {
        Strategy::Canary => vec![
            step(100, REQUESTS, 10),
            step(500, REQUESTS, 50),
            step(1_000, REQUESTS, 100),
            step(2_500, REQUESTS, 250),
            step(5_000, REQUESTS, 300),
        ],
        Strategy::BlueGreen => vec![step(100, 20, 60)],
        Strategy::Ab => vec![step(5_000, REQUESTS, 60)],
    }
}

/// Why a list of steps is no plan, and the index of the step at fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadSteps {
    /// Which step, when one is to blame.
    pub step: Option<usize>,
    /// What is wrong with it.
    pub message: &'static str,
}

/// Checks that `steps` rise from above 0 % and that there is at least one.
pub fn check_steps(steps: &[Step]) -> Result<(), BadSteps> {
    if steps.is_empty() {
        return Err(BadSteps { step: None, message: "a plan needs at least one step" });
    }
    for (index, step) in steps.iter().enumerate() {
        let bad = |message| Err(BadSteps { step: Some(index), message });
        if step.weight.is_zero() {
            return bad("a step sends the canary more than 0%");
        }
        if step.requests == 0 {
            return bad("a step needs at least one request, or it would pass without data");
        }
        if index > 0 && step.weight <= steps[index - 1].weight {
            return bad("each step must be larger than the one before");
        }
    }
    Ok(())
}
