//! The file is read again by itself, however it is written, and a bad one changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::{SHORT, Serin, Upstream, config, eventually};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_read_without_a_signal_and_a_bad_one_changes_nothing() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = |weight: &str| {
        config(&[&blue], &[&green], STICKY, SHORT)
            .replace("canary = \"green\"", &format!("canary = \"green\"\nweight = \"{weight}\""))
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let path = at("proxy.toml");
    fs::write(&path, text("1%")).unwrap();
    let serin = Serin::start(dir.path());
    let is = |weight: &'static str| {
        let serin = &serin;
        eventually(weight, move || async move { serin.shop()["weight"]["wanted"] == weight })
    };

    // Written aside and renamed, it is never read half.
    let put = |weight: &str| {
        fs::write(at("new"), text(weight)).unwrap();
        fs::rename(at("new"), &path).unwrap();
    };

    fs::write(&path, text("2%")).unwrap();
    is("2%").await;
    put("3%");
    is("3%").await;

    let generation = serin.shop()["generation"].clone();
    // Half of what was written in place may have been read, and refused.
    let refused = || serin.said().matches("not reloaded").count();
    let before = refused();
    put("400%");
    eventually("it says why", || async { serin.said().contains("400%") }).await;
    put("400%");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(refused(), before + 1, "{}", serin.said());
    assert_eq!(serin.shop()["weight"]["wanted"], "3%");
    assert_eq!(serin.shop()["generation"], generation, "a bad file changed something");

    // As a config map is mounted: links to a folder that is exchanged as a whole.
    fs::create_dir(at("..1")).unwrap();
    fs::write(at("..1/proxy.toml"), text("5%")).unwrap();
    symlink("..1", at("..data")).unwrap();
    symlink("..data/proxy.toml", at("link")).unwrap();
    fs::rename(at("link"), &path).unwrap();
    is("5%").await;
    fs::create_dir(at("..2")).unwrap();
    fs::write(at("..2/proxy.toml"), text("6%")).unwrap();
    symlink("..2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    is("6%").await;
}
