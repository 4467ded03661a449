//! A proxy in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serin::app::App;
use serin::config::Config;
use serin::control::{Action, Asker, Deploy, Handle, Refusal, ServiceView};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{PATIENCE, Upstream, eventually};

/// Keys of a service whose rollout takes about a second under a little load: what the judge wants
/// to be sure of is wide here.
pub(crate) const SHORT: &str = r#"
[services.shop.rollout]
steps = [{ weight = "20%", requests = 20, hold = "200ms" }, { weight = "50%", requests = 20, hold = "200ms" }]
guard = "300ms"
deadline = "5s"
[services.shop.judge]
warm_s = 0.1
harm = "50%"
advance_floor = "50%"
"#;

/// The configuration of one service `shop` with pools blue (stable) and green (canary). `keys` go
/// into the service's table, `tables` after it.
pub(crate) fn config(blue: &[&Upstream], green: &[&Upstream], keys: &str, tables: &str) -> String {
    let list = |upstreams: &[&Upstream]| {
        let quoted: Vec<String> = upstreams.iter().map(|u| format!("\"{}\"", u.address)).collect();
        quoted.join(", ")
    };
    // No test counts on a check that is not answered, and a busy machine is slow in answering.
    let health = if keys.contains("health =") {
        ""
    } else {
        "health = { path = \"/health\", every = \"50ms\", timeout = \"10s\", fall = 2 }"
    };
    format!(
        r#"
version = 1
[admin]
bind = "127.0.0.1:0"
[state]
path = "state"
[workers]
threads = 2
[listeners.web]
bind = "127.0.0.1:0"
[services.shop]
stable = "blue"
canary = "green"
{health}
{keys}
[services.shop.pools.blue]
endpoints = [{}]
[services.shop.pools.green]
endpoints = [{}]
{tables}
"#,
        list(blue),
        list(green)
    )
}

/// A running proxy. Its state is in a folder that outlives it, so that it can be started again.
pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    pub(crate) handle: Handle,
    dir: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestProxy {
    /// Starts and waits until both pools' first health results are known.
    pub(crate) async fn start(text: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), text).await
    }

    pub(crate) async fn start_in(dir: TempDir, text: &str) -> Self {
        let path = dir.path().join("proxy.toml");
        std::fs::write(&path, text).unwrap();
        let config = parse(text, &path);
        let app = App::bind(config, Some(path)).unwrap_or_else(|error| panic!("{error}"));
        let address = app.addresses()["web"];
        let (handle, admin) = (app.handle(), app.admin_address().to_owned());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        let proxy = Self { address, admin, handle, dir, stop, task };
        eventually("health is known", || async {
            let service = proxy.shop().await;
            let pools = [Some(service.stable), service.canary];
            let mut endpoints = pools.into_iter().flatten().flat_map(|pool| pool.endpoints);
            endpoints.all(|endpoint| endpoint.health != "unknown")
        })
        .await;
        proxy
    }

    /// Blue and green, with `keys` for the service.
    pub(crate) async fn between(blue: &Upstream, green: &Upstream, keys: &str) -> Self {
        Self::start(&config(&[blue], &[green], keys, SHORT)).await
    }

    pub(crate) async fn shop(&self) -> ServiceView {
        self.handle.service("shop").await.unwrap()
    }

    pub(crate) async fn act(&self, action: Action) -> Result<ServiceView, Refusal> {
        self.handle.act("shop", action, Asker::default()).await.map(|view| *view)
    }

    pub(crate) async fn weight(&self, share: &str) {
        self.act(Action::Weight(share.parse().unwrap())).await.unwrap();
    }

    pub(crate) async fn deploy(&self, version: &str) -> Result<ServiceView, Refusal> {
        let version = version.to_owned();
        let deploy = Deploy { version, id: None, endpoints: None, strategy: None, steps: None };
        self.act(Action::Deploy(deploy)).await
    }

    /// Waits until the service's state is `state`.
    pub(crate) async fn reaches(&self, state: &str) -> ServiceView {
        let reached = async {
            loop {
                let service = self.shop().await;
                if service.state == state {
                    return service;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let Ok(service) = tokio::time::timeout(PATIENCE, reached).await else {
            let ServiceView { state: other, reason, .. } = self.shop().await;
            panic!("never {state}; it is {other}: {reason}");
        };
        service
    }

    /// The file that it runs on.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("proxy.toml")
    }

    /// Stops, fails the test if that did not go well, and returns the folder.
    pub(crate) async fn stop(self) -> TempDir {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
        self.dir
    }
}

pub(crate) fn parse(text: &str, path: &Path) -> Config {
    Config::parse(text, path, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"))
}
