//! What is held is held: by a freeze, by an observation that began anew, by what is still to do.

use super::world::World;
use crate::config::Hook;
use crate::control::command::Action;
use crate::control::errand::{News, Phase, What};
use crate::rollout::Event;
use crate::rollout::plan::OnInconclusive;
use std::time::Duration;

fn share(world: &World) -> String {
    world.published().weight.to_string()
}

/// The deadline of a step, and that it is a rollback.
fn rolls_back_after(world: &World, deadline: Duration) {
    let mut control = world.control();
    let shop = control.services.get_mut("shop").unwrap();
    let plan = &mut shop.live.rollout.as_mut().unwrap().plan;
    (plan.deadline, plan.on_inconclusive) = (deadline, OnInconclusive::Rollback);
}

const FREEZE: Action = Action::Freeze { until_ms: None };

#[test]
fn a_change_of_health_carries_no_frozen_release_past_its_gates() {
    let mut world = World::new();
    world.deploy("v2");
    world.write_all();
    world.act(FREEZE);
    world.healthy();
    world.write_all();
    assert_eq!(world.state(), "gate");
    world.act(Action::Thaw);
    world.tick();
    world.write_all();
    assert_eq!(world.state(), "step");
}

#[test]
fn a_freeze_stops_a_move_that_is_not_made_yet() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.judged(Event::Advance);
    world.act(FREEZE);
    world.write_all();
    assert_eq!(share(&world), "5%");
    world.act(Action::Thaw);
    world.judged(Event::Advance);
    world.write_all();
    assert_eq!(share(&world), "50%");
}

#[test]
fn a_move_does_not_outlive_what_it_was_decided_on() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.judged(Event::Advance);
    world.control().services.get_mut("shop").unwrap().observe_anew();
    world.write_all();
    assert_eq!(share(&world), "5%");
    world.judged(Event::Advance);
    world.write_all();
    assert_eq!(share(&world), "50%", "it waits for ever");
}

#[test]
fn a_deadline_that_passes_in_a_freeze_is_not_forgotten() {
    let mut world = World::new();
    world.reach_first_step("v2");
    rolls_back_after(&world, Duration::ZERO);
    world.act(FREEZE);
    world.tick();
    assert_eq!(world.state(), "step");
    world.act(Action::Thaw);
    world.tick();
    assert_eq!(world.state(), "rolled_back");
}

#[test]
fn a_kill_in_a_way_back_forgets_no_hook() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.judged(Event::Fail);
    let world = world.killed();
    assert_eq!(world.state(), "rolled_back");
    let control = world.control();
    let calls = &control.services["shop"].live.calls;
    let phases: Vec<_> = calls.iter().map(|call| (call.phase, call.release.as_str())).collect();
    assert_eq!(phases, [(Phase::RolledBack, "v2"), (Phase::After, "v2")]);
}

#[test]
fn a_release_waits_until_the_hooks_of_the_one_before_were_called_about_their_own() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.judged(Event::Fail);
    world.write_all();
    world.control().services.get_mut("shop").unwrap().config.rollout.hooks.rolled_back =
        Some(Hook::Command(vec!["true".into()]));
    world.deploy("v3");
    world.write_all();
    world.healthy();
    let (number, call) = world.control().services["shop"].calling.clone().unwrap();
    assert_eq!((call.phase, call.release.as_str()), (Phase::RolledBack, "v2"));
    world.write_all();
    assert_eq!(world.state(), "gate");
    let what =
        What::Hook { phase: Phase::RolledBack, result: Ok(String::new()), took: Duration::ZERO };
    world.control().heard(News { service: "shop".into(), number, what });
    assert_eq!(world.control().services["shop"].live.calls.len(), 1, "what is done is not kept");
    world.tick();
    world.healthy();
    world.write_all();
    assert_eq!(world.state(), "step");
}

#[test]
fn a_name_that_the_hook_deploy_makes_resolve_does_not_call_it_again() {
    let mut world = World::new();
    let hook = Hook::Command(vec!["sleep".into(), "60".into()]);
    world.control().services.get_mut("shop").unwrap().config.rollout.hooks.deploy = Some(hook);
    world.deploy("v2");
    world.write_all();
    world.tick();
    let awaited = |world: &World| world.control().services["shop"].awaited;
    let number = awaited(&world);
    assert!(number.is_some(), "the hook was not called");
    // As control does when other addresses were found.
    world.control().services.get_mut("shop").unwrap().observe_anew();
    world.tick();
    assert_eq!(awaited(&world), number, "it was called again");
    let what = What::Hook { phase: Phase::Deploy, result: Ok(String::new()), took: Duration::ZERO };
    let news =
        |number: Option<u64>, what| News { service: "shop".into(), number: number.unwrap(), what };
    world.control().heard(news(number, what));
    world.healthy();
    world.write_all();
    assert_eq!(world.state(), "step");

    // The next release calls it anew, though this one ends amid its own.
    world.judged(Event::Fail);
    world.write_all();
    world.deploy("v3");
    world.write_all();
    world.tick();
    let before = awaited(&world);
    world.act(Action::Abort);
    world.write_all();
    world.deploy("v4");
    world.write_all();
    world.tick();
    assert!(awaited(&world).is_some() && awaited(&world) != before, "it waits for ever");
}

#[test]
fn an_observation_that_begins_anew_again_and_again_meets_the_deadline_all_the_same() {
    let mut world = World::new();
    world.reach_first_step("v2");
    rolls_back_after(&world, Duration::from_secs(2));
    for _ in 0..25 {
        // As control does when the canary's name leads elsewhere.
        world.control().services.get_mut("shop").unwrap().observe_anew();
        world.tick();
    }
    assert_eq!(world.state(), "rolled_back");
}

#[test]
fn nothing_goes_forward_while_the_state_cannot_be_written() {
    let mut world = World::new();
    world.weight("5%");
    world.write_all();
    world.control().services.get_mut("shop").unwrap().cannot_write("the disk is full");
    let raise = Action::Weight("10%".parse().unwrap());
    let refused = world.control().act("shop", raise, super::world::asker(9)).unwrap_err();
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    world.weight("1%");
    assert_eq!(share(&world), "1%");
}
