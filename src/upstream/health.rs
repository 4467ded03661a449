//! Active health checks: a pure count of passes and failures, and the loop that asks.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

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
        let began = target.word();
        if epoch != Some(began / EPOCH) {
            (epoch, streak) = (Some(began / EPOCH), Streak::default());
        }
        let failure = check(&target, &rule).await.err();
        let before = Health::of_word(began);
        let after = streak.next(before, failure.is_none(), rule.rise, rule.fall);
        // A check that began before the health was renewed says nothing about what is there now.
        if target.found(began, after) {
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

async fn check(endpoint: &Endpoint, rule: &Rule) -> Result<(), String> {
    let probe = async {
        match &rule.probe {
            Probe::Off => Ok(()),
            Probe::Tcp => tokio::net::TcpStream::connect(endpoint.address)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            Probe::Http(path) => {
                let host = endpoint.target.to_string();
                match outbound::get(endpoint.address, &host, path).await {
                    Ok(status) if (200..300).contains(&status) => Ok(()),
                    Ok(404) => Err(format!(
                        "GET {path} answered 404: set `health.path` to a path that the service has"
                    )),
                    Ok(status) => Err(format!("GET {path} answered {status}")),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    };
    tokio::time::timeout(rule.timeout, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {:?}", rule.timeout)))
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
    use super::*;

    #[test]
    fn an_endpoint_rises_and_falls() {
        use Health::{Down, Unknown, Up};
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
}
