use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::*;
use crate::app::folders::{Place, concerns};

const NEVER: Duration = Duration::from_secs(3600);
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing is waited for, where nothing should come.
const NOTHING: Duration = Duration::from_millis(600);

async fn sees(watched: &mut Watched, what: &str) {
    let seen = tokio::time::timeout(PATIENCE, watched.changed()).await;
    assert!(seen.is_ok(), "not seen: {what}");
}

async fn sees_nothing(watched: &mut Watched, what: &str) {
    let seen = tokio::time::timeout(NOTHING, watched.changed()).await;
    assert!(seen.is_err(), "seen although nothing changed: {what}");
}

/// Begins to wait, lets `change` happen, and waits for it to be seen.
async fn after(watched: &mut Watched, what: &str, change: impl FnOnce()) {
    sees_nothing(watched, what).await;
    change();
    sees(watched, what).await;
}

#[tokio::test]
async fn a_change_is_told_however_the_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    fs::write(&path, "a").unwrap();
    let mut watched = Watched::at(&path, NEVER);
    after(&mut watched, "in place", || fs::write(&path, "b").unwrap()).await;
    after(&mut watched, "by rename", || {
        fs::write(folder.path().join("new"), "c").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
    })
    .await;
    after(&mut watched, "gone and back", || {
        fs::remove_file(&path).unwrap();
        fs::write(&path, "d").unwrap();
    })
    .await;
    fs::write(&path, "d").unwrap();
    sees_nothing(&mut watched, "the same content").await;
    fs::remove_file(&path).unwrap();
    sees_nothing(&mut watched, "no file").await;
}

/// The way of Kubernetes: the file is a link through `..data`, and that link is what is replaced.
#[tokio::test]
async fn a_swap_of_a_link_on_the_way_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("proxy.toml"), text).unwrap();
    };
    version("..1", "a");
    symlink("..1", at("..data")).unwrap();
    symlink("..data/proxy.toml", at("proxy.toml")).unwrap();
    let mut watched = Watched::at(&at("proxy.toml"), NEVER);
    for (before, now) in [("..1", "..2"), ("..2", "..3")] {
        after(&mut watched, now, || {
            version(now, now);
            symlink(now, at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
            fs::remove_dir_all(at(before)).unwrap();
        })
        .await;
    }
    after(&mut watched, "in place, behind the links", || {
        fs::write(at("..3/proxy.toml"), "in place").unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_any_event_the_file_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    fs::write(&path, "a").unwrap();
    let mut watched = Watched::at(&path, Duration::from_millis(20));
    // As on a file system that tells nothing.
    watched.events.place = Place::of(std::slice::from_ref(&path));
    sees_nothing(&mut watched, "nothing").await;
    fs::write(&path, "b").unwrap();
    sees(&mut watched, "a change that nobody told of").await;
}

#[tokio::test]
async fn what_changed_before_it_was_watched_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let text = |weight: &str| {
        format!(
            "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n[services.s]\nstable = \"a\"\n\
             canary = \"b\"\nweight = \"{weight}\"\n[services.s.pools.a]\nendpoints = [\"127.0.0.1:1\"]\n\
             [services.s.pools.b]\nendpoints = [\"127.0.0.1:2\"]\n"
        )
    };
    fs::write(&path, text("1%")).unwrap();
    let running = Config::load(&path).unwrap();
    sees_nothing(&mut Watched::new(&path, &running), "the file that runs").await;
    fs::write(&path, text("2%")).unwrap();
    sees(&mut Watched::new(&path, &running), "another file").await;
}

#[test]
fn only_what_may_change_the_file_counts() {
    let names = BTreeSet::from(["proxy.toml".into()]);
    let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let table = [
        (data, "proxy.toml", true),
        (data, "access.log", false),
        (EventKind::Access(AccessKind::Close(AccessMode::Write)), "proxy.toml", true),
        (EventKind::Access(AccessKind::Close(AccessMode::Write)), "access.log", false),
        (EventKind::Access(AccessKind::Open(AccessMode::Any)), "proxy.toml", false),
        (EventKind::Access(AccessKind::Close(AccessMode::Read)), "proxy.toml", false),
        (EventKind::Create(CreateKind::File), "..data", true),
        (EventKind::Modify(ModifyKind::Name(RenameMode::To)), "..data", true),
        (EventKind::Other, "", true),
    ];
    for (kind, name, want) in table {
        let event = Event::new(kind).add_path(Path::new("/etc/serin").join(name));
        assert_eq!(concerns(&event, &names), want, "{kind:?} {name}");
    }
}
