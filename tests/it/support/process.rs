//! serin as a process: started, asked and killed as an operator would.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::TempDir;

use super::{PATIENCE, config_before};

const BINARY: &str = env!("CARGO_BIN_EXE_serin");

/// A running `serin run`.
pub(crate) struct Serin {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    said: Arc<Mutex<String>>,
}

impl Serin {
    /// Starts it on `dir/proxy.toml` and waits until it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        let mut child = Command::new(BINARY)
            .args(["run", "--config"])
            .arg(dir.join("proxy.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, line) = mpsc::channel();
        // Reads on, so that a full pipe never stops it.
        thread::spawn({
            let said = Arc::clone(&said);
            move || {
                BufReader::new(stderr).lines().map_while(Result::ok).for_each(|text| {
                    *said.lock().unwrap() += &format!("{text}\n");
                    let _ = lines.send(text);
                });
            }
        });
        let (mut address, mut admin) = (None, None);
        while address.is_none() || admin.is_none() {
            let text = line.recv_timeout(PATIENCE);
            let text = text.unwrap_or_else(|_| panic!("ended:\n{}", said.lock().unwrap()));
            if let Some(rest) = text.strip_prefix("serin: listener web on ") {
                address = Some(rest.parse().unwrap());
            }
            if let Some(rest) = text.strip_prefix("serin: admin on ") {
                admin = Some(rest.to_owned());
            }
        }
        thread::spawn(move || line.into_iter().for_each(drop));
        Self { child, address: address.unwrap(), admin: admin.unwrap(), said }
    }

    /// Starts it before `stable`, as [`config_before`] has it, in a folder of its own and with one
    /// worker: each keeps buffers for later.
    pub(crate) fn before(stable: SocketAddr, listener: &str) -> (TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        let text = config_before(stable, listener, "").replace("threads = 2", "threads = 1");
        std::fs::write(dir.path().join("proxy.toml"), text).unwrap();
        let serin = Self::start(dir.path());
        (dir, serin)
    }

    /// What it wrote to standard error: its log.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Runs a command against it.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        serin(&[arguments, &["--admin", &self.admin]].concat())
    }

    /// The service `shop` as JSON.
    pub(crate) fn shop(&self) -> serde_json::Value {
        let output = self.ask(&["status", "shop", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Sets how many descriptors it may have; tells how many it might have before.
    pub(crate) fn limit_descriptors(&self, limit: Option<u64>) -> Option<u64> {
        self.limit(Resource::Nofile, limit)
    }

    /// Sets how large its files may become, in bytes; tells how large before.
    pub(crate) fn limit_files(&self, limit: Option<u64>) -> Option<u64> {
        self.limit(Resource::Fsize, limit)
    }

    fn limit(&self, what: Resource, limit: Option<u64>) -> Option<u64> {
        let pid = Pid::from_child(&self.child);
        let limit = Rlimit { current: limit, maximum: getrlimit(what).maximum };
        prlimit(Some(pid), what, limit).unwrap().current
    }

    /// The most memory that it ever held, in KB (proc(5), `VmHWM`).
    pub(crate) fn peak_kb(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end, which must come within two minutes: the demo takes half of one.
pub(crate) fn serin(arguments: &[&str]) -> Output {
    let child = Command::new(BINARY)
        .args(arguments)
        .env_remove("SERIN_ADMIN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if end.recv_timeout(6 * PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    output
}
