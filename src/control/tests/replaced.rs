//! Somebody else writes a state: a person with an editor, or another replica.

use std::sync::Arc;

use serde_json::Value;

use super::recorder::{Files, STATE};
use super::world::World;
use crate::control::command::Action;
use crate::control::store::tests::memory::Memory;
use crate::control::store::{Durability, Revision, Store};
use crate::rollout::Event;

fn state(files: &Files) -> Value {
    serde_json::from_slice(&files[std::path::Path::new(STATE)]).unwrap()
}

/// Puts `edit` of the state in its place, as the write after the last one.
fn edit(world: &World, edit: impl FnOnce(&mut Value)) {
    world.disk.edit(STATE, |bytes| {
        let mut state: Value = serde_json::from_slice(bytes).unwrap();
        state["revision"] = (state["revision"].as_u64().unwrap() + 100).into();
        edit(&mut state);
        *bytes = serde_json::to_vec_pretty(&state).unwrap();
    });
}

#[test]
fn a_state_edited_by_hand_is_taken_over_with_the_next_write() {
    let mut world = World::new();
    world.weight("30%");
    world.write_all();
    edit(&world, |state| state["weight"] = "7%".into());
    // Two writes are under way when the first of them finds out.
    world.weight("50%");
    world.weight("60%");
    world.write_one();
    assert_eq!(world.published().weight.to_string(), "7%");
    world.weight("20%");
    // What the second finds out is known already, and takes nothing back.
    world.write_one();
    assert_eq!(world.published().weight.to_string(), "20%");
    world.write_all();
    assert_eq!(state(&world.disk.files())["weight"], "20%", "it is not written any more");
    assert_eq!(world.killed().published().weight.to_string(), "20%");
}

#[test]
fn a_move_that_meets_another_state_is_not_made() {
    let mut world = World::new();
    world.reach_first_step("v2");
    edit(&world, |_| {});
    world.judged(Event::Advance);
    world.write_all();
    // The step that was confirmed is begun anew.
    assert_eq!(
        (world.state().as_str(), world.published().weight.to_string()),
        ("step", "5%".into())
    );
    world.judged(Event::Advance);
    world.write_all();
    assert_eq!(world.published().weight.to_string(), "50%");
}

#[test]
fn a_rollback_that_meets_another_state_stays_a_rollback() {
    let mut world = World::new();
    world.reach_first_step("v2");
    edit(&world, |_| {});
    world.judged(Event::Fail);
    world.write_all();
    assert_eq!(
        (world.state().as_str(), world.published().weight.to_string()),
        ("rolled_back", "0%".into())
    );
    let world = world.killed();
    assert_eq!(world.state(), "rolled_back");
}

#[test]
fn a_state_that_somebody_broke_is_kept_and_nothing_moves_forward() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.disk.edit(STATE, |bytes| bytes.truncate(bytes.len() / 2));
    world.judged(Event::Advance);
    for _ in 0..100 {
        world.write_all();
        world.tick();
    }
    assert_eq!(world.published().weight.to_string(), "5%", "it moved without a state");
    let broken = world.disk.files()[std::path::Path::new(STATE)].clone();
    assert!(serde_json::from_slice::<Value>(&broken).is_err(), "it was written over");
    // The way back is open all the same.
    world.act(Action::Abort);
    assert!(world.published().weight.is_zero());
}

#[test]
fn a_state_that_somebody_removed_is_written_anew() {
    let mut world = World::new();
    world.reach_first_step("v2");
    world.disk.remove_state();
    world.judged(Event::Advance);
    world.write_all();
    assert_eq!(world.state(), "step");
    assert_eq!(world.published().weight.to_string(), "50%");
    assert_eq!(state(&world.disk.files())["rollout"]["id"], "v2");
}

/// What another replica decided is what this one does.
#[test]
fn a_change_by_another_replica_is_followed_and_not_written_over() {
    let memory = Arc::new(Memory::default());
    let mut world = World::on_store(Arc::clone(&memory) as _);
    world.weight("30%");
    world.write_all();
    let ours = memory.get("shop").unwrap();
    let mut theirs: Value = serde_json::from_slice(&ours.state.unwrap()).unwrap();
    theirs["weight"] = "0%".into();
    memory.other_puts("shop", &serde_json::to_vec(&theirs).unwrap());
    world.hear();
    assert!(world.published().weight.is_zero());
    world.write_all();
    world.weight("9%");
    world.write_all();
    let put: Value = serde_json::from_slice(&memory.get("shop").unwrap().state.unwrap()).unwrap();
    assert_eq!(put["weight"], "9%");
    // One that knows an older revision does not get through.
    let stale = memory.put("shop", ours.revision, b"{}", Durability::Disk);
    assert!(stale.is_err());
    assert!(memory.get("shop").unwrap().revision > Revision::NONE);
}

#[test]
fn whole_releases_work_on_a_store_that_numbers_all_writes_together() {
    let mut world = World::on_store(Arc::new(Memory::default()));
    world.reach_promoted("v2");
    world.act(Action::Undo);
    world.write_all();
    assert_eq!(world.state(), "undone");
    world.reach_promoted("v3");
}
