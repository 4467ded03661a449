//! Thousands of services on one disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::world::{BOOT, Started, asker, runtime, start_with};
use crate::clock;
use crate::config::Config;
use crate::control::command::Action;
use crate::control::store::Store;
use crate::control::store::tests::memory::Memory;
use crate::control::writer::Writer;
use crate::table::Cell;

const COUNT: usize = 1_000;

fn config() -> Config {
    let mut text = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for n in 0..COUNT {
        text += &format!(
            "[services.s{n}]\nhosts = [\"s{n}.example\"]\nstable = \"blue\"\ncanary = \"green\"\n\
             health = {{ off = true }}\n[services.s{n}.pools.blue]\nendpoints = [\"127.0.0.1:1\"]\n\
             [services.s{n}.pools.green]\nendpoints = [\"127.0.0.1:2\"]\n"
        );
    }
    Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new()).unwrap()
}

#[test]
fn a_first_start_leaves_room_for_decisions_and_a_second_writes_nothing() {
    let (runtime, memory) = (runtime(), Arc::new(Memory::default()));
    let store = || Arc::clone(&memory) as Arc<dyn Store>;
    let started = start_with(config(), store(), Cell::default(), BOOT, &runtime).unwrap();
    let Started { mut control, mut work, .. } = started;
    // The last by name: every other state waits before it.
    control.act("s999", Action::Weight("5%".parse().unwrap()), asker(0)).unwrap();
    let mut writer = Writer::new(store());
    let (mut now, mut written, mut at) = (clock::now(), 0, None);
    for _ in 0..COUNT {
        while let Ok(job) = work.jobs.try_recv() {
            written += 1;
            if job.service == "s999" {
                at.get_or_insert(written);
            }
            control.stored(writer.write(job));
        }
        if written >= COUNT {
            break;
        }
        now += Duration::from_millis(100);
        control.tick(now);
    }
    assert!(at.unwrap() < 50, "{at:?} states were before it");
    assert_eq!(memory.load().unwrap().len(), COUNT, "some are not written");

    let started = start_with(config(), store(), Cell::default(), BOOT, &runtime).unwrap();
    let Started { work: mut again, .. } = started;
    assert!(again.jobs.try_recv().is_err(), "what is on disk already is written again");
}
