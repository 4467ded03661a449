//! The few things that the file store does to a disk, one by one, so that a test can stand between
//! any two of them.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What is done to a disk.
pub(in crate::control) trait Disk: Debug + Send + Sync {
    /// All of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The names in a folder, sorted; those that are not UTF-8 are none of ours.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder, and those above it. One that is there is fine.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes or empties a file and writes `bytes`. They need not be on disk yet.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File>;
    /// Waits until what was written to `file`, which is at `path`, is on disk.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Waits until the names in `folder` are on disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) struct Real;

impl Disk for Real {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn sync(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
