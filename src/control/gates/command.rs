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
    let (mut running, mut reader) = start(program, arguments, environment, &folder)
        .map_err(|error| Failed::new(cannot_start(program, &folder, &error)))?;
    let mut tail = Tail::default();
    let Some(status) = running.watch(&mut reader, &mut tail, until).await else {
        running.ask_to_end();
        let grace = clock::now() + GRACE;
        let _ = running.watch(&mut reader, &mut tail, grace).await;
        running.kill();
        drain(&mut reader, &mut tail).await;
        let limit = span_words(until.saturating_duration_since(began));
        let words = format!("`{program}` did not end within {limit} and was stopped");
        return Err(Failed { words, output: tail.text() });
    };
    running.child = None;
    drain(&mut reader, &mut tail).await;
    let took = span_words(clock::now().duration_since(began));
    let (words, output) = (format!("`{program}` {} after {took}", ending(status)), tail.text());
    if status.success() { Ok(Passed { words, output }) } else { Err(Failed { words, output }) }
}

/// A program that has not ended. Dropped, it is stopped.
struct Running {
    child: Option<Child>,
    group: Pid,
}

impl Running {
    /// Reads what it writes until it ends; `None` when it has not ended at `until`.
    async fn watch(
        &mut self,
        reader: &mut pipe::Receiver,
        tail: &mut Tail,
        until: Instant,
    ) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let mut buffer = [0; 4096];
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                status = child.wait() => return Some(status.unwrap_or_else(|error| {
                    // It is gone, and how it ended is not known: that is no pass.
                    tracing::warn!(%error, "cannot learn how a program ended");
                    ExitStatus::from_raw(1 << 8)
                })),
                () = sleep_until(until) => return None,
                read = reader.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(count) => tail.push(&buffer[..count]),
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
        // Whoever runs the runtime collects the child.
        self.child = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        let group = self.group;
        self.ask_to_end();
        // Without a runtime nobody would be there to end it later.
        let mut last = Self { child: None, group };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return last.kill() };
        let last = Last(last);
        runtime.spawn(async move {
            let mut child = child;
            let _ = timeout(GRACE, child.wait()).await;
            drop(last);
        });
    }
}

/// Ends the group when dropped: after the grace, or with the runtime.
struct Last(Running);

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
) -> io::Result<(Running, pipe::Receiver)> {
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
    Ok((Running { child: Some(child), group }, reader))
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

/// Reads what is already written, and a little longer.
async fn drain(reader: &mut pipe::Receiver, tail: &mut Tail) {
    let mut buffer = [0; 4096];
    let rest = async {
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            tail.push(&buffer[..count]);
        }
    };
    let _ = timeout(DRAIN, rest).await;
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
