//! kill -9 after every operation on the disk, in every story of a release: what comes back is
//! never ahead of what was published, and remembers all that was promised.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::recorder::{Files, Promised, Published, Recorder, Snapshot};
use super::world::{BOOT, Started, World, asker, decisions, runtime, start};
use crate::control::command::Action;
use crate::control::service::Cause;
use crate::control::store::Store;
use crate::control::{Control, Decision};
use crate::rollout::{Event, State};
use crate::split::Weight;
use crate::table::Cell;

type Story = (&'static str, fn(World) -> World);

/// Every effect of every transition is in one of them, and every way in which a person or the
/// judge ends something.
const STORIES: &[Story] = &[
    ("promoted and undone", |mut world| {
        world.reach_promoted("v2");
        world.act(Action::Undo);
        world.write_all();
        assert_eq!(world.state(), "undone");
        world
    }),
    ("undone before the promotion is written", |mut world| {
        world.reach_first_step("v2");
        for event in [Event::Advance, Event::Advance] {
            world.judged(event);
            world.write_all();
        }
        // The move is confirmed, and what is confirmed waits.
        world.judged(Event::GuardOver);
        world.write_one();
        assert_eq!(world.state(), "promoted");
        world.act(Action::Undo);
        world.write_all();
        world
    }),
    ("a bad step", |mut world| {
        world.reach_first_step("v2");
        world.judged(Event::Advance);
        world.write_all();
        world.judged(Event::Fail);
        world.write_all();
        assert_eq!(world.state(), "rolled_back");
        world
    }),
    ("a bad step while a move is written", |mut world| {
        world.reach_first_step("v2");
        world.judged(Event::Advance);
        world.judged(Event::Fail);
        world.write_all();
        world
    }),
    ("a failed gate", |mut world| {
        world.deploy("v2");
        world.write_all();
        world.judged(Event::GateFailed);
        world.write_all();
        assert_eq!(world.state(), "gate_failed");
        world
    }),
    ("aborted before the release is on disk", |mut world| {
        world.deploy("v2");
        world.act(Action::Abort);
        world.write_all();
        world.deploy("v3");
        world.act(Action::Abort);
        world.write_all();
        world
    }),
    ("by hand up, down, and rolled back", |mut world| {
        world.weight("10%");
        world.write_all();
        world.weight("60%");
        world.weight("20%");
        world.write_all();
        world.tick();
        world.judged(Event::Fail);
        world.weight("30%");
        world.write_all();
        world.act(Action::Abort);
        world.write_all();
        world
    }),
    ("a release over a share set by hand", |mut world| {
        world.weight("40%");
        world.write_all();
        world.deploy("v2");
        world.act(Action::Abort);
        world.write_all();
        world
    }),
    ("paused, resumed, aborted", |mut world| {
        world.reach_first_step("v2");
        world.act(Action::Pause);
        world.write_all();
        world.act(Action::Resume);
        world.judged(Event::Advance);
        // A pause takes back the move that waits for the disk.
        world.act(Action::Pause);
        world.write_all();
        assert_eq!(world.published().weight.to_string(), "5%");
        world.act(Action::Resume);
        world.act(Action::Promote { full: true });
        world.write_all();
        assert_eq!(world.state(), "guard");
        world.act(Action::Abort);
        world.write_all();
        world
    }),
    ("rejected and tried again", |mut world| {
        world.reach_first_step("v2");
        world.judged(Event::Fail);
        world.write_all();
        world.act(Action::Retry);
        world.write_all();
        world.reach_promoted("v2");
        world
    }),
    ("an endpoint drained, the old pool retired", |mut world| {
        world.reach_promoted("v2");
        let endpoint = "127.0.0.1:2".parse().unwrap();
        world.act(Action::Drain { pool: "green".into(), endpoint, out: true });
        world.write_all();
        world.control().services.get_mut("shop").unwrap().live.retire_at_ms = Some(1);
        world.tick();
        world.write_all();
        assert_eq!(world.control().services["shop"].live.previous, None);
        world
    }),
    ("release after release, with kills between", |mut world| {
        world.reach_promoted("v2");
        world = world.killed();
        world.write_all();
        world.reach_first_step("v3");
        world = world.killed();
        world.write_all();
        assert_eq!(world.state(), "step");
        world.judged(Event::Advance);
        world = world.killed();
        world.write_all();
        assert_eq!(world.published().weight.to_string(), "5%");
        world.judged(Event::Fail);
        world = world.killed();
        world.write_all();
        assert_eq!(world.state(), "rolled_back");
        world.reach_promoted("v4");
        world
    }),
    ("the judge's state, saved now and then", |mut world| {
        world.reach_first_step("v2");
        (0..50).for_each(|_| world.tick());
        world.write_all();
        world.judged(Event::Fail);
        world.write_all();
        world.weight("3%");
        (0..50).for_each(|_| world.tick());
        world.write_all();
        world
    }),
];

/// What happens to control in the middle of a write.
type Interrupt = fn(&mut Control);

#[test]
fn after_a_kill_at_any_operation_nothing_is_ahead_and_nothing_forgotten() {
    let mut checks = Checks::new();
    for (name, story) in STORIES {
        let world = story(World::new());
        checks.all(name, &world.disk.snapshots());
    }
    // Fewer would mean that operations go past the disk that is recorded.
    assert!(checks.snapshots > 500, "only {} snapshots", checks.snapshots);
    eprintln!("{} snapshots, {} restarts", checks.snapshots, checks.restarts);
}

/// While a state is on its way to the disk the world goes on: a way back, a pause, another share.
#[test]
fn what_happens_in_the_middle_of_a_write_is_as_safe() {
    let interrupts: [(&str, Interrupt); 3] = [
        ("fails", |control| control.decide("shop", Event::Fail, Cause::own("test", "bad"))),
        ("paused", |control| {
            let _ = control.act("shop", Action::Pause, asker(0));
        }),
        ("undone", |control| {
            let _ = control.act("shop", Action::Undo, asker(0));
        }),
    ];
    let release = |interrupt: Option<(usize, Interrupt)>| {
        let mut world = World::new();
        if let Some((at, interrupt)) = interrupt {
            let control = world.handle();
            // It is taken while control itself writes an intent.
            let act = move || control.try_lock().map(|mut control| interrupt(&mut control)).is_ok();
            world.disk.interrupt(at, Box::new(act));
        }
        world.write_all();
        world.deploy("v2");
        world.write_all();
        world.healthy();
        world.write_all();
        for event in [Event::Advance, Event::Advance, Event::GuardOver] {
            world.judged(event);
            world.write_all();
        }
        world.disk.snapshots()
    };
    let operations = release(None).last().unwrap().number;
    let mut checks = Checks::new();
    for (name, interrupt) in interrupts {
        for at in 0..operations {
            let snapshots = release(Some((at, interrupt)));
            let since = snapshots.partition_point(|snapshot| snapshot.number < at);
            checks.all(&format!("{name} at {at}"), &snapshots[since..]);
        }
    }
    assert!(operations > 20, "only {operations} operations");
    eprintln!("{} snapshots, {} restarts", checks.snapshots, checks.restarts);
}

/// Restarts from snapshots, each that differs once.
struct Checks {
    runtime: Runtime,
    seen: HashSet<u64>,
    snapshots: usize,
    restarts: usize,
}

impl Checks {
    fn new() -> Self {
        Self { runtime: runtime(), seen: HashSet::new(), snapshots: 0, restarts: 0 }
    }

    fn all(&mut self, story: &str, snapshots: &[Snapshot]) {
        for snapshot in snapshots {
            self.snapshots += 1;
            let place = format!("{story}: after {}", snapshot.operation);
            self.kill(&place, snapshot);
            self.power_loss(&place, snapshot);
        }
    }

    fn kill(&mut self, place: &str, snapshot: &Snapshot) {
        let Some(after) = self.restart(place, &snapshot.files, BOOT, snapshot) else { return };
        let (before, tried) = (&snapshot.published, &snapshot.tried);
        assert!(
            after.published.share(tried) <= before.share(tried),
            "{place}: {tried} has {} and had {}",
            after.published.share(tried),
            before.share(tried)
        );
        // A promotion that is not on disk is begun anew, in its guard.
        let unwritten = before.stable == *tried && snapshot.process.stable != before.stable;
        after.has_roles(place, snapshot, unwritten);
        after.remembers(place, &snapshot.process);
    }

    fn power_loss(&mut self, place: &str, snapshot: &Snapshot) {
        let torn = |share: usize| {
            let mut files = snapshot.files.clone();
            for path in &snapshot.unflushed {
                if let Some(bytes) = files.get_mut(path) {
                    bytes.truncate(bytes.len() * share / 4);
                }
            }
            files
        };
        let left = [
            ("all is there", snapshot.files.clone()),
            ("what was not flushed is lost", snapshot.flushed.clone()),
            ("what was not flushed is half there", torn(2)),
            ("what was not flushed is empty", torn(0)),
        ];
        for (what, files) in left {
            let place = format!("{place}, power lost, {what}");
            let Some(after) = self.restart(&place, &files, "another boot", snapshot) else {
                continue;
            };
            assert_eq!(after.published.weight, Weight::ZERO, "{place}: the canary has a share");
            // Neither a promotion nor an undo waits for the disk.
            let unwritten = snapshot.unwritten.contains(&after.published.stable);
            after.has_roles(&place, snapshot, unwritten);
            after.remembers(&place, &snapshot.power);
        }
    }

    /// Starts from `files`; `None` where the very same was looked at before.
    fn restart(
        &mut self,
        place: &str,
        files: &Files,
        boot: &str,
        snapshot: &Snapshot,
    ) -> Option<After> {
        let promised = if boot == BOOT { &snapshot.process } else { &snapshot.power };
        let mut hasher = DefaultHasher::new();
        (files, boot, promised.decisions.len(), &promised.stable).hash(&mut hasher);
        (&snapshot.published, &snapshot.tried, &snapshot.unwritten).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return None;
        }
        self.restarts += 1;
        let disk = Arc::new(Recorder::new(files.clone(), &snapshot.tried));
        let store: Arc<dyn Store> = disk.store();
        let started = start(Arc::clone(&store), Cell::default(), boot, &self.runtime);
        let started = started.unwrap_or_else(|error| panic!("{place}: {error}"));
        Some(After::of(&*store, &started))
    }
}

/// What came back.
struct After {
    published: Published,
    decisions: Vec<Decision>,
}

impl After {
    fn of(store: &dyn Store, started: &Started) -> Self {
        let service = &started.control.services["shop"];
        let state = service.live.state();
        assert!(!matches!(state, State::Running { moving: Some(_), .. }), "it moves by itself");
        let published = Published::of(&started.cell).unwrap();
        Self { published, decisions: decisions(store, &service.live) }
    }

    /// The stable pool is the one that was, unless that was not written, or is being undone.
    fn has_roles(&self, place: &str, snapshot: &Snapshot, unwritten: bool) {
        let before = &snapshot.published.stable;
        let decided = snapshot.process.decisions.iter().any(|d| d.decision == "undone");
        let going_back = *before == snapshot.tried && decided;
        let stable = &self.published.stable;
        assert!(
            stable == before || unwritten || going_back,
            "{place}: {stable} is stable and {before} was"
        );
    }

    fn remembers(&self, place: &str, promised: &Promised) {
        for decision in &promised.decisions {
            assert!(
                self.decisions.contains(decision),
                "{place}: {} `{}` is forgotten; there are {:?}",
                decision.decision,
                decision.words,
                self.decisions.iter().map(|d| &d.decision).collect::<Vec<_>>()
            );
        }
        let once: BTreeSet<_> = self.decisions.iter().map(|d| format!("{d:?}")).collect();
        assert_eq!(once.len(), self.decisions.len(), "{place}: something is told twice");
    }
}
