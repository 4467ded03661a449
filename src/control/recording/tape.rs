//! Writes recorded lines to their files, on a thread of its own.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::Place;

/// A file does not grow beyond this.
const BYTES_MAX: u64 = 256 << 20;

/// A line for a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) service: String,
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) place: Place,
}

/// Writes what comes until no more can come.
pub(super) fn write(mut entries: mpsc::Receiver<Entry>) {
    let mut tapes = Tapes::new(BYTES_MAX);
    while let Some(entry) = entries.blocking_recv() {
        let (service, path) = (entry.service.clone(), entry.path.clone());
        if let Err(why) = tapes.write(entry) {
            let path = path.display();
            tracing::warn!(service, %path, %why, "the rest of this rollout is not recorded");
        }
    }
}

/// The files that are open.
struct Tapes {
    bytes_max: u64,
    open: HashMap<PathBuf, Tape>,
}

/// One file, and the service whose rollout is being written to it.
struct Tape {
    service: String,
    file: File,
    bytes: u64,
}

impl Tapes {
    fn new(bytes_max: u64) -> Self {
        Self { bytes_max, open: HashMap::new() }
    }

    /// Writes a line. After an error the rollout has no more of them.
    fn write(&mut self, entry: Entry) -> io::Result<()> {
        let Entry { service, path, text, place } = entry;
        if place == Place::First {
            let other = self.open.get(&path).filter(|tape| tape.service != service);
            if let Some(other) = other {
                let why = format!("service `{}` records to this file now", other.service);
                return Err(io::Error::other(why));
            }
            // Opened for each rollout, so that a file that was moved away is begun anew.
            self.open.insert(path.clone(), Tape::open(&path, &service)?);
        }
        let Some(tape) = self.open.get_mut(&path).filter(|tape| tape.service == service) else {
            // It was said before that the rest is lost.
            return Ok(());
        };
        let written = tape.line(&text, self.bytes_max);
        if written.is_err() || place == Place::Last {
            self.open.remove(&path);
        }
        written
    }
}

impl Tape {
    fn open(path: &Path, service: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o640).open(path)?;
        let mut bytes = file.seek(SeekFrom::End(0))?;
        // What a process that was killed left half written must not spoil the next line.
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(bytes - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { service: service.to_owned(), file, bytes })
    }

    fn line(&mut self, text: &str, bytes_max: u64) -> io::Result<()> {
        let line = format!("{text}\n");
        let more = line.len() as u64;
        if self.bytes + more > bytes_max {
            let why = format!("the file has {} MiB; move it away", self.bytes >> 20);
            return Err(io::Error::other(why));
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(service: &str, path: &Path, text: &str, place: Place) -> Entry {
        Entry { service: service.into(), path: path.into(), text: text.into(), place }
    }

    fn write(tapes: &mut Tapes, path: &Path, lines: &[(&str, &str, Place)]) -> Vec<bool> {
        let write = |(service, text, place): &(&str, &str, Place)| {
            tapes.write(entry(service, path, text, *place)).is_ok()
        };
        lines.iter().map(write).collect()
    }

    use Place::{First, Last, Within};

    #[test]
    fn rollouts_follow_each_other_and_half_a_line_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ticks.jsonl");
        std::fs::write(&path, "{\"type\":\"ti").unwrap();
        let mut tapes = Tapes::new(BYTES_MAX);
        write(&mut tapes, &path, &[("a", "1", First), ("a", "2", Within), ("a", "3", Last)]);
        write(&mut tapes, &path, &[("b", "4", First), ("b", "5", Last)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"type\":\"ti\n1\n2\n3\n4\n5\n");
    }

    #[test]
    fn two_services_never_mix_in_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ticks.jsonl");
        let mut tapes = Tapes::new(BYTES_MAX);
        let written = write(
            &mut tapes,
            &path,
            &[("a", "1", First), ("b", "x", First), ("b", "y", Within), ("a", "2", Last)],
        );
        assert_eq!(written, [true, false, true, true], "it is said once");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
    }

    #[test]
    fn a_full_file_ends_the_rollout_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ticks.jsonl");
        let mut tapes = Tapes::new(7);
        let lines =
            [("a", "123", First), ("a", "45678", Within), ("a", "9", Within), ("a", "0", Last)];
        assert_eq!(write(&mut tapes, &path, &lines), [true, false, true, true]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "123\n", "no hole, and no more");
        assert_eq!(write(&mut tapes, &path, &[("a", "1234", First)]), [false]);
        assert_eq!(write(&mut tapes, &path, &[("a", "12", First)]), [true], "it still fits");
        let nowhere = dir.path().join("none").join("ticks.jsonl");
        assert_eq!(write(&mut tapes, &nowhere, &[("a", "1", First)]), [false]);
    }
}
