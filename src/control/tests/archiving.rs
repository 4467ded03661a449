//! Ended rollouts leave the state for the history, and are found there.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::recorder::{Files, Recorder};
use super::world::World;
use crate::control::command::{Action, Refusal};
use crate::control::history;
use crate::control::live::Live;
use crate::control::store::tests::memory::Memory;

/// What `serin history shop` would show: ids and states.
fn history(world: &mut World) -> Vec<(String, String)> {
    let (reply, mut answer) = oneshot::channel();
    world.control().history(Some("shop"), reply);
    world.answer();
    let rollouts = answer.try_recv().unwrap().unwrap();
    assert!(rollouts.iter().all(|(service, _)| service == "shop"));
    rollouts.into_iter().map(|(_, rollout)| (rollout.id, rollout.state)).collect()
}

/// What `serin explain` would show.
fn explain(world: &mut World, id: &str) -> Result<(String, String), Refusal> {
    let (reply, mut answer) = oneshot::channel();
    world.control().rollout(id.to_owned(), reply);
    world.answer();
    let explained = answer.try_recv().unwrap();
    explained.map(|(service, rollout)| (service, rollout.state))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn ended_rollouts_are_in_the_history_written_or_not() {
    let mut world = World::new();
    world.write_all();
    for version in ["v1", "v2", "v3"] {
        world.deploy(version);
        world.act(Action::Abort);
    }
    let all = pairs(&[("v1", "rolled_back"), ("v2", "rolled_back"), ("v3", "rolled_back")]);
    assert_eq!(history(&mut world), all, "before anything is written");
    world.write_all();
    assert_eq!(world.control().services["shop"].live.ended.len(), 0, "they are kept twice");
    assert_eq!(history(&mut world), all);
    assert_eq!(explain(&mut world, "v1").unwrap(), ("shop".into(), "rolled_back".into()));
    assert_eq!(explain(&mut world, "v3").unwrap(), ("shop".into(), "rolled_back".into()));
    assert!(matches!(explain(&mut world, "v9"), Err(Refusal::NotFound(_))));
    let mut world = world.killed();
    assert_eq!(history(&mut world), all);
}

#[test]
fn the_same_release_tried_again_is_explained_by_its_last_try() {
    let mut world = World::new();
    world.deploy("v2");
    world.act(Action::Abort);
    world.write_all();
    // The second try begins in a later millisecond than the first.
    world.later();
    world.reach_promoted("v2");
    assert_eq!(history(&mut world), pairs(&[("v2", "rolled_back"), ("v2", "promoted")]));
    assert_eq!(explain(&mut world, "v2").unwrap().1, "promoted");
}

#[test]
fn a_torn_rollout_is_missed_and_the_others_are_shown() {
    let mut world = World::new();
    for version in ["v1", "v2", "v3"] {
        world.deploy(version);
        world.act(Action::Abort);
        world.write_all();
    }
    world.disk.edit("-v1-", |bytes| bytes.truncate(bytes.len() / 2));
    assert_eq!(history(&mut world), pairs(&[("v2", "rolled_back"), ("v3", "rolled_back")]));
    assert!(matches!(explain(&mut world, "v1"), Err(Refusal::NotFound(_))));
}

/// A state of 0.1, which held its history itself.
#[test]
fn the_history_in_an_old_state_moves_to_files_with_the_first_write() {
    let mut world = World::new();
    world.deploy("v1");
    world.act(Action::Abort);
    world.write_all();
    world.deploy("v2");
    world.act(Action::Abort);
    world.write_all();
    let files = world.disk.files();
    let kept: Vec<_> = files.iter().filter(|(path, _)| path.starts_with("history/shop")).collect();
    let [(_, kept)] = kept[..] else { panic!("{} rollouts are kept", kept.len()) };
    let kept: serde_json::Value = serde_json::from_slice(kept).unwrap();
    let path = std::path::PathBuf::from("services/shop.json");
    let mut state: serde_json::Value = serde_json::from_slice(&files[&path]).unwrap();
    assert_eq!(state["history"], serde_json::json!([]), "0.1 could not read it any more");
    state["history"] = serde_json::json!([kept["rollout"]]);
    let old = state.as_object_mut().unwrap();
    old.remove("revision").unwrap();
    old.remove("knows_intent").unwrap();
    let old = Files::from([(path.clone(), serde_json::to_vec(&state).unwrap())]);

    let mut world = World::on(Recorder::new(old, "green"));
    let all = pairs(&[("v1", "rolled_back"), ("v2", "rolled_back")]);
    assert_eq!(history(&mut world), all, "before it is written anew");
    world.write_all();
    assert!(!world.disk.files().keys().any(|path| path.starts_with("history/shop")), "too early");
    world.weight("5%");
    world.write_all();
    assert_eq!(history(&mut world), all);
    let files = world.disk.files();
    assert!(files.keys().any(|path| path.starts_with("history/shop")), "it was not moved");
    let live: Live = serde_json::from_slice(&files[&path]).unwrap();
    assert!(live.ended.is_empty(), "the state holds it still");
}

#[test]
fn questions_are_answered_while_others_are_refused() {
    let world = World::new();
    let mut answers = Vec::new();
    for _ in 0..100 {
        let (reply, answer) = oneshot::channel();
        world.control().history(Some("shop"), reply);
        answers.push(answer);
    }
    let refused = answers.iter_mut().filter_map(|answer| answer.try_recv().ok());
    let busy = refused.filter(|answer| matches!(answer, Err(Refusal::Failed(_)))).count();
    assert_eq!(busy, 100 - 64);
}

/// What a store that is read meanwhile shows is whole: a name appears with all of its bytes.
#[test]
fn a_name_in_the_history_never_stands_for_half_a_rollout() {
    let mut world = World::new();
    for version in ["v1", "v2", "v3"] {
        world.deploy(version);
        world.act(Action::Abort);
        world.write_all();
    }
    let mut sizes = BTreeSet::new();
    for snapshot in world.disk.snapshots() {
        let kept = snapshot.files.iter().filter(|(path, _)| {
            path.starts_with("history/shop") && path.extension().is_some_and(|e| e == "json")
        });
        for (path, bytes) in kept {
            serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_else(|error| {
                panic!("{}: {}: {error}", snapshot.operation, path.display())
            });
            sizes.insert(path.clone());
        }
    }
    assert_eq!(sizes.len(), 2);
}

#[test]
fn a_history_that_cannot_be_read_says_so() {
    let (reply, mut answer) = oneshot::channel();
    let question = history::Question::Rollout { id: "v1".into(), live: Default::default(), reply };
    history::answer(&Memory::broken(), question);
    let Err(Refusal::Failed(why)) = answer.try_recv().unwrap() else { panic!("no error") };
    assert!(why.contains("the disk is gone"), "{why}");
}
