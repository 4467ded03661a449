//! A program of the operator's own, without a shell: it passes with exit status 0.
//!
//! It runs in a process group of its own, so that whatever it starts is stopped with it: at the
//! deadline, and when nobody waits for it any more because the release was aborted. What a program
//! that has ended leaves behind is left alone: a deploy hook may start a server.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::output::Tail;
use super::{Failed, Passed};
use crate::clock;
use crate::outbound::span_words;

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long the rest of the output is waited for after the program has ended: what it started may
/// hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// Runs `arguments` in `folder` with `environment` added to serin's own, until `until`.
pub(super) async fn run(
    arguments: &[String],
    environment: &[(&'static str, String)],
    folder: &Path,
    until: Instant,
) -> Result<Passed, Failed> {
    let began = clock::now();
    let Some((program, arguments)) = arguments.split_first() else {
        return Err(Failed::new("no program is named".into()));
    };
    let folder = absolute(folder);
    let process = start(program, arguments, environment, &folder)
        .map_err(|error| Failed::new(cannot_start(program, &folder, &error)))?;
    let mut awaited = Awaited(None);
    let running = awaited.0.insert(process);
    let Some(status) = running.watch(until).await else {
        running.ask_to_end();
        let _ = running.watch(clock::now() + GRACE).await;
        running.kill();
        let output = running.output().await;
        let limit = span_words(until.saturating_duration_since(began));
        let words = format!("`{program}` did not end within {limit} and was stopped");
        return Err(Failed { words, output });
    };
    let took = span_words(clock::now().duration_since(began));
    let words = format!("`{program}` {} after {took}", ending(status));
    let output = running.output().await;
    if status.success() { Ok(Passed { words, output }) } else { Err(Failed { words, output }) }
}

/// A program, with what it wrote so far.
struct Process {
    child: Child,
    /// All that it starts is of this group, unless it takes care not to be.
    group: Pid,
    reader: pipe::Receiver,
    tail: Tail,
    ended: bool,
}

impl Process {
    /// Reads what it writes until it ends; `None` when it has not ended at `until`.
    async fn watch(&mut self, until: Instant) -> Option<ExitStatus> {
        let mut buffer = [0; 4096];
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    self.ended = true;
                    return Some(status.unwrap_or_else(|error| {
                        // It is gone, and how it ended is not known: that is no pass.
                        tracing::warn!(%error, "cannot learn how a program ended");
                        ExitStatus::from_raw(1 << 8)
                    }));
                }
                () = sleep_until(until) => return None,
                read = self.reader.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(count) => self.tail.push(&buffer[..count]),
                },
            }
        }
    }

    /// Asks all of its group to end.
    fn ask_to_end(&self) {
        // It fails where nothing is left of the group.
        let _ = kill_process_group(self.group, Signal::TERM);
    }

    /// Ends all of its group.
    fn kill(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
        self.ended = true;
    }

    /// The end of all that it wrote, after it has ended.
    async fn output(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        let rest = async {
            while let Ok(count @ 1..) = self.reader.read(&mut buffer).await {
                self.tail.push(&buffer[..count]);
            }
        };
        let _ = timeout(DRAIN, rest).await;
        self.tail.text()
    }
}

/// A program that somebody waits for. Dropped before it has ended, it is stopped.
struct Awaited(Option<Process>);

impl Drop for Awaited {
    fn drop(&mut self) {
        let Some(process) = self.0.take().filter(|process| !process.ended) else { return };
        process.ask_to_end();
        let mut last = Last(process);
        // Without a runtime, or with one that ends, nobody would be there to end it later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = last.0.watch(clock::now() + GRACE).await;
                drop(last);
            });
        }
    }
}

/// A program that was asked to end. Dropped, it is ended with all of its group.
struct Last(Process);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.kill();
    }
}

fn start(
    program: &str,
    arguments: &[String],
    environment: &[(&'static str, String)],
    folder: &Path,
) -> io::Result<Process> {
    // One pipe for both, so that lines stay in the order in which they were written.
    let (reader, writer) = io::pipe()?;
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let child = Command::new(place(program, folder))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let group = group.ok_or_else(|| io::Error::other("it has no process id"))?;
    Ok(Process { child, group, reader, tail: Tail::default(), ended: false })
}

/// A program with a `/` in its name is looked for in the folder, one without on the `PATH`.
fn place(program: &str, folder: &Path) -> OsString {
    if program.contains('/') { folder.join(program).into_os_string() } else { program.into() }
}

/// Joined with a relative folder, a relative program would be looked for below the folder twice.
fn absolute(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn cannot_start(program: &str, folder: &Path, error: &io::Error) -> String {
    let shown = folder.display();
    match error.kind() {
        io::ErrorKind::NotFound if !folder.is_dir() => {
            format!("cannot run `{program}`: there is no folder {shown}")
        }
        io::ErrorKind::NotFound if !program.contains('/') => {
            format!("there is no program `{program}` on the PATH (the folder is {shown})")
        }
        io::ErrorKind::NotFound if folder.join(program).exists() => {
            format!("cannot run `{program}` in {shown}: what its first line names is not there")
        }
        io::ErrorKind::NotFound => format!("there is no program `{program}` in {shown}"),
        io::ErrorKind::PermissionDenied => {
            format!("`{program}` in {shown} may not be run: make it executable (chmod +x)")
        }
        _ => format!("cannot run `{program}` in {shown}: {error}"),
    }
}

#[cfg(test)]
mod tests;
