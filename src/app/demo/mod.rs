//! `serin demo`: the main job on embedded defaults. A proxy, two pools of real HTTP servers, real
//! traffic and a release, on free ports of this machine; the story is told as it happens.

mod load;
mod servers;
mod story;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::watch;

use super::App;
use crate::cli::{DemoArgs, Fault};
use crate::config::Config;
use crate::control::{Action, Asker, Deploy};
use load::Load;
use servers::Servers;
use story::{Ending, Story};

/// How much traffic there is before the release: the judge wants a baseline.
const LEAD_IN: Duration = Duration::from_secs(3);
/// How much traffic there is after it: nobody may reach the canary any more.
const LEAD_OUT: Duration = Duration::from_secs(2);
/// At so many requests a second the steps end in time with the judge's defaults.
const USUAL_RPS: u32 = 400;
/// The story is over by now, whatever happened.
const LIMIT: Duration = Duration::from_secs(90);

/// Plays the demo, and returns success when the story ended as it should.
pub fn run(args: &DemoArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(play(args))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("serin: demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(args: &DemoArgs) -> io::Result<bool> {
    let dir = ScratchDir::new()?;
    let servers = Servers::start(args.fault).await?;
    let config = config(&servers, args, &dir.0).map_err(io::Error::other)?;
    let app = App::bind(config, None).map_err(io::Error::other)?;
    let address = app.addresses()["web"];
    let (admin, handle) = (app.admin_address().to_owned(), app.handle());
    let (stop_proxy, mut proxy_stopped) = watch::channel(false);
    let proxy = tokio::spawn(app.run(async move {
        let _ = proxy_stopped.wait_for(|stop| *stop).await;
    }));

    let story = Story::new(args);
    story.opens(&servers, address, &admin);
    ready(&handle).await?;
    let (stop_load, load_stopped) = watch::channel(false);
    let load = Load::start(address, args.rps, load_stopped)?;
    tokio::time::sleep(LEAD_IN).await;
    let deploy =
        Deploy { version: "v2".into(), id: None, endpoints: None, strategy: None, steps: None };
    let asker = Asker { actor: "demo".into(), ..Asker::default() };
    let failed = |refusal: crate::control::Refusal| io::Error::other(refusal.to_string());
    handle.act("shop", Action::Deploy(deploy), asker).await.map_err(failed)?;

    let told = tokio::time::timeout(LIMIT, story.follow(&handle, &load, &servers)).await;
    let end =
        told.map_err(|_| io::Error::other("the release did not end in time"))?.map_err(failed)?;
    let hits_at_end = servers.canary_hits();
    tokio::time::sleep(LEAD_OUT).await;
    let hits_after = servers.canary_hits() - hits_at_end;
    let _ = stop_load.send(true);
    let harm = load.finish().await;
    let _ = stop_proxy.send(true);
    proxy.await.map_err(io::Error::other)??;

    let as_it_should = match end.ending {
        Ending::Promoted => args.fault == Fault::None,
        Ending::RolledBack => blames(args.fault, &end.reason) && hits_after <= end.in_flight,
        Ending::GateFailed => false,
    };
    story.closes(&end, &harm, hits_after, as_it_should);
    Ok(as_it_should)
}

/// Whether a rollback for `reason` is one for what `fault` does.
fn blames(fault: Fault, reason: &str) -> bool {
    let (errors, slow) = (reason == "err", reason.starts_with('p'));
    match fault {
        Fault::None => false,
        Fault::Errors => errors,
        Fault::Slow => slow,
        Fault::Crash => errors || reason == "empty",
        // Requests that are not answered are slow first, and errors once they time out.
        Fault::Hang => errors || slow,
    }
}

/// Waits until the stable pool is known to be healthy.
async fn ready(handle: &crate::control::Handle) -> io::Result<()> {
    for _ in 0..200 {
        let view = handle.service("shop").await.map_err(|e| io::Error::other(e.to_string()))?;
        if view.stable.endpoints.iter().all(|endpoint| endpoint.health == "up") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(io::Error::other("the stable pool did not become healthy"))
}

/// The proxy that the demo runs: short steps, so that it ends within a minute.
fn config(servers: &Servers, args: &DemoArgs, dir: &Path) -> Result<Config, String> {
    let list = |addresses: &[std::net::SocketAddr]| {
        let quoted: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
        quoted.join(", ")
    };
    let judge = match args.fault {
        // The defaults, but for a warm-up of 30 s, in which three times slower is forgiven.
        Fault::Slow => "warm_s = 5",
        // A baseline of a few seconds, on a machine that does other things too.
        _ => "warm_s = 2\nlatency_ratio = 10",
    };
    let timeouts = match args.fault {
        // Nobody wants to wait 15 s for the last answers; it is seen long before.
        Fault::Hang => "timeouts = { first_byte = \"5s\" }",
        _ => "",
    };
    // Fewer requests prove less in the same time.
    let scarcity = (f64::from(USUAL_RPS) / f64::from(args.rps)).max(1.0);
    let (harm, advance_floor) = (0.25 * scarcity, 0.5 * scarcity);
    let text = format!(
        r#"
version = 1
[admin]
bind = "127.0.0.1:0"
[state]
path = "state"
[listeners.web]
bind = "127.0.0.1:0"
[services.shop]
stable = "blue"
canary = "green"
sticky = ["header:x-user-id", "ip"]
health = {{ path = "/health", every = "500ms", timeout = "400ms" }}
{timeouts}
[services.shop.pools.blue]
endpoints = [{blue}]
[services.shop.pools.green]
endpoints = [{green}]
[services.shop.rollout]
steps = [
  {{ weight = "5%", requests = 50, hold = "2s" }},
  {{ weight = "25%", requests = 100, hold = "2s" }},
  {{ weight = "50%", requests = 100, hold = "2s" }},
]
guard = "4s"
[services.shop.judge]
{judge}
harm = "{harm}%"
advance_floor = "{advance_floor}%"
"#,
        blue = list(&servers.stable),
        green = list(&servers.canary),
    );
    Config::parse(&text, &dir.join("proxy.toml"), &BTreeMap::new()).map_err(|e| e.to_string())
}

/// A folder of its own for the state, gone afterwards.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn new() -> io::Result<Self> {
        let name = format!("serin-demo-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // It lies in the folder for such things; whatever is left of it does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
