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
