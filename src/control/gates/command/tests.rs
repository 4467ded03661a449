use rustix::process::test_kill_process;
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(30);

async fn sh(script: &str, folder: &Path, limit: Duration) -> Result<Passed, Failed> {
    let arguments = ["/bin/sh", "-c", script].map(str::to_owned);
    run(&arguments, &[("SERIN_POOL", "green pool".into())], folder, clock::now() + limit).await
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Waits until `file` in `folder` names a process.
async fn pid(folder: &Path, file: &str) -> Pid {
    eventually(|| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.ends_with('\n').then(|| Pid::from_raw(text.trim().parse().unwrap()).unwrap())
    })
    .await
}

async fn gone(pid: Pid) {
    // A process whose parent has not collected it counts as ended, too.
    let state = |pid: Pid| {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    eventually(|| {
        (test_kill_process(pid).is_err() || matches!(state(pid), None | Some('Z'))).then_some(())
    })
    .await;
}

async fn eventually<T>(mut check: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match check() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(Duration::from_secs(10), found).await.expect("within 10 s")
}

#[tokio::test]
async fn exit_status_0_passes_and_what_was_written_is_kept_in_order() {
    let folder = folder();
    let passed = sh("echo one; echo two >&2; echo three", folder.path(), LONG).await.unwrap();
    assert_eq!(passed.output.as_deref(), Some("one\ntwo\nthree"));
    assert!(passed.words.starts_with("`/bin/sh` ended with exit status 0 after "), "{passed:?}");
}

#[tokio::test]
async fn any_other_end_fails() {
    let folder = folder();
    let failed = sh("echo why; exit 3", folder.path(), LONG).await.unwrap_err();
    assert_eq!(failed.output.as_deref(), Some("why"));
    assert!(failed.words.contains("ended with exit status 3"), "{failed:?}");
    let failed = sh("kill -9 $$", folder.path(), LONG).await.unwrap_err();
    assert!(failed.words.contains("was ended by signal 9"), "{failed:?}");
    assert_eq!(failed.output, None);
}

#[tokio::test]
async fn it_runs_in_the_folder_with_its_environment_and_no_input() {
    let folder = folder();
    let real = folder.path().canonicalize().unwrap();
    let passed = sh("pwd; echo $SERIN_POOL; cat; test -n \"$PATH\"", folder.path(), LONG).await;
    let want = format!("{}\ngreen pool", real.display());
    assert_eq!(passed.unwrap().output, Some(want));
}

#[tokio::test]
async fn arguments_are_given_as_they_are() {
    let arguments = ["printf", "%s|", "a b", "$HOME", "*", ""].map(str::to_owned);
    let passed = run(&arguments, &[], folder().path(), clock::now() + LONG).await.unwrap();
    assert_eq!(passed.output.as_deref(), Some("a b|$HOME|*||"));
}

#[tokio::test]
async fn a_program_beside_the_file_is_found_from_anywhere() {
    // Written by a program: while this process holds a file open for writing, a program that another
    // test starts may hold it, too, and then it cannot be run.
    let folder = folder();
    let write = async |script: &str| drop(sh(script, folder.path(), LONG).await.unwrap());
    write("printf '#!/bin/sh\\necho here\\n' > smoke.sh").await;
    let runs =
        || async { run(&["./smoke.sh".to_owned()], &[], folder.path(), clock::now() + LONG).await };
    let failed = runs().await.unwrap_err();
    assert!(failed.words.contains("make it executable"), "{failed:?}");
    write("chmod +x smoke.sh").await;
    assert_eq!(runs().await.unwrap().output.as_deref(), Some("here"));
    write("printf '#!/no/such/shell\\n' > smoke.sh").await;
    let failed = runs().await.unwrap_err();
    assert!(failed.words.contains("what its first line names is not there"), "{failed:?}");
}

#[tokio::test]
async fn what_is_not_there_is_named_with_its_folder() {
    let folder = folder();
    let shown = folder.path().display().to_string();
    let fails = |arguments: &[&str], folder: PathBuf| {
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        async move { run(&arguments, &[], &folder, clock::now() + LONG).await.unwrap_err().words }
    };
    let here = || folder.path().to_owned();
    assert_eq!(
        fails(&["./gone.sh"], here()).await,
        format!("there is no program `./gone.sh` in {shown}")
    );
    assert_eq!(
        fails(&["serin-no-such-program"], here()).await,
        format!("there is no program `serin-no-such-program` on the PATH (the folder is {shown})")
    );
    assert_eq!(
        fails(&["./x"], here().join("no")).await,
        format!("cannot run `./x`: there is no folder {shown}/no")
    );
    assert_eq!(fails(&[], here()).await, "no program is named");
}

/// Runs `script` beyond its deadline; returns the deadline, how it failed, and after how long. On a
/// busy machine it may not have named its child by then, and is given more time.
async fn outlive(script: &str, folder: &Path) -> (Duration, Failed, Duration) {
    for limit in [1_500, 8_000].map(Duration::from_millis) {
        let began = clock::now();
        let failed = sh(script, folder, limit).await.unwrap_err();
        let took = clock::now().duration_since(began);
        if std::fs::read_to_string(folder.join("child")).is_ok_and(|text| text.ends_with('\n')) {
            return (limit, failed, took);
        }
    }
    panic!("it never began");
}

#[tokio::test]
async fn at_the_deadline_it_is_asked_to_end_with_all_that_it_started() {
    let folder = folder();
    let script = "trap 'echo asked; exit 0' TERM; sleep 60 & echo $! > child; wait";
    let (limit, failed, took) = outlive(script, folder.path()).await;
    assert!(took < limit + GRACE, "it was asked and ended: {took:?}");
    let told = failed.words.strip_prefix("`/bin/sh` did not end within ");
    let told = told.and_then(|rest| rest.strip_suffix(" s and was stopped"));
    let told: f64 = told.unwrap_or_else(|| panic!("{failed:?}")).parse().unwrap();
    // A busy machine may be late in beginning to count.
    let late = limit.as_secs_f64() - told;
    assert!((-0.1..0.4).contains(&late), "{failed:?}");
    assert_eq!(failed.output.as_deref(), Some("asked"));
    gone(pid(folder.path(), "child").await).await;
}

#[tokio::test]
async fn who_does_not_listen_is_killed_after_two_seconds() {
    let folder = folder();
    let script = "trap '' TERM; sleep 60 & echo $! > child; while :; do wait; done";
    let (limit, _, took) = outlive(script, folder.path()).await;
    assert!(took >= limit + GRACE && took < limit + GRACE * 3, "{took:?}");
    gone(pid(folder.path(), "child").await).await;
}

#[tokio::test]
async fn what_it_leaves_behind_holds_nobody_up_and_stays() {
    let folder = folder();
    let began = clock::now();
    let passed = sh("sleep 60 & echo $! > child; echo done", folder.path(), LONG).await.unwrap();
    assert!(clock::now().duration_since(began) < Duration::from_secs(5));
    assert_eq!(passed.output.as_deref(), Some("done"));
    let child = pid(folder.path(), "child").await;
    assert!(test_kill_process(child).is_ok(), "a server that a hook started must stay");
    rustix::process::kill_process(child, Signal::KILL).unwrap();
}

#[tokio::test]
async fn nobody_waits_for_a_flood() {
    let folder = folder();
    let script = "while :; do echo flood; done & echo $! > child; exit 0";
    let began = clock::now();
    sh(script, folder.path(), LONG).await.unwrap();
    assert!(clock::now().duration_since(began) < Duration::from_secs(5));
    let child = pid(folder.path(), "child").await;
    // Nobody reads what it writes any more.
    let _ = rustix::process::kill_process(child, Signal::KILL);
    gone(child).await;
}

#[tokio::test]
async fn when_nobody_waits_any_more_it_is_stopped() {
    let folder = folder();
    let path = folder.path().to_owned();
    let script = "trap '' TERM; sleep 60 & echo $! > child; echo $$ > own; while :; do wait; done";
    let task = tokio::spawn(async move { sh(script, &path, LONG).await });
    let (child, own) = (pid(folder.path(), "child").await, pid(folder.path(), "own").await);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    gone(own).await;
    gone(child).await;
}

#[tokio::test]
async fn who_is_stopped_may_still_write() {
    let folder = folder();
    let path = folder.path().to_owned();
    let script = "trap 'echo ending; echo yes > ended; exit 0' TERM; echo $$ > own; \
                  sleep 60 & wait";
    let task = tokio::spawn(async move { sh(script, &path, LONG).await });
    let own = pid(folder.path(), "own").await;
    task.abort();
    gone(own).await;
    let ended = std::fs::read_to_string(folder.path().join("ended"));
    assert_eq!(ended.ok().as_deref(), Some("yes\n"), "a closed pipe must not end it first");
}

#[test]
fn when_the_process_ends_it_is_stopped_at_once() {
    let folder = folder();
    let path = folder.path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let script = "trap '' TERM; echo $$ > own; while :; do sleep 60; done";
    runtime.spawn(async move { sh(script, &path, LONG).await });
    let own = runtime.block_on(pid(folder.path(), "own"));
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = clock::now();
    runtime.block_on(gone(own));
    assert!(clock::now().duration_since(began) < GRACE, "nobody would end it later");
}
