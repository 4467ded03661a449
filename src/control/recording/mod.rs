//! Records what a rollout's judge sees, so that it can be replayed with `serin judge`.
//!
//! Every rollout begins with an `init` line, or with a `resume` line where the process came back
//! in its middle, and ends with an `end` line. A recording with holes would tell another story than
//! the one that happened, so the first line that is lost is the last one of its rollout.

mod tape;

use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use super::saving::have_ended;
use crate::judge::protocol::{END, RESTART_STEP, resume_line, tick_line};
use crate::judge::{Judge, Tick};
use tape::Entry;

/// How many lines may wait for the disk; a rollout writes ten a second.
const QUEUE: usize = 4_096;
/// How many lines one service may have between two ticks of control.
const LINES_MAX: usize = 64;

/// The recording of one service's rollout. Nothing is written from here: control takes the lines.
#[derive(Debug, Default)]
pub(super) struct Recording {
    state: State,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Off,
    To(PathBuf),
    /// A line was lost.
    Lost,
}

#[derive(Debug)]
struct Line {
    path: PathBuf,
    text: String,
    place: Place,
}

/// Where a line stands in its rollout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    First,
    Within,
    Last,
}

impl Recording {
    /// Begins to record a rollout to `path` with its `init` line.
    pub(super) fn begin(&mut self, path: &Path, init: String) {
        self.end();
        self.state = State::To(path.to_owned());
        self.line(init, Place::First);
    }

    /// Goes on with a rollout that `judge` has watched before, unless it is being recorded.
    pub(super) fn go_on(&mut self, path: &Path, judge: &Judge) {
        if self.state == State::Off {
            self.begin(path, resume_line(judge));
        }
    }

    /// Records a tick at which the canary had this share.
    pub(super) fn tick(&mut self, tick: &Tick, weight: f64) {
        if matches!(self.state, State::To(_)) {
            self.line(tick_line(tick, weight), Place::Within);
        }
    }

    /// Records that the step begins anew.
    pub(super) fn restart_step(&mut self) {
        self.line(RESTART_STEP.to_owned(), Place::Within);
    }

    /// Ends the recording, if there is one.
    pub(super) fn end(&mut self) {
        self.line(END.to_owned(), Place::Last);
        self.state = State::Off;
    }

    fn line(&mut self, text: String, place: Place) {
        let State::To(path) = &self.state else { return };
        if self.lines.len() >= LINES_MAX {
            self.state = State::Lost;
            return;
        }
        self.lines.push(Line { path: path.clone(), text, place });
    }
}

/// Control's end of the thread that writes.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// Made when there is a first line: most services record nothing.
    queue: Option<mpsc::Sender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

impl Recorder {
    /// Sends what `service` has recorded to the disk, without waiting for it.
    pub(super) fn take(&mut self, service: &str, recording: &mut Recording) {
        for Line { path, text, place } in std::mem::take(&mut recording.lines) {
            let entry = Entry { service: service.to_owned(), path, text, place };
            if let Err(why) = self.send(entry) {
                tracing::warn!(
                    service,
                    why,
                    "the rest of this rollout is not recorded: a replay with holes would mislead"
                );
                recording.state = State::Lost;
                recording.lines.clear();
                return;
            }
        }
    }

    /// Waits for what is still being written, for a moment.
    pub(super) async fn finish(&mut self) {
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        if !have_ended(&[thread], LAST_LINES).await {
            tracing::warn!("the disk is slow: the last recorded ticks may be lost");
        }
    }

    fn send(&mut self, entry: Entry) -> Result<(), &'static str> {
        if self.queue.is_none() {
            let (queue, entries) = mpsc::channel(QUEUE);
            // It ends when control does, for it then gets no more lines.
            let thread = Builder::new().name("serin-record".into());
            let thread = thread.spawn(move || tape::write(entries));
            self.thread = Some(thread.map_err(|_| "no thread can be made")?);
            self.queue = Some(queue);
        }
        let sent = self.queue.as_ref().map(|queue| queue.try_send(entry));
        sent.transpose().map(|_| ()).map_err(|_| "the disk is too slow")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(recording: &Recording) -> Vec<String> {
        let kind = |line: &Line| {
            let json: serde_json::Value = serde_json::from_str(&line.text).unwrap();
            json["type"].as_str().unwrap().to_owned()
        };
        recording.lines.iter().map(kind).collect()
    }

    const INIT: &str = r#"{"type":"init"}"#;

    #[test]
    fn a_rollout_is_recorded_from_its_init_to_its_end() {
        let mut recording = Recording::default();
        recording.tick(&Tick::default(), 0.1);
        recording.restart_step();
        recording.end();
        assert!(recording.lines.is_empty(), "nothing has begun");
        recording.begin(Path::new("a"), INIT.into());
        recording.tick(&Tick::default(), 0.1);
        recording.restart_step();
        recording.begin(Path::new("b"), INIT.into());
        recording.end();
        recording.tick(&Tick::default(), 0.1);
        assert_eq!(kinds(&recording), ["init", "tick", "restart_step", "end", "init", "end"]);
        let paths: Vec<_> =
            recording.lines.iter().map(|line| line.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["a", "a", "a", "a", "b", "b"]);
    }

    #[test]
    fn after_a_lost_line_nothing_is_recorded_until_the_next_rollout() {
        let mut recording = Recording::default();
        recording.begin(Path::new("a"), INIT.into());
        for _ in 0..LINES_MAX {
            recording.tick(&Tick::default(), 0.1);
        }
        recording.lines.clear();
        recording.tick(&Tick::default(), 0.1);
        recording.end();
        assert!(recording.lines.is_empty(), "{:?}", kinds(&recording));
        recording.begin(Path::new("a"), INIT.into());
        assert_eq!(kinds(&recording), ["init"]);
    }

    #[tokio::test]
    async fn the_end_of_the_process_waits_for_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ticks.jsonl");
        let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
        recorder.finish().await;
        recording.begin(&path, INIT.into());
        for _ in 0..LINES_MAX - 1 {
            recording.tick(&Tick::default(), 0.1);
        }
        recorder.take("shop", &mut recording);
        recorder.finish().await;
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), LINES_MAX);
    }

    #[test]
    fn a_full_queue_loses_the_rest_and_not_the_middle() {
        let (queue, mut entries) = mpsc::channel(2);
        let mut recorder = Recorder { queue: Some(queue), thread: None };
        let mut recording = Recording::default();
        recording.begin(Path::new("a"), INIT.into());
        recording.tick(&Tick::default(), 0.1);
        recording.tick(&Tick::default(), 0.2);
        recorder.take("shop", &mut recording);
        while entries.try_recv().is_ok() {}
        recording.tick(&Tick::default(), 0.3);
        recorder.take("shop", &mut recording);
        assert!(entries.try_recv().is_err(), "a line after a hole");
    }
}
