//! The way back, tried before it is needed.
//!
//! A cohort of probes, known by a secret token, is sent to the canary; the proxy fails it without
//! asking the canary; the judge has to notice, the table has to change, and stable has to answer.
//! No user takes part, and nothing of it is counted for the release.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Control;
use super::command::Refusal;
use super::errand::What;
use super::live::millis;
use super::publish::Cohort;
use super::service::{Pools, Service};
use super::view::Rehearsed;
use crate::clock;
use crate::config::{Service as File, Url};
use crate::judge::{Baseline, Interval, Judge, Purpose, Ruling, StepRule, Tick};
use crate::measure::{Delta, histogram};
use crate::outbound::{self, Request};
use crate::rollout::{Stage, State};
use crate::split::Role;
use crate::table::Rehearsal;
use crate::upstream::{Pool, Standing};

/// How long all of it may take. The verdict needs three slices or so.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two probes.
const PAUSE: Duration = Duration::from_millis(5);
/// How long one probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How often stable has to answer once it has the cohort back.
const ANSWERS: u32 = 10;
/// So many probes in a row that stable does not answer well say that it does not answer. One alone
/// says nothing: a pool that fails one request in a hundred is fit to take its users back.
const MISSES: u32 = 3;
/// A slice is at most that long, in seconds: what is tried is the way, not the patience.
const SLICE_S: f64 = 0.25;
/// Says which rehearsal a probe belongs to.
const TOKEN: &str = "x-serin-rehearsal";
/// Says that a probe is for stable.
const SIDE: &str = "x-serin-rehearsal-side";
/// Says which pool answered a probe.
const POOL: &str = "x-serin-pool";

/// A rehearsal under way.
#[derive(Debug)]
pub(super) struct Rehearsing {
    pub(super) number: u64,
    judge: Box<Judge>,
    t_s: f64,
    /// What stable and the canary did since the last tick.
    stable: Interval,
    canary: Interval,
    failures: u64,
    /// When the verdict fired.
    fired: Option<Instant>,
}

/// What the probes saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    /// When stable first answered a probe that was meant for the canary.
    back: Instant,
    answers: u32,
}

impl Rehearsing {
    fn new(file: &File, number: u64) -> Self {
        let mut settings = file.judge.settings.clone();
        settings.slice_s = settings.slice_s.min(SLICE_S);
        let rule = StepRule { weight: 0.5, requests: 10, hold_s: 0.5 };
        let (edges, baseline) = (histogram::edges_ms(), Baseline::default());
        Self {
            number,
            judge: Box::new(Judge::new(settings, vec![rule], Purpose::Canary, edges, &baseline)),
            t_s: 0.0,
            stable: Interval { healthy: true, ..Interval::default() },
            canary: Interval { healthy: true, ..Interval::default() },
            failures: 0,
            fired: None,
        }
    }

    /// Takes in what the cohort of `role` did.
    pub(super) fn measured(&mut self, role: Role, interval: &Interval) {
        let known = match role {
            Role::Stable => &mut self.stable,
            Role::Canary => &mut self.canary,
        };
        super::judging::merge(known, interval);
    }

    /// Lets `dt` pass; true when the verdict fires.
    fn tick(&mut self, dt: Duration, now: Instant) -> bool {
        let healthy = || Interval { healthy: true, ..Interval::default() };
        self.t_s += dt.as_secs_f64();
        let (stable, canary) = (
            std::mem::replace(&mut self.stable, healthy()),
            std::mem::replace(&mut self.canary, healthy()),
        );
        if self.fired.is_some() {
            return false;
        }
        self.failures += canary.errors;
        let (t_s, dt_s) = (self.t_s, dt.as_secs_f64());
        let verdict = self.judge.tick(&Tick { t_s, dt_s, stable, canary, ..Tick::default() });
        let fires = verdict.ruling == Ruling::Rollback;
        self.fired = fires.then_some(now);
        fires
    }
}

impl Control {
    /// Tries the way back of service `name` because an operator asks for it.
    pub(super) fn rehearse(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(service) = self.services.get(name) else { return Ok(()) };
        let conflict = |why: &str| Err(Refusal::Conflict(format!("service `{name}`: {why}")));
        if service.rehearsing.is_some() {
            return conflict("the way back is being rehearsed already");
        }
        if matches!(service.live.state(), State::Running { stage: Stage::Gate, .. }) {
            return conflict(
                "this release rehearses its way back by itself, before its first step",
            );
        }
        if service.live.canary.is_none() {
            return conflict("there is no second pool, so there is no way back to rehearse");
        }
        self.start_rehearsal(name);
        Ok(())
    }

    /// Begins a rehearsal, and returns the number under which its end is told.
    pub(super) fn start_rehearsal(&mut self, name: &str) -> Option<u64> {
        let service = self.services.get_mut(name)?;
        if let Some(running) = &service.rehearsing {
            return Some(running.number);
        }
        let Pools { stable, canary } = self.publisher.pools(service)?;
        let canary = canary?.name.clone();
        let number = self.errands.number();
        if let Err(words) = capacity(&stable) {
            self.errands.tell(name, number, What::Rehearsed(Err(words)));
            return Some(number);
        }
        let token = format!("{:032x}", rand::random::<u128>());
        let cohort = Rehearsal {
            token: token.clone(),
            service: 0,
            to: Role::Canary,
            fail: true,
            stable: self.publisher.slot(name, &stable.name, Cohort::Rehearsal)?,
            canary: self.publisher.slot(name, &canary, Cohort::Rehearsal)?,
        };
        service.rehearsing = Some(Rehearsing::new(&service.config, number));
        self.publisher.rehearse(name, Some(cohort));
        let target = stable.health_path.clone().unwrap_or_else(|| "/".to_owned());
        let address = reachable(self.listener);
        let probes = Probes {
            address,
            url: Url { tls: false, host: address.ip().to_string(), port: address.port(), target },
            token,
            stable: stable.name.clone(),
        };
        self.errands.rehearse(name, number, async move { probes.run().await });
        Some(number)
    }

    /// Ends the rehearsal that runs as if every probe had been answered: nobody listens in a test of
    /// control alone.
    #[cfg(test)]
    pub(super) fn rehearsed_well(&mut self, name: &str) {
        let now = clock::now();
        let running = self.services.get_mut(name).and_then(|service| service.rehearsing.as_mut());
        if let Some(rehearsing) = running {
            rehearsing.fired = Some(now);
            let number = rehearsing.number;
            self.rehearsed(name, number, Ok(Probed { back: now, answers: ANSWERS }));
            self.health_changed();
        }
    }

    /// Judges what the probes saw; the way back is taken at once.
    pub(super) fn rehearsals(&mut self, dt: Duration) {
        for (name, service) in &mut self.services {
            let Some(rehearsing) = &mut service.rehearsing else { continue };
            if rehearsing.tick(dt, clock::now()) {
                self.publisher.roll_back_rehearsal(name);
            }
        }
    }

    /// The probes are done.
    pub(super) fn rehearsed(&mut self, name: &str, number: u64, probed: Result<Probed, String>) {
        let Some(service) = self.services.get_mut(name) else { return };
        let rehearsing = service.rehearsing.take_if(|rehearsing| rehearsing.number == number);
        if rehearsing.is_some() {
            self.publisher.rehearse(name, None);
        } else if probed.is_ok() {
            // Another service had this name when it began.
            return;
        }
        let stable = self.publisher.pools(service).map(|pools| pools.stable);
        let capacity = stable.map_or(Ok(String::new()), |stable| capacity(&stable));
        let fired = rehearsing.as_ref().and_then(|rehearsing| rehearsing.fired);
        let failures = rehearsing.as_ref().map_or(0, |rehearsing| rehearsing.failures);
        let (armed, words, back_ms) = match (probed, fired, capacity) {
            (Err(words), ..) | (_, _, Err(words)) => (false, words, None),
            (Ok(_), None, _) => (false, "stable answered before a verdict".to_owned(), None),
            (Ok(probed), Some(fired), Ok(capacity)) => {
                let ms = probed.back.saturating_duration_since(fired).as_secs_f64() * 1e3;
                let words = format!(
                    "rollback armed, {ms:.0} ms; the verdict fired after {failures} injected failures, then stable answered {} of {} probes; {capacity}",
                    probed.answers, probed.answers
                );
                (true, words, Some(ms))
            }
        };
        tracing::info!(service = name, armed, words, "rehearsed");
        let rehearsed = Rehearsed { at_ms: millis(clock::unix()), armed, words, back_ms };
        service.live.rehearsal = Some(rehearsed.clone());
        if service.awaited == Some(number) {
            service.awaited = None;
            if let Some(rollout) = &mut service.live.rollout {
                rollout.rehearsal = Some(rehearsed.clone());
            }
            if armed {
                service.gating.passed(rehearsed.words, service.observed);
            } else {
                service.gating.failed("rehearsal", rehearsed.words);
            }
        }
        self.persist(name);
    }
}

impl Service {
    /// Takes in what the probes did to a pool.
    pub(super) fn rehearsal_measured(&mut self, pool: &str, delta: &Delta) {
        let role =
            if self.live.canary.as_deref() == Some(pool) { Role::Canary } else { Role::Stable };
        if let Some(rehearsing) = &mut self.rehearsing {
            rehearsing.measured(role, &delta.interval);
        }
    }
}

/// Whether stable can take everybody: at least half of its servers have to be up.
fn capacity(stable: &Pool) -> Result<String, String> {
    let serving = stable.endpoints.iter().filter(|endpoint| !endpoint.is_drained());
    let (all, up) = serving
        .fold((0, 0), |(all, up), endpoint| (all + 1, up + u32::from(endpoint.is_available())));
    let words = format!("{up} of {all} endpoints of pool {} are up", stable.name);
    if stable.standing() == Standing::Up && up * 2 >= all { Ok(words) } else { Err(words) }
}

/// Where `listener` is reached from this machine.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

/// Sends the cohort's requests through the proxy's own port.
#[derive(Debug)]
struct Probes {
    address: SocketAddr,
    url: Url,
    token: String,
    /// The pool that has to answer.
    stable: String,
}

impl Probes {
    async fn run(self) -> Result<Probed, String> {
        let until = clock::now() + LIMIT;
        let (mut back, mut answers, mut misses) = (None, 0, 0);
        while clock::now() < until {
            match self.round(back.is_some()).await {
                Ok(Side::Canary) => tokio::time::sleep(PAUSE).await,
                Ok(Side::Stable) => {
                    back.get_or_insert_with(clock::now);
                    answers += 1;
                }
                Err(Trouble::Missed(words)) if misses + 1 == MISSES => return Err(words),
                Err(Trouble::Missed(_)) => {
                    misses += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(Trouble::Wrong(words)) => return Err(words),
            }
            misses = 0;
            if let Some(back) = back.filter(|_| answers >= ANSWERS) {
                return Ok(Probed { back, answers });
            }
        }
        Err(match back {
            Some(_) => format!("stable answered only {answers} probes in {} s", LIMIT.as_secs()),
            None => format!("the verdict did not fire within {} s", LIMIT.as_secs()),
        })
    }

    /// Asks stable, and then whoever has the cohort. Says who that is.
    async fn round(&self, is_back: bool) -> Result<Side, Trouble> {
        if self.ask(Role::Stable).await? == Side::Canary {
            return Err(Trouble::Wrong("a probe for stable reached the canary".to_owned()));
        }
        let side = self.ask(Role::Canary).await?;
        if is_back && side == Side::Canary {
            let words = "the canary got a request after the way back was taken";
            return Err(Trouble::Wrong(words.to_owned()));
        }
        Ok(side)
    }

    /// Sends one probe. Says who answered it.
    async fn ask(&self, role: Role) -> Result<Side, Trouble> {
        let mut headers = vec![(TOKEN.to_owned(), self.token.clone())];
        if role == Role::Stable {
            headers.push((SIDE.to_owned(), "stable".to_owned()));
        }
        let request =
            Request { method: "GET", url: &self.url, headers: &headers, body: Bytes::new() };
        let answer = outbound::send_to(self.address, &request, PROBE_LIMIT).await;
        let answer = answer.map_err(|error| {
            let hint = match &error {
                outbound::Error::NoHttp { .. } => "; a port that is full turns probes away, too",
                _ => "",
            };
            Trouble::Missed(format!("a probe got no answer: {error}{hint}"))
        })?;
        let (status, pool) = (answer.status, answer.header(POOL));
        // Without a name it is the proxy's own answer in the place of stable's.
        if pool.is_some_and(|pool| pool != self.stable) {
            return Ok(Side::Canary);
        }
        if pool.is_some() && status < 500 {
            return Ok(Side::Stable);
        }
        let words = format!("stable does not answer: GET {} answered {status}", self.url.target);
        Err(Trouble::Missed(words))
    }
}

/// Who answered a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Stable,
    Canary,
}

/// Why a round of probes is no good one.
enum Trouble {
    /// Stable did not answer well, this time.
    Missed(String),
    /// Something that must never happen.
    Wrong(String),
}
