use std::fmt::Write;

use super::plan::{BadSteps, Step, Strategy, check_steps, default_steps};
use super::*;

/// Two steps; the first wants an approval.
fn plan() -> Plan {
    let mut plan = Plan::default_of(Strategy::Canary);
    plan.steps.truncate(2);
    plan.steps[0].approval = true;
    plan
}

const STAGES: [Stage; 6] =
    [Stage::Gate, Stage::Step(0), Stage::Step(1), Stage::Approval(0), Stage::Guard, Stage::Done];
const EVENTS: [Event; 16] = [
    Event::Deploy,
    Event::GatePassed,
    Event::GateFailed,
    Event::Stored,
    Event::Advance,
    Event::Fail,
    Event::Deadline,
    Event::GuardOver,
    Event::Promote,
    Event::PromoteFull,
    Event::Pause,
    Event::Resume,
    Event::Abort,
    Event::Undo,
    Event::Restarted,
    Event::Rebooted,
];

fn states() -> Vec<State> {
    let mut states = vec![State::Idle];
    states.extend([End::Promoted, End::RolledBack, End::GateFailed, End::Undone].map(State::Ended));
    for stage in STAGES.into_iter().filter(|stage| *stage != Stage::Done) {
        for moving in std::iter::once(None).chain(STAGES.map(Some)) {
            for paused in [false, true] {
                states.push(State::Running { stage, moving, paused });
            }
        }
    }
    states
}

/// Every state meets every event; the table is the file, rewritten with `REWRITE=1`.
#[test]
fn transitions() {
    let mut got = String::new();
    for state in states() {
        for event in EVENTS {
            let cell = match next(state, event, &plan()) {
                Err(Refused) => continue,
                Ok((after, effects)) => format!("{} {effects:?}", show(after)),
            };
            writeln!(got, "{} + {event:?} = {cell}", show(state)).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/rollout.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(path).unwrap(), "REWRITE=1 and read the diff");
}

fn show(state: State) -> String {
    match state {
        State::Running { stage, moving, paused } => {
            let moving = moving.map_or(String::new(), |to| format!(" -> {to:?}"));
            format!("{stage:?}{moving}{}", if paused { " (paused)" } else { "" })
        }
        other => format!("{other:?}"),
    }
}

/// The rules that must hold whatever the table says.
#[test]
fn no_event_breaks_the_promises() {
    let plan = plan();
    for state in states() {
        let before = weight(state, &plan, Weight::ZERO);
        for event in EVENTS {
            let Ok((after, effects)) = next(state, event, &plan) else { continue };
            let share = weight(after, &plan, Weight::ZERO);
            let place = format!("{} + {event:?}", show(state));
            if share > before {
                assert_eq!(event, Event::Stored, "{place}: forward before it was stored");
            }
            if share < before {
                let publish = effects.iter().position(|e| *e == Effect::Publish);
                let persist = effects.iter().position(|e| *e == Effect::Persist);
                assert!(publish < persist, "{place}: the disk delays a move back");
            }
            if matches!(event, Event::Restarted | Event::Rebooted) {
                assert!(share <= before, "{place}: a restart moved forward");
            }
            if matches!(event, Event::Abort | Event::Fail) && state.is_running() {
                assert_eq!(share, Weight::ZERO, "{place}");
            }
            if state.stage() == Some(Stage::Gate) && event != Event::Stored {
                assert_eq!(share, Weight::ZERO, "{place}: traffic before the gates");
            }
        }
    }
}

#[test]
fn a_bad_verdict_is_heard_in_every_running_state() {
    for state in states().into_iter().filter(|state| state.is_running()) {
        let after = next(state, Event::Fail, &plan()).map(|next| next.0);
        assert_eq!(after, Ok(State::Ended(End::RolledBack)), "{}", show(state));
    }
}

/// Past the point of no return a bad verdict changes no share: it stops everything and stays.
#[test]
fn past_the_point_of_no_return_a_bad_verdict_freezes() {
    let plan = Plan { irreversible_from: Some(1), ..plan() };
    for state in states().into_iter().filter(|state| state.is_running()) {
        let Some(stage) = state.stage() else { continue };
        let (after, effects) = next(state, Event::Fail, &plan).unwrap();
        if matches!(stage, Stage::Gate | Stage::Step(0) | Stage::Approval(0)) {
            assert_eq!(after, State::Ended(End::RolledBack), "{}", show(state));
            continue;
        }
        let frozen = State::Running { stage, moving: None, paused: true };
        assert_eq!(after, frozen, "{}", show(state));
        assert_eq!(effects.is_empty(), state == frozen, "said once: {}", show(state));
        let rebooted = next(state, Event::Rebooted, &plan).unwrap().0;
        assert_eq!(rebooted.stage(), Some(stage), "a reboot is no way back either");
        assert_eq!(next(state, Event::Abort, &plan).unwrap().0, State::Ended(End::RolledBack));
    }
}

#[test]
fn a_lasting_split_is_never_promoted() {
    let plan = Plan::default_of(Strategy::Ab);
    for state in states().into_iter().filter(|state| state.is_running()) {
        for event in [Event::Promote, Event::PromoteFull, Event::Advance] {
            assert_eq!(next(state, event, &plan), Err(Refused), "{} + {event:?}", show(state));
        }
    }
}

#[test]
fn every_state_has_a_listed_name() {
    for state in states() {
        assert!(STATE_NAMES.contains(&state.name()), "{state:?}");
    }
}

#[test]
fn steps_rise_from_above_nothing() {
    let of = |bp: &[u16]| {
        let step = default_steps(Strategy::BlueGreen)[0];
        bp.iter()
            .map(|bp| Step { weight: Weight::from_basis_points(*bp).unwrap(), ..step })
            .collect::<Vec<_>>()
    };
    assert_eq!(check_steps(&of(&[100, 500])), Ok(()));
    let bad = |bp: &[u16]| check_steps(&of(bp)).map_err(|BadSteps { step, .. }| step);
    assert_eq!(bad(&[]), Err(None));
    assert_eq!(bad(&[0]), Err(Some(0)));
    assert_eq!(bad(&[100, 500, 500]), Err(Some(2)));
    assert_eq!(check_steps(&default_steps(Strategy::Canary)), Ok(()));
    assert_eq!(check_steps(&default_steps(Strategy::BlueGreen)), Ok(()));
}

#[test]
fn the_point_of_no_return_is_a_share_whatever_the_steps() {
    let steps = |shares: &[u16]| -> Vec<Step> {
        let step = |share: &u16| Step {
            weight: Weight::from_basis_points(share * 100).unwrap(),
            ..default_steps(Strategy::Canary)[0]
        };
        shares.iter().map(step).collect()
    };
    for (file, from, own, then) in [
        (&[1, 5, 10, 25, 50][..], Some(3), &[50][..], Some(0)),
        (&[1, 5, 10, 25, 50], Some(3), &[1, 2, 3, 4, 30], Some(4)),
        (&[1, 5, 10, 25, 50], Some(3), &[1, 2], Some(2)),
        (&[1, 5, 10, 25, 50], None, &[50], None),
    ] {
        let mut plan = plan();
        (plan.steps, plan.irreversible_from) = (steps(file), from);
        plan.replace_steps(steps(own));
        assert_eq!(plan.irreversible_from, then, "{own:?}");
        assert_eq!(plan.is_irreversible(Stage::Guard), from.is_some());
        let again = plan.steps.clone();
        plan.replace_steps(again);
        assert_eq!(plan.irreversible_from, then, "{own:?} once more");
    }
}
