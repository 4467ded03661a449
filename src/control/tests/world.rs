//! Control on a recorded disk, without threads: a test says when a state is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::recorder::{Files, Published, Recorder};
use crate::clock;
use crate::config::Config;
use crate::control::command::{Action, Asker, Deploy};
use crate::control::live::{Live, Rollout};
use crate::control::service::Cause;
use crate::control::start::{Setup, Work, prepare};
use crate::control::store::{HISTORY_MAX, Kept, Store, Unusable};
use crate::control::writer::{Job, Writer};
use crate::control::{Control, Decision, Inbox};
use crate::control::{history, saved};
use crate::measure::Recorder as Measure;
use crate::rollout::Event;
use crate::table::Cell;
use crate::telemetry::metrics::Metrics;

/// Two services, so that one can be seen to leave the other alone.
const CONFIG: &str = r#"
version = 1
[listeners.web]
bind = "127.0.0.1:0"
[services.shop]
stable = "blue"
canary = "green"
health = { off = true }
[services.shop.pools.blue]
endpoints = ["127.0.0.1:1"]
[services.shop.pools.green]
endpoints = ["127.0.0.1:2"]
[services.shop.rollout]
steps = [{ weight = "5%", requests = 1, hold = "1s" }, { weight = "50%", requests = 1, hold = "1s" }]
[services.shop-1]
hosts = ["one.example"]
stable = "blue"
canary = "green"
health = { off = true }
weight = "20%"
[services.shop-1.pools.blue]
endpoints = ["127.0.0.1:3"]
[services.shop-1.pools.green]
endpoints = ["127.0.0.1:4"]
"#;

/// The boot that the tests run in.
pub(super) const BOOT: &str = "this boot";

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Control that nobody but the test runs.
pub(super) struct Started {
    pub(super) control: Control,
    pub(super) inbox: Inbox,
    pub(super) work: Work,
    pub(super) cell: Cell,
}

pub(super) fn start(
    store: Arc<dyn Store>,
    cell: Cell,
    boot: &str,
    runtime: &Runtime,
) -> Result<Started, Unusable> {
    static PARSED: LazyLock<Config> = LazyLock::new(|| {
        let config = Config::parse(CONFIG, Path::new("proxy.toml"), &BTreeMap::new());
        config.unwrap_or_else(|errors| panic!("{errors}"))
    });
    start_with(PARSED.clone(), store, cell, boot, runtime)
}

pub(super) fn start_with(
    config: Config,
    store: Arc<dyn Store>,
    cell: Cell,
    boot: &str,
    runtime: &Runtime,
) -> Result<Started, Unusable> {
    let setup = Setup {
        config,
        config_path: None,
        store,
        cell: cell.clone(),
        drain: Measure::split(1).1,
        metrics: Metrics::default(),
        service_thread: runtime.handle().clone(),
        listener: "127.0.0.1:9".parse().unwrap(),
    };
    let (control, inbox, _, _, work) = prepare(setup, boot.to_owned())?;
    Ok(Started { control, inbox, work, cell })
}

/// One life of the process after another, on one directory.
pub(super) struct World {
    store: Arc<dyn Store>,
    pub(super) disk: Arc<Recorder>,
    runtime: Runtime,
    control: Arc<Mutex<Control>>,
    cell: Cell,
    work: Work,
    writer: Writer,
    inbox: Inbox,
    now: Instant,
    asked: u32,
}

impl World {
    pub(super) fn new() -> Self {
        Self::on(Recorder::new(Files::new(), "green"))
    }

    /// On what is on `disk`.
    pub(super) fn on(disk: Recorder) -> Self {
        let disk = Arc::new(disk);
        Self::begin(disk.store(), disk, runtime())
    }

    /// On a store that is no disk.
    pub(super) fn on_store(store: Arc<dyn Store>) -> Self {
        Self::begin(store, Arc::new(Recorder::new(Files::new(), "green")), runtime())
    }

    fn begin(store: Arc<dyn Store>, disk: Arc<Recorder>, runtime: Runtime) -> Self {
        let cell = Cell::default();
        disk.publishes(&cell);
        let started = start(Arc::clone(&store), cell, BOOT, &runtime).unwrap();
        let Started { control, inbox, work, cell } = started;
        let control = Arc::new(Mutex::new(control));
        let (writer, now) = (Writer::new(Arc::clone(&store)), clock::now());
        Self { store, disk, runtime, control, cell, work, writer, inbox, now, asked: 0 }
    }

    /// Ends the process as kill -9 does, and starts the next one.
    pub(super) fn killed(self) -> Self {
        let Self { disk, runtime, asked, .. } = self;
        Self { asked, ..Self::begin(disk.store(), disk, runtime) }
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap()
    }

    /// For what is done in the middle of a write.
    pub(super) fn handle(&self) -> Arc<Mutex<Control>> {
        Arc::clone(&self.control)
    }

    pub(super) fn published(&self) -> Published {
        Published::of(&self.cell).unwrap()
    }

    pub(super) fn state(&self) -> String {
        self.control().services["shop"].live.state().name().to_owned()
    }

    /// Answers every question for the history.
    pub(super) fn answer(&mut self) {
        while let Ok(question) = self.work.questions.try_recv() {
            history::answer(&*self.store, question);
        }
    }

    /// Lets control hear of what others wrote.
    pub(super) fn hear(&mut self) {
        while let Ok(change) = self.inbox.others.try_recv() {
            self.control().changed_by_others(&change);
        }
    }

    /// Waits for the next millisecond.
    pub(super) fn later(&self) {
        let began = clock::unix().as_millis();
        while clock::unix().as_millis() == began {
            std::thread::yield_now();
        }
    }

    /// Writes every state that waits for it, and those that follow from it.
    pub(super) fn write_all(&mut self) {
        while self.write_one() {}
    }

    /// Writes the state that has waited longest, if one does.
    pub(super) fn write_one(&mut self) -> bool {
        let Ok(job) = self.work.jobs.try_recv() else { return false };
        let (decisions, stable) = of_job(&job);
        let (shop, durability) = (job.service == "shop", job.durability);
        let stored = self.writer.write(job);
        if shop && stored.result.is_ok() {
            self.disk.promise(&decisions, &stable, durability);
        }
        self.control().stored(stored);
        true
    }

    /// Lets a tenth of a second pass.
    pub(super) fn tick(&mut self) {
        self.now += Duration::from_millis(100);
        let now = self.now;
        self.control().tick(now);
    }

    /// Waits until the checks have found every endpoint healthy, and control has heard of it.
    pub(super) fn healthy(&mut self) {
        let pools = |world: &Self| {
            let mut control = world.control();
            let Control { services, publisher, .. } = &mut *control;
            let pools = publisher.pools(&services["shop"]).unwrap();
            let canary = pools.canary.unwrap();
            let mut all = pools.stable.endpoints.iter().chain(canary.endpoints.iter());
            all.all(|endpoint| endpoint.is_available())
        };
        for _ in 0..1_000 {
            if pools(self) {
                self.control().health_changed();
                self.control().rehearsed_well("shop");
                return;
            }
            self.runtime.block_on(tokio::task::yield_now());
        }
        panic!("an endpoint without checks is not up");
    }

    pub(super) fn deploy(&mut self, version: &str) {
        let tried = self.control().services["shop"].live.canary.clone().unwrap();
        self.disk.tries(&tried);
        let version = version.to_owned();
        let deploy = Deploy { version, id: None, endpoints: None, strategy: None, steps: None };
        self.act(Action::Deploy(deploy));
    }

    pub(super) fn act(&mut self, action: Action) {
        self.asked += 1;
        let done = self.control().act("shop", action, asker(self.asked));
        done.unwrap_or_else(|refusal| panic!("{refusal}"));
    }

    pub(super) fn weight(&mut self, share: &str) {
        self.act(Action::Weight(share.parse().unwrap()));
    }

    /// What the judge would say.
    pub(super) fn judged(&mut self, event: Event) {
        self.control().decide("shop", event, Cause::own("test", format!("{event:?}")));
    }

    /// Brings release `version` to its first step.
    pub(super) fn reach_first_step(&mut self, version: &str) {
        self.deploy(version);
        self.write_all();
        self.healthy();
        self.write_all();
        assert_eq!(self.state(), "step");
    }

    /// Brings release `version` all the way.
    pub(super) fn reach_promoted(&mut self, version: &str) {
        self.reach_first_step(version);
        for event in [Event::Advance, Event::Advance, Event::GuardOver] {
            self.judged(event);
            self.write_all();
        }
        assert_eq!(self.state(), "promoted");
    }
}

/// The one who asks for the `count`th time: nothing is asked twice in the same way.
pub(super) fn asker(count: u32) -> Asker {
    Asker { actor: format!("tester {count}"), ..Asker::default() }
}

/// Every decision that a state's job would store, and its stable pool.
fn of_job(job: &Job) -> (Vec<Decision>, String) {
    let live: Live = serde_json::from_slice(&job.state).unwrap();
    let mut all = of_live(&live);
    for (_, rollout) in &job.archive {
        all.extend(of_archived(rollout).decisions);
    }
    (all, live.stable)
}

pub(super) fn of_live(live: &Live) -> Vec<Decision> {
    let rollouts = live.ended.iter().chain(&live.rollout);
    let of_rollouts = rollouts.flat_map(|rollout| rollout.decisions.clone());
    of_rollouts.chain(live.by_hand.clone()).collect()
}

fn of_archived(rollout: &[u8]) -> Rollout {
    let (service, place) = (String::new(), String::new());
    saved::archived(&Kept { service, rollout: rollout.to_vec(), place }).unwrap()
}

/// Every decision of service `shop` that a store and its state hold.
pub(super) fn decisions(store: &dyn Store, live: &Live) -> Vec<Decision> {
    let mut all = of_live(live);
    for kept in store.history(Some("shop"), HISTORY_MAX).unwrap() {
        let rollout = saved::archived(&kept).unwrap();
        // One that is in both is one.
        let mut known = live.ended.iter().chain(&live.rollout);
        if known.all(|known| known.key() != rollout.key()) {
            all.extend(rollout.decisions);
        }
    }
    all
}
