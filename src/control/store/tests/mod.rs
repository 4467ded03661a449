//! What every store promises, asked of the directory and of a double of etcd.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;

pub(in crate::control) mod memory;

use memory::Memory;

/// Both stores; the folder belongs to the first.
fn stores() -> (tempfile::TempDir, [Arc<dyn Store>; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let file = FileStore::open(dir.path()).unwrap();
    (dir, [Arc::new(file), Arc::new(Memory::default())])
}

fn key(started_ms: u64, id: &str) -> Key {
    Key { started_ms, id: id.to_owned() }
}

/// What is in `kept`, as text.
fn texts(kept: Vec<Kept>) -> Vec<String> {
    kept.into_iter().map(|kept| String::from_utf8(kept.rollout).unwrap()).collect()
}

#[test]
fn a_state_is_put_by_whoever_saw_the_last_one() {
    let (_dir, stores) = stores();
    for store in stores {
        let put =
            |expected, state: &str| store.put("shop", expected, state.as_bytes(), Durability::Disk);
        let first = put(Revision::NONE, r#"{"n":1}"#).unwrap();
        assert!(first > Revision::NONE, "{store:?}");
        let second = put(first, r#"{"n":2}"#).unwrap();
        assert!(second > first, "{store:?}");
        for stale in [Revision::NONE, first] {
            let Err(PutError::Conflict(there)) = put(stale, r#"{"n":3}"#) else {
                panic!("{store:?}: {stale:?} was taken for the last");
            };
            assert_eq!(there.revision, second, "{store:?}");
            let state: serde_json::Value = serde_json::from_slice(&there.state.unwrap()).unwrap();
            assert_eq!(state["n"], 2, "{store:?}");
        }
        assert_eq!(store.get("shop").unwrap().revision, second);
        assert_eq!(store.load().unwrap()["shop"], store.get("shop").unwrap());
        assert_eq!(store.get("other").unwrap().state, None);
    }
}

#[test]
fn intents_are_kept_in_order_until_a_state_knows_of_them() {
    let (_dir, stores) = stores();
    for store in stores {
        // One name begins as the other does.
        for number in [9, 10, 11] {
            store.intend("shop", number, b"a").unwrap();
        }
        store.intend("shop-1", 5, b"b").unwrap();
        let numbers = |service: &str| -> Vec<u64> {
            store.load().unwrap()[service].intents.iter().map(|intent| intent.0).collect()
        };
        assert_eq!((numbers("shop"), numbers("shop-1")), (vec![9, 10, 11], vec![5]), "{store:?}");
        assert_eq!(store.load().unwrap()["shop"].state, None, "{store:?}");
        store.clear_intents("shop", 10).unwrap();
        assert_eq!((numbers("shop"), numbers("shop-1")), (vec![11], vec![5]), "{store:?}");
    }
}

#[test]
fn ended_rollouts_are_listed_by_age_and_found_by_id() {
    let (_dir, stores) = stores();
    for store in stores {
        // An id may hold anything that can be printed.
        let odd = "release/1 - \u{fc} ../../x";
        for (service, at, id, text) in [
            ("shop", 900, "v1", "first"),
            ("shop", 10_000, "v2", "third"),
            ("till", 2_000, "v1", "second"),
            ("till", 20_000, odd, "fourth"),
            // The same again is the same.
            ("shop", 10_000, "v2", "third!"),
        ] {
            store.archive(service, &key(at, id), text.as_bytes()).unwrap();
        }
        let history = |service, limit| texts(store.history(service, limit).unwrap());
        assert_eq!(history(Some("shop"), 9), ["first", "third!"], "{store:?}");
        assert_eq!(history(Some("shop"), 1), ["third!"], "{store:?}");
        assert_eq!(history(None, 3), ["second", "third!", "fourth"], "{store:?}");
        assert_eq!(history(Some("nobody"), 9), [""; 0], "{store:?}");
        let find = |id: &str| texts(store.find(id).unwrap());
        assert_eq!(find("v1"), ["first", "second"], "{store:?}");
        assert_eq!(find(odd), ["fourth"], "{store:?}");
        assert_eq!(find("v"), [""; 0], "{store:?}");
        let whose = store.find(odd).unwrap();
        assert_eq!(whose[0].service, "till", "{store:?}");
    }
}

#[test]
fn the_history_is_bounded_and_the_oldest_go_first() {
    let (_dir, stores) = stores();
    for store in stores {
        for n in 0..HISTORY_MAX as u64 + 3 {
            store.archive("shop", &key(n, "v"), n.to_string().as_bytes()).unwrap();
        }
        let kept = texts(store.history(Some("shop"), usize::MAX).unwrap());
        assert_eq!(kept.len(), HISTORY_MAX, "{store:?}");
        assert_eq!(kept[0], "3", "{store:?}");
    }
}

#[test]
fn the_cookie_key_stays() {
    let (dir, stores) = stores();
    for store in stores {
        let key = store.cookie_key().unwrap();
        assert!(key.len() >= 32);
        assert_eq!(store.cookie_key().unwrap(), key, "{store:?}");
    }
    fs::write(dir.path().join("cookie.key"), "short").unwrap();
    let again = FileStore::open(dir.path()).unwrap();
    assert!(again.cookie_key().unwrap_err().to_string().contains("too short"));
}

#[test]
fn only_one_has_a_directory_open_so_it_hears_of_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let error = FileStore::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("another serin uses it"), "{error}");
    let closed = mpsc::error::TryRecvError::Disconnected;
    assert_eq!(store.watch().try_recv().unwrap_err(), closed);
}

#[test]
fn a_state_that_was_edited_by_hand_keeps_its_revision_in_any_layout() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let put = |expected| store.put("shop", expected, br#"{"format":1}"#, Durability::Process);
    let revision = put(Revision::NONE).unwrap();
    let path = dir.path().join("services/shop.json");
    let value: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    let revision = put(revision).unwrap();
    // One that a person broke is not written over: it may be all that is left.
    fs::write(&path, "{\"revision\":").unwrap();
    let Err(PutError::Io(error)) = put(revision) else { panic!("it was written over") };
    assert!(error.to_string().contains("torn"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"revision\":");
}

#[test]
fn what_is_not_a_state_is_never_written() {
    let (dir, _) = stores();
    drop(dir);
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    for state in ["", "{}", "[1]", "7"] {
        let put = store.put("shop", Revision::NONE, state.as_bytes(), Durability::Disk);
        assert!(matches!(put, Err(PutError::Io(_))), "{state}");
    }
    assert!(store.load().unwrap().is_empty());
}

#[test]
fn what_does_not_belong_in_the_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    store.archive("shop", &key(1, "v1"), b"kept").unwrap();
    for name in [
        "services/.shop.json.new",
        "services/notes.txt",
        "intents/.shop.new",
        "intents/shop.json",
        "history/README",
        "history/shop/notes.json",
        "history/shop/.1-v1-x.json.new",
    ] {
        fs::write(dir.path().join(name), "?").unwrap();
    }
    assert!(store.load().unwrap().is_empty());
    assert_eq!(texts(store.history(None, 9).unwrap()), ["kept"]);
    assert!(Path::new(&dir.path().join("history/README")).exists());
}
