//! What the record of a release holds beside its decisions.

use std::time::Duration;

use super::world::World;
use crate::control::publish::Cohort;
use crate::control::service::Remark;
use crate::judge::{Interval, Verdict};
use crate::measure::Delta;
use crate::rollout::Event;

/// `n` requests that the canary fails, or has failed.
fn fails(world: &World, n: u64) {
    let interval = Interval { n, errors: n, ..Interval::default() };
    let delta = Delta { interval, ..Delta::default() };
    let mut control = world.control();
    let shop = control.services.get_mut("shop").unwrap();
    let canary = shop.live.canary.clone().unwrap();
    shop.measured(&canary, Cohort::Pool, &delta);
}

fn counted(world: &World) -> (u64, u64) {
    let control = world.control();
    let rollout = control.services["shop"].live.rollout.as_ref().unwrap();
    (rollout.canary_requests, rollout.canary_errors)
}

fn decisions(world: &World) -> Vec<String> {
    let control = world.control();
    let rollout = control.services["shop"].live.rollout.as_ref().unwrap();
    rollout.decisions.iter().map(|known| known.decision.clone()).collect()
}

fn remark(world: &World, kind: &'static str) {
    world.control().remark("shop", Remark { kind, words: kind.to_owned() });
}

/// A canary that hangs fails its users when their time is out, after it was left.
#[test]
fn what_fails_after_a_rollback_is_still_the_releases_harm() {
    let mut world = World::new();
    world.reach_first_step("v1");
    fails(&world, 2);
    world.judged(Event::Fail);
    world.write_all();
    fails(&world, 3);
    assert_eq!(counted(&world), (5, 5));
    for _ in 0..30 {
        world.tick();
    }
    world.write_all();
    let world = world.killed();
    assert_eq!(counted(&world), (5, 5), "it is on disk");
}

/// What a share that is set by hand does later is not the release's.
#[test]
fn a_share_set_by_hand_is_not_charged_to_the_release_before() {
    let mut world = World::new();
    world.reach_first_step("v1");
    world.judged(Event::Fail);
    world.write_all();
    world.weight("5%");
    fails(&world, 3);
    assert_eq!(counted(&world), (0, 0));
}

#[test]
fn an_alarm_is_part_of_the_story_and_decides_nothing() {
    let mut world = World::new();
    world.reach_first_step("v1");
    remark(&world, "held");
    remark(&world, "alarm");
    remark(&world, "alarm_over");
    let story = decisions(&world);
    assert_eq!(story[story.len() - 3..], ["step", "alarm", "alarm_over"]);
    let last = |world: &World| {
        let control = world.control();
        control.services["shop"].live.rollout.as_ref().unwrap().last().unwrap().decision.clone()
    };
    assert_eq!(last(&world), "step");
    world.judged(Event::Fail);
    remark(&world, "alarm");
    assert_eq!(decisions(&world).last().unwrap(), "rolled_back", "the story has ended");
}

/// A pool that comes back may stumble for a while.
#[test]
fn an_alarm_that_comes_and_goes_is_one() {
    let mut world = World::new();
    world.reach_first_step("v1");
    let alarm = |world: &World, alarm, ticks| {
        let mut control = world.control();
        let shop = control.services.get_mut("shop").unwrap();
        let verdict = Verdict { alarm, ..Verdict::default() };
        let dt = Duration::from_millis(100);
        (0..ticks).for_each(|_| shop.alarm(&verdict, dt));
        shop.remarks.drain(..).map(|remark| remark.kind).collect::<Vec<_>>()
    };
    assert_eq!(alarm(&world, true, 10), ["alarm"]);
    assert!(alarm(&world, false, 49).is_empty());
    assert!(alarm(&world, true, 1).is_empty(), "it is still the same");
    assert!(alarm(&world, false, 49).is_empty());
    assert_eq!(alarm(&world, false, 50), ["alarm_over"], "once");
    assert_eq!(alarm(&world, true, 1), ["alarm"], "another");
}
