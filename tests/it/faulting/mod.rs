//! What a bad release does to users, through the running proxy: real servers, real requests, a
//! release, and how much harm was done until it was taken back.
//!
//! All play on the same stage: 200 requests a second from users who stay on their side, answers
//! that take 20 ms, a first step of 25 %. The statistics are the defaults but for the warm-up, of
//! 30 s, which is shortened. Each test says what it found in a line; `table` plays all of them five
//! times and prints what docs/judging.md shows.

mod errors;
mod good;
mod resources;
mod slow;
mod stable;
mod table;
mod traffic;

use std::time::Duration;

use serin::control::{Decision, Evidence, ServiceView};

use crate::support::{Got, Pace, TestProxy, Upstream, config, eventually};
use traffic::Crowd;

/// Requests a second.
const RPS: u32 = 200;
/// What takes longer is called not found. A busy machine has fewer requests a second.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// Far above what a busy machine adds to an answer.
const PACE: Pace = Pace { typical: Duration::from_millis(20), share: 0.0, slower: 1.0 };

/// Of the runs that are tests.
const SEED: u64 = 1;

const STICKY: &str = "sticky = [\"header:x-user-id\"]";
const PLAN: &str = r#"
[services.shop.rollout]
steps = [{ weight = "25%", requests = 100, hold = "1s" }, { weight = "50%", requests = 100, hold = "1s" }]
guard = "1s"
notify = []
[services.shop.judge]
warm_s = 0.5
"#;

/// Two servers, the proxy before them, and users.
struct Stage {
    blue: Upstream,
    green: Upstream,
    proxy: TestProxy,
    crowd: Crowd,
}

/// What was found of a release that was rolled back.
#[derive(Clone, Debug)]
struct Found {
    decision: Decision,
    /// Requests that were failed, or made slow on purpose, until the decision.
    harmed: usize,
    /// Requests that the canary got until then.
    requests: usize,
    /// From the canary's first request to the decision.
    time: Duration,
}

impl Stage {
    /// Opens with both servers sound, and users who have been coming for a while.
    async fn open(seed: u64, keys: &str, tables: &str) -> Self {
        Self::open_to(&["/"], seed, keys, tables).await
    }

    /// The same with users who ask for `paths`.
    async fn open_to(paths: &'static [&'static str], seed: u64, keys: &str, tables: &str) -> Self {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        for (upstream, seed) in [(&blue, 2 * seed), (&green, 2 * seed + 1)] {
            upstream.seed(seed);
            upstream.takes(PACE);
        }
        let proxy = TestProxy::start(&config(&[&blue], &[&green], keys, tables)).await;
        let crowd = Crowd::start(proxy.address, RPS, paths);
        eventually("there is traffic", || async { blue.hits() > 400 }).await;
        assert_eq!(green.hits(), 0, "nothing reaches the canary before its release");
        Self { blue, green, proxy, crowd }
    }

    /// Releases the canary, and waits until it is rolled back.
    async fn release(&self) -> Found {
        self.proxy.deploy("v2").await.unwrap();
        self.rolled_back().await
    }

    /// Waits until the canary is rolled back, and until what was on its way has arrived.
    async fn rolled_back(&self) -> Found {
        let rolled_back = async {
            while self.proxy.shop().await.state != "rolled_back" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(FOUND_WITHIN, rolled_back).await.is_err() {
            let service = self.proxy.shop().await;
            panic!("not rolled back; it is {}: {}", service.state, service.reason);
        }
        let service = self.proxy.shop().await;
        assert!(service.weight.wanted.is_zero());
        let decision = last(&service);
        assert_eq!(decision.decision, "rolled_back");
        assert_eq!(decision.actor, "serin");
        Found::of(decision, &self.green.got())
    }

    /// Ends, and checks that the canary got nothing for good since the rollback, and that what
    /// users saw of failures is what it did.
    async fn close(self) {
        eventually("what was on its way has ended", || async {
            let canary = self.proxy.shop().await.canary.unwrap();
            canary.endpoints.iter().all(|endpoint| endpoint.in_flight == 0)
        })
        .await;
        let hits = self.green.hits();
        let before = self.blue.hits();
        eventually("stable serves", || async { self.blue.hits() > before + 40 }).await;
        // Those whose side was chosen just before the table was swapped.
        assert!(self.green.hits() <= hits + 5, "the canary is still used");
        let seen = self.crowd.stop().await;
        let failed = seen.iter().filter(|answer| answer.pool == "green" && !answer.is_good());
        assert!(seen.iter().all(|answer| answer.status > 0), "a request got no answer");
        let failing = self.green.got().iter().filter(|got| got.failed).count();
        assert_eq!(failed.count(), failing, "users saw other failures than there were");
        // And so does the record of the release.
        let want = (self.green.hits() as u64, failing as u64);
        eventually("every request of the canary is counted", || async {
            let rollout = self.proxy.shop().await.rollout.unwrap();
            (rollout.canary_requests, rollout.canary_errors) == want
        })
        .await;
        self.proxy.stop().await;
    }
}

impl Found {
    fn of(decision: Decision, got: &[Got]) -> Self {
        let before = || got.iter().filter(|got| got.at_ms <= decision.at_ms);
        let first_ms = before().map(|got| got.at_ms).min().expect("the canary got a request");
        Self {
            harmed: before().filter(|got| got.harmed).count(),
            requests: before().count(),
            time: Duration::from_millis(decision.at_ms - first_ms),
            decision,
        }
    }

    fn evidence(&self) -> &Evidence {
        self.decision.evidence.as_ref().expect("it stood on evidence")
    }

    /// The evidence called `name`, in nats.
    fn of_name(&self, name: &str) -> f64 {
        let by_name = &self.evidence().by_name;
        let found = by_name.iter().find(|known| known.0 == name);
        found.unwrap_or_else(|| panic!("no evidence `{name}` in {by_name:?}")).1
    }

    /// Says what was found, for whoever watches.
    fn tell(&self, what: &str) {
        let Self { decision, harmed, requests, time } = self;
        let Decision { reason, words, .. } = decision;
        println!(
            "faulting: {what}: {reason} after {time:.1?}, {harmed} of {requests} harmed; {words}"
        );
    }
}

/// The last decision on the release.
fn last(service: &ServiceView) -> Decision {
    service.rollout.as_ref().unwrap().decisions.last().unwrap().clone()
}
