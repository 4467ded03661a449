//! When a command is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::world::{World, asker};
use crate::control::command::{Acted, Action, Refusal};
use crate::control::errand::Phase;
use crate::control::store::Store;
use crate::control::store::tests::memory::Memory;
use crate::rollout::Event;

/// Asks as the API does.
fn ask(world: &mut World, action: Action) -> oneshot::Receiver<Acted> {
    let (reply, answer) = oneshot::channel();
    world.control().asked("shop".into(), action, asker(0), reply);
    answer
}

#[test]
fn what_is_acknowledged_survives_a_kill() {
    let mut world = World::new();
    world.reach_first_step("v2");
    let mut answer = ask(&mut world, Action::Pause);
    assert!(answer.try_recv().is_err(), "it was acknowledged before it was written");
    world.write_all();
    assert_eq!(answer.try_recv().unwrap().unwrap().state, "paused");
    let world = world.killed();
    assert_eq!(world.state(), "paused");
}

#[test]
fn a_way_back_is_acknowledged_at_once_and_survives_too() {
    let mut world = World::new();
    world.reach_first_step("v2");
    let mut answer = ask(&mut world, Action::Abort);
    assert_eq!(answer.try_recv().unwrap().unwrap().state, "rolled_back");
    let mut world = world.killed();
    assert_eq!(world.state(), "rolled_back");

    world.write_all();
    world.weight("30%");
    world.write_all();
    let lower = Action::Weight("10%".parse().unwrap());
    assert!(ask(&mut world, lower).try_recv().is_ok());
    let mut world = world.killed();
    assert_eq!(world.published().weight.to_string(), "10%");
    // Its share goes at once; that it began is one more thing to write.
    world.write_all();
    let version = "v3".to_owned();
    let deploy =
        crate::control::Deploy { version, id: None, endpoints: None, strategy: None, steps: None };
    assert!(ask(&mut world, Action::Deploy(deploy)).try_recv().is_err());
}

#[test]
fn a_disk_that_hangs_makes_nobody_wait_for_long() {
    let mut world = World::new();
    world.reach_first_step("v2");
    let mut answer = ask(&mut world, Action::Pause);
    // A tick is a tenth of a second.
    for _ in 0..9 {
        world.tick();
    }
    assert!(answer.try_recv().is_err());
    world.tick();
    world.tick();
    assert!(answer.try_recv().unwrap().is_ok());
    // Nothing was written for this one: it is refused, and there is nothing to wait for.
    let refused = ask(&mut world, Action::Pause).try_recv().unwrap();
    assert!(matches!(refused, Err(Refusal::Conflict(_))));
    world.control().acknowledge(Duration::ZERO);
}

#[test]
fn a_hook_that_a_kill_came_before_is_called_after_it() {
    let calls = |world: &World| -> Vec<Phase> {
        let control = world.control();
        control.services["shop"].live.calls.iter().map(|call| call.phase).collect()
    };
    let mut world = World::new();
    world.reach_first_step("v2");
    world.write_all();
    let before = calls(&world);
    world.judged(Event::Fail);
    let after = calls(&world);
    assert!(after.len() > before.len(), "{after:?}");
    // The state on disk is that of the step; the intent is all that there is of the rollback.
    let mut world = world.killed();
    assert_eq!(world.state(), "rolled_back");
    assert_eq!(calls(&world), after, "written by an intent");
    world.write_all();
    assert_eq!(calls(&world.killed()), after, "written by a state");
}

#[test]
fn what_others_have_overwritten_is_not_acknowledged() {
    let memory = Arc::new(Memory::default());
    let mut world = World::on_store(Arc::clone(&memory) as _);
    world.weight("30%");
    world.write_all();
    let ours = memory.get("shop").unwrap();
    let mut answer = ask(&mut world, Action::Weight("50%".parse().unwrap()));
    memory.other_puts("shop", &ours.state.unwrap());
    world.write_all();
    assert_eq!(world.published().weight.to_string(), "30%");
    let refused = answer.try_recv().unwrap();
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "it was told that it is done");
}
