//! Prometheus and Alertmanager as they come with the distribution, each a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Client, LOOPBACK, PATIENCE, get};
use crate::peers::free_port;

/// How often a program is started that does not come up: its port may have been taken meanwhile.
const STARTS: usize = 5;

/// A program of others, on a port of the loopback.
pub(crate) struct Observer {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
}

impl Observer {
    /// Starts `program` on `config`, on some port where none is named, and waits until it is ready;
    /// `rest` are its other arguments, given its folder.
    pub(crate) async fn start(
        program: &str,
        config: &str,
        port: Option<u16>,
        rest: impl Fn(&Path) -> Vec<String>,
    ) -> Self {
        for _ in 0..STARTS {
            let address = SocketAddr::new(LOOPBACK.ip(), port.unwrap_or_else(free_port));
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("config.yml"), config).unwrap();
            let child = Command::new(program)
                .arg(format!("--config.file={}", dir.path().join("config.yml").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=error")
                .args(rest(dir.path()))
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let mut observer = Self { child, address, dir };
            if observer.is_ready().await {
                return observer;
            }
        }
        panic!("{program} did not start {STARTS} times");
    }

    /// Waits until it serves; false when it ended instead.
    async fn is_ready(&mut self) -> bool {
        let pause = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut client) = Client::try_connect(self.address).await
                && let Ok(answer) = client.send("GET /-/ready", &[], "").await
                && answer.status == 200
            {
                // Another program may have been faster on this port; then this one ends.
                tokio::time::sleep(2 * pause).await;
                return self.child.try_wait().unwrap().is_none();
            }
            tokio::time::sleep(pause).await;
        }
        panic!("{} is never ready", self.address);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers, as JSON.
    pub(crate) async fn ask(&self, target: &str) -> Value {
        serde_json::from_str(&get(self.address, target, &[]).await.body).unwrap()
    }

    /// kill -9; returns its port, which is free then.
    pub(crate) fn kill(mut self) -> u16 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address.port()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
