//! Active health checks: a pure count of passes and failures, and the loop that asks.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::connect::is_our_want;
use super::{EPOCH, Endpoint};
use crate::config::{Health as Rule, Probe};
use crate::outbound;

/// What checks say of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Health {
    /// No check has said anything yet: it gets nothing.
    Unknown,
    /// It may be given requests.
    Up,
    /// It may not.
    Down,
}

impl Health {
    pub(super) const fn of_word(word: u64) -> Self {
        match word & 0xff {
            1 => Self::Up,
            2 => Self::Down,
            _ => Self::Unknown,
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Passes and failures in a row.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Streak {
    passes: u32,
    failures: u32,
}

impl Streak {
    /// Returns what to think of an endpoint after one more check. The first pass of an endpoint
    /// that nothing is known of brings it up at once; one that was down has to rise again.
    pub const fn next(&mut self, health: Health, passed: bool, rise: u32, fall: u32) -> Health {
        if passed {
            self.failures = 0;
            self.passes = self.passes.saturating_add(1);
        } else {
            self.passes = 0;
            self.failures = self.failures.saturating_add(1);
        }
        match health {
            Health::Unknown if self.passes > 0 => Health::Up,
            Health::Down if self.passes >= rise => Health::Up,
            Health::Unknown | Health::Up if self.failures >= fall => Health::Down,
            health => health,
        }
    }
}

/// Checks `endpoint` until it is gone, and says so through `changed`.
pub(super) async fn watch(endpoint: Weak<Endpoint>, rule: Arc<Rule>, changed: Arc<Notify>) {
    let mut streak = Streak::default();
    let mut epoch = None;
    // Thousands of checks begin together at a start; the second ones are spread over `every`.
    let mut pause = rule.every.mul_f64(rand::random());
    loop {
        let Some(target) = endpoint.upgrade() else { return };
        let began = target.begin_check();
        if epoch != Some(began.word / EPOCH) {
            (epoch, streak) = (Some(began.word / EPOCH), Streak::default());
        }
        let failure = match check(&target, &rule).await {
            Ok(()) => None,
            Err(Failure::Ours(why)) => {
                tracing::warn!(target = %target.target, why, "cannot be checked for want of something of our own");
                drop(target);
                tokio::time::sleep(rule.every).await;
                continue;
            }
            Err(Failure::Theirs(why)) => Some(why),
        };
        let before = Health::of_word(began.word);
        let after = streak.next(before, failure.is_none(), rule.rise, rule.fall);
        // A check that began before the health was renewed says nothing about what is there now.
        if target.found(began, failure.is_none(), after) {
            if after != before {
                changed.notify_one();
                report(&target, after, failure.as_deref());
            }
            let renewed = Arc::clone(&target.renewed);
            drop(target);
            // Either is a good time for the next check.
            let _ = tokio::time::timeout(pause, renewed.notified()).await;
            pause = rule.every;
        }
    }
}

/// Why a check did not pass.
enum Failure {
    /// We could not ask: it says nothing of the endpoint.
    Ours(String),
    Theirs(String),
}

async fn check(endpoint: &Endpoint, rule: &Rule) -> Result<(), Failure> {
    let address = endpoint.address;
    let theirs = |why: String| Err(Failure::Theirs(why));
    let probe = async {
        match &rule.probe {
            Probe::Off => Ok(()),
            Probe::Tcp => match tokio::net::TcpStream::connect(address).await {
                Ok(_) => Ok(()),
                Err(error) if is_our_want(&error, address) => Err(Failure::Ours(error.to_string())),
                Err(error) => theirs(error.to_string()),
            },
            Probe::Http(path) => {
                let host = endpoint.target.to_string();
                match outbound::get(address, &host, path).await {
                    Ok(status) if (200..300).contains(&status) => Ok(()),
                    Ok(404) => theirs(format!(
                        "GET {path} answered 404: set `health.path` to a path that the service has"
                    )),
                    Ok(status) => theirs(format!("GET {path} answered {status}")),
                    Err(error @ outbound::Error::Want(_)) => Err(Failure::Ours(error.to_string())),
                    Err(error) => theirs(error.to_string()),
                }
            }
        }
    };
    tokio::time::timeout(rule.timeout, probe)
        .await
        .unwrap_or_else(|_| theirs(format!("no answer within {:?}", rule.timeout)))
}

fn report(endpoint: &Endpoint, health: Health, failure: Option<&str>) {
    let (target, address) = (&endpoint.target, endpoint.address);
    match failure {
        Some(reason) => tracing::warn!(%target, %address, reason, "endpoint is {}", health.name()),
        None => tracing::info!(%target, %address, "endpoint is {}", health.name()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::PoolTimeouts;
    use crate::upstream::{Balance, Began, Pool};
    use Health::{Down, Up};

    #[test]
    fn an_endpoint_rises_and_falls() {
        use Health::Unknown;
        let mut streak = Streak::default();
        let mut health = Unknown;
        // Passed or not, and what is thought of it afterwards: rise 2, fall 3.
        let story = [
            (false, Unknown),
            (false, Unknown),
            (false, Down),
            (true, Down),
            (false, Down),
            (true, Down),
            (true, Up),
            (false, Up),
            (false, Up),
            (true, Up),
            (false, Up),
            (false, Up),
            (false, Down),
        ];
        for (number, (passed, want)) in story.into_iter().enumerate() {
            health = streak.next(health, passed, 2, 3);
            assert_eq!(health, want, "after check {number}");
        }
        assert_eq!(Streak::default().next(Unknown, true, 2, 3), Up, "the first pass counts");
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn pool() -> Pool {
        let endpoint =
            Endpoint::new("127.0.0.1:1".parse().unwrap(), ([127, 0, 0, 1], 1).into(), Up);
        Pool {
            name: "p".into(),
            endpoints: [endpoint].into(),
            balance: Balance::RoundRobin,
            timeouts: PoolTimeouts { connect: SECOND, first_byte: SECOND, total: SECOND },
            health_path: None,
        }
    }

    /// A check that began before this, and ends now.
    fn ends(pool: &Pool, began: Began, passed: bool, health: Health) {
        assert!(pool.endpoints[0].found(began, passed, health));
    }

    fn check(pool: &Pool, passed: bool, health: Health) {
        ends(pool, pool.endpoints[0].begin_check(), passed, health);
    }

    #[test]
    fn a_pool_that_died_alone_is_told_from_a_fault_of_both() {
        let (canary, stable) = (pool(), pool());
        check(&stable, true, Up);
        check(&canary, false, Down);
        assert!(!canary.is_down_beside(&stable), "stable may have been looked at too early");
        let early = canary.endpoints[0].begin_check();
        check(&stable, true, Up);
        ends(&canary, early, false, Down);
        assert!(!canary.is_down_beside(&stable), "it may be up again by now");
        check(&canary, false, Down);
        assert!(canary.is_down_beside(&stable));

        // Both fail, and the canary is down first; both recover, and stable is up first.
        let (canary, stable) = (pool(), pool());
        for (pool, passed, health) in [
            (&stable, true, Up),
            (&canary, false, Down),
            (&stable, false, Up),
            (&canary, false, Down),
            (&stable, false, Down),
            (&canary, false, Down),
            (&stable, true, Down),
            (&canary, true, Down),
            (&stable, true, Up),
            (&canary, true, Up),
            (&stable, true, Up),
        ] {
            check(pool, passed, health);
            assert!(!canary.is_down_beside(&stable));
        }
    }
}
