//! Asks one source what it uses: an endpoint's exposition, a folder of cgroup v2, or a process.

use std::fs::OpenOptions;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::{Use, cgroup, exposition, pid};
use crate::config::{Pid, Target, Url};
use crate::outbound::{self, Request};

/// The longest file that is read: `/proc` and cgroup files have a few kilobytes.
const FILE_MAX: u64 = 64 * 1024;

/// What a look at a source comes to; why not, in words that follow the source's name.
pub(super) type Found = Result<Use, String>;

/// What a folder of cgroup v2 says.
pub(super) async fn cgroup(folder: PathBuf) -> Found {
    blocking(move || {
        let file = |name: &str| read(&folder.join(name)).ok();
        let [cpu_stat, memory_current, memory_stat, memory_max, cpu_max] = cgroup::NAMES.map(file);
        if cpu_stat.is_none() && memory_current.is_none() {
            return Err("has neither cpu.stat nor memory.current of cgroup v2".into());
        }
        Ok(cgroup::read(&cgroup::Files {
            cpu_stat,
            memory_current,
            memory_stat,
            memory_max,
            cpu_max,
        }))
    })
    .await
}

/// What a process uses.
pub(super) async fn process(pid: Pid) -> Found {
    blocking(move || {
        let number = match pid {
            Pid::Number(number) => number,
            Pid::File(path) => {
                let text = read(&path).map_err(|error| format!("cannot be read: {error}"))?;
                text.trim().parse::<u32>().map_err(|_| "does not hold the number of a process")?
            }
        };
        let folder = PathBuf::from(format!("/proc/{number}"));
        let file = |name: &str| {
            read(&folder.join(name)).map_err(|_| format!("is not there (process {number})"))
        };
        let (stat, status) = (file("stat")?, file("status")?);
        Ok(pid::read(&stat, &status))
    })
    .await
}

/// Reads a small file. One that is a pipe or a device must not hold a thread for ever.
fn read(path: &Path) -> std::io::Result<String> {
    #[expect(clippy::cast_possible_wrap, reason = "flags are bits")]
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

async fn blocking(read: impl FnOnce() -> Found + Send + 'static) -> Found {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// What an endpoint exposes at `url`.
pub(super) async fn exposition(
    url: &str,
    endpoint: Option<(Target, SocketAddr)>,
    limit: Duration,
) -> Found {
    let url: Url = url.parse().map_err(|error| format!("cannot be asked: {error}"))?;
    let request = Request { method: "GET", url: &url, headers: &[], body: Bytes::new() };
    // A name may stand for many endpoints; this one is asked where it is.
    let is = |target: &Target| target.host == url.host && target.port == url.port;
    let asked = match endpoint.filter(|(target, _)| is(target)) {
        Some((_, address)) => outbound::send_to(address, &request, limit).await,
        None => outbound::send(&request, limit).await,
    };
    let answer = asked.map_err(|error| format!("does not answer: {error}"))?;
    if !answer.is_success() {
        return Err(format!("answers {} to GET {}", answer.status, url.target));
    }
    let mut text = String::from_utf8_lossy(&answer.body);
    if answer.cut {
        // Half a number at the end would be another number.
        let whole = text.rfind('\n').unwrap_or_default();
        text.to_mut().truncate(whole);
    }
    Ok(exposition::read(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_process_is_found_by_number_and_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.pid");
        let number = std::process::id();
        fs::write(&file, format!("{number}\n")).unwrap();
        for pid in [Pid::Number(number), Pid::File(file.clone())] {
            let found = process(pid).await.unwrap();
            assert!(found.cpu_s.is_some() && found.started.is_some(), "{found:?}");
            assert!(found.memory_bytes.is_some_and(|bytes| bytes > 1e5), "{found:?}");
        }
        let gone = process(Pid::Number(u32::MAX)).await.unwrap_err();
        assert_eq!(gone, "is not there (process 4294967295)");
        fs::write(&file, "none").unwrap();
        let bad = process(Pid::File(file)).await.unwrap_err();
        assert_eq!(bad, "does not hold the number of a process");
        let missing = process(Pid::File(dir.path().join("no.pid"))).await.unwrap_err();
        assert!(missing.starts_with("cannot be read: "), "{missing}");
    }

    #[tokio::test]
    async fn a_folder_of_cgroup_v2_is_read_and_another_folder_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let none = cgroup(path.clone()).await.unwrap_err();
        assert!(none.contains("cpu.stat"), "{none}");
        fs::write(path.join("cpu.stat"), "usage_usec 1500000\n").unwrap();
        fs::write(path.join("memory.current"), "2097152\n").unwrap();
        fs::write(path.join("memory.max"), "4194304\n").unwrap();
        let found = cgroup(path).await.unwrap();
        assert_eq!(found.cpu_s, Some(1.5));
        assert_eq!(
            (found.memory_bytes, found.memory_limit),
            (Some(2_097_152.0), Some(4_194_304.0))
        );
    }

    /// A pipe that nobody writes to would hold a thread for ever.
    #[tokio::test]
    async fn a_pipe_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("app.pid");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(10), process(Pid::File(pipe))).await;
        assert_eq!(asked.unwrap().unwrap_err(), "does not hold the number of a process");
    }
}
