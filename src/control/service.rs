//! One service while the process runs: its file, its durable state, and what is being seen of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::errand::Errand;
use super::gating::Gating;
use super::judging::{Judging, Seen, withhold};
use super::live::{Call, Live, Rollout, millis};
use super::notify::send::Sender;
use super::queries::Queries;
use super::rehearsal::Rehearsing;
use super::view::time;
use super::writer::Base;
use crate::clock;
use crate::config;
use crate::judge::{self, Interval, Ruling, Verdict};
use crate::rollout::plan::Strategy;
use crate::rollout::{Event, Stage, State};
use crate::split::Salt;
use crate::split::issued::Issuer;
use crate::upstream::{Pool, Standing};

/// Something that people are told although nothing was decided.
#[derive(Debug)]
pub(super) struct Remark {
    pub(super) kind: &'static str,
    pub(super) words: String,
}

/// Why something is decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) reason: String,
    pub(super) words: String,
    pub(super) actor: String,
    pub(super) why: Option<String>,
    pub(super) evidence: Option<judge::Evidence>,
}

impl Cause {
    /// serin's own decision.
    pub(super) fn own(reason: &str, words: impl Into<String>) -> Self {
        let (reason, words) = (reason.to_owned(), words.into());
        Self { reason, words, actor: "serin".into(), ..Self::default() }
    }

    fn of_verdict(verdict: &Verdict) -> Self {
        let own = Self::own(&verdict.reason, verdict.words.clone());
        Self { evidence: Some(verdict.evidence.clone()), ..own }
    }
}

/// One service while the process runs.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) config: config::Service,
    pub(super) issuer: Option<Issuer>,
    pub(super) live: Live,
    /// The table that last changed it.
    pub(super) generation: u64,
    /// By pool.
    pub(super) seen: BTreeMap<String, Seen>,
    pub(super) judging: Judging,
    pub(super) queries: Queries,
    pub(super) verdict: Option<Verdict>,
    /// Where the checks before the first request stand.
    pub(super) gating: Gating,
    /// What is to be asked of others; taken by control.
    pub(super) errands: Vec<Errand>,
    /// The errand whose answer the release waits for.
    pub(super) awaited: Option<u64>,
    /// The way back is being tried.
    pub(super) rehearsing: Option<Rehearsing>,
    /// The call of a hook that no release waits for.
    pub(super) calling: Option<(u64, Call)>,
    /// How long the stage has been watched, pauses left out.
    pub(super) observed: Duration,
    /// The same, whatever made the observation begin anew.
    pub(super) staged: Duration,
    deadline_passed: bool,
    /// There is an alarm, and it has been quiet for so long.
    pub(super) alarmed: Option<Duration>,
    /// That the step is held was said.
    pub(super) held: bool,
    /// Tells people.
    pub(super) notices: Sender,
    /// What people are to be told; taken by control.
    pub(super) remarks: Vec<Remark>,
    /// Why the pending move is made.
    pub(super) moving_for: Cause,
    /// The write that the pending move waits for.
    pub(super) token: u64,
    /// The last write that is known to have ended.
    pub(super) stored: u64,
    /// The number of the last rollback that was decided; later ones have higher numbers.
    pub(super) last_intent: u64,
    /// What the state was last read from.
    pub(super) base: Base,
    /// Whether the last way back was written down before it was taken.
    pub(super) intended: bool,
    /// Why the state could not be written when it was last tried.
    pub(super) write_error: Option<String>,
    /// The state still has to be written.
    pub(super) unsaved: bool,
    /// How long the judge's state has not been written.
    pub(super) unsaved_for: Duration,
}

/// The pools that the judge compares.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) stable: Arc<Pool>,
    pub(super) canary: Option<Arc<Pool>>,
}

/// What follows from what was seen, if anything.
pub(super) type Follows = Option<(Event, Cause)>;

impl Service {
    pub(super) fn new(
        config: config::Service,
        issuer: Option<Issuer>,
        mut live: Live,
        service_thread: &Handle,
    ) -> Self {
        live.next_salt.get_or_insert_with(|| Salt(rand::random()));
        Self {
            notices: Sender::new(service_thread.clone(), &config.rollout.notify),
            config,
            issuer,
            live,
            generation: 0,
            seen: BTreeMap::new(),
            judging: Judging::default(),
            queries: Queries::default(),
            verdict: None,
            gating: Gating::default(),
            errands: Vec::new(),
            awaited: None,
            rehearsing: None,
            calling: None,
            held: false,
            observed: Duration::ZERO,
            staged: Duration::ZERO,
            deadline_passed: false,
            alarmed: None,
            remarks: Vec::new(),
            moving_for: Cause::default(),
            token: 0,
            stored: 0,
            // Whatever an earlier process intended was honoured when the state was read.
            last_intent: millis(clock::unix()),
            base: Base::default(),
            intended: true,
            write_error: None,
            unsaved: false,
            unsaved_for: Duration::ZERO,
        }
    }

    /// Whether there is anything to look at: 5,000 idle services cost a tick next to nothing.
    pub(super) fn is_active(&self) -> bool {
        self.live.state().is_running()
            || !self.live.weight.is_zero()
            || !self.seen.is_empty()
            || self.rehearsing.is_some()
    }

    /// Whether serin itself holds the rollout: the point of no return is behind it.
    pub(super) fn is_stopped(&self) -> bool {
        let last = self.live.rollout.as_ref().and_then(Rollout::last);
        last.is_some_and(|last| last.decision == "frozen")
    }

    /// Says why nothing goes forward, if somebody froze the service.
    pub(super) fn frozen(&self) -> Option<String> {
        let freeze = self.live.frozen(millis(clock::unix()))?;
        let until = freeze.until_ms.map_or(String::new(), |at| format!(" until {}", time(at)));
        let why = freeze.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        Some(format!("frozen by {}{until}{why}", freeze.actor))
    }

    /// A stage begins, or is resumed.
    pub(super) fn begin_stage(&mut self) {
        self.observe_anew();
        self.staged = Duration::ZERO;
        self.deadline_passed = false;
        self.held = false;
    }

    /// Begins the stage's observation anew. Its deadline stays: what changes again and again must not
    /// hold a release for ever in silence.
    pub(super) fn observe_anew(&mut self) {
        self.observed = Duration::ZERO;
        // That hook goes on: it is what makes a name resolve, and is not to be called twice.
        if self.awaited.is_none() || !self.gating.is_deploying() {
            self.gating = Gating::default();
            self.awaited = None;
        }
        self.drop_move();
        let judged = self.live.rollout.as_mut().and_then(|rollout| rollout.judge.as_mut());
        if let Some(judged) = judged {
            judged.judge.restart_step();
        }
        self.judging.observe_anew();
        self.queries = Queries::default();
    }

    /// Gives up a move that is not made yet, with the hook that it waits for, and says whether there
    /// was one: what it was decided on is no longer so.
    pub(super) fn drop_move(&mut self) -> bool {
        let state = self.live.rollout.as_mut().map(|rollout| &mut rollout.state);
        let Some(State::Running { moving, .. }) = state else { return false };
        let dropped = moving.take().is_some();
        if dropped {
            self.awaited = None;
        }
        dropped
    }

    /// Whether the rollout may go forward: no move is under way, and nobody holds it.
    fn is_free(&self) -> bool {
        matches!(self.live.state(), State::Running { moving: None, paused: false, .. })
            && self.live.frozen(millis(clock::unix())).is_none()
    }

    /// Whether `event` may happen now. A bad verdict is heard at any time; the rest waits for the
    /// move or the operator.
    fn heeds(&self, event: Event) -> bool {
        let moves = matches!(self.live.state(), State::Running { moving: Some(_), .. });
        event == Event::Fail || (event == Event::GateFailed && !moves) || self.is_free()
    }

    /// Lets `dt` pass, and returns what follows from what was seen.
    pub(super) fn tick(&mut self, dt: Duration, pools: &Pools) -> Follows {
        for seen in self.seen.values_mut() {
            seen.stats.age(dt);
        }
        self.pass(dt);
        let event = match self.live.state() {
            State::Running { stage, paused, .. } => {
                if !paused {
                    self.observed += dt;
                    self.staged += dt;
                }
                let event = self.running_tick(stage, dt, pools);
                event.filter(|(event, _)| self.heeds(*event))
            }
            State::Idle | State::Ended(_) => {
                self.judging.recording.end();
                self.watch_tick(dt, pools)
            }
        };
        self.placebo_tick(dt, pools.stable.standing() != Standing::Down);
        for seen in self.seen.values_mut() {
            seen.interval = Interval::default();
        }
        event
    }

    /// What health alone says, without waiting for a tick.
    pub(super) fn glance(&mut self, pools: &Pools) -> Follows {
        let stage = self.live.state().stage();
        match stage {
            Some(Stage::Gate) => self.gate(pools).filter(|(event, _)| self.heeds(*event)),
            _ if self.live.share().is_zero() => None,
            _ => self.empty(pools),
        }
    }

    fn running_tick(&mut self, stage: Stage, dt: Duration, pools: &Pools) -> Follows {
        if stage == Stage::Gate {
            return self.gate(pools);
        }
        // Nobody is sent back to a pool that is dead; what the business lacks may be its doing.
        let queried = self.query(dt).filter(|_| pools.stable.standing() != Standing::Down);
        let mut verdict = self.judge_rollout(stage, dt, pools)?;
        let unread = withhold(&mut verdict, stage, "resources", self.open_resources());
        let unanswered = withhold(&mut verdict, stage, "query", self.open_query());
        // It is given up, or comes back.
        let down = pools.canary.as_ref().filter(|canary| canary.standing() == Standing::Down);
        let down = down.map(|canary| format!("no endpoint of pool {} is healthy", canary.name));
        let is_down = withhold(&mut verdict, stage, "health", down);
        self.alarm(&verdict, dt);
        if let Stage::Step(step) = stage {
            self.say_held(step, &verdict);
        }
        let withheld = unread || unanswered || is_down;
        let event = self.after(stage, &verdict, withheld).or_else(|| self.empty(pools));
        self.verdict = Some(verdict);
        // While a bound is broken nothing goes forward, so this hides no other event but a hold's.
        match event {
            Some((Event::Fail, _)) => event,
            _ => queried.or(event),
        }
    }

    /// What follows from a verdict on the running rollout, which may be `withheld`.
    fn after(&mut self, stage: Stage, verdict: &Verdict, withheld: bool) -> Follows {
        let cause = || Cause::of_verdict(verdict);
        let plan = &self.live.rollout.as_ref()?.plan;
        match (verdict.ruling, stage) {
            (Ruling::Rollback, _) => Some((Event::Fail, cause())),
            (Ruling::Advance, Stage::Step(_)) => Some((Event::Advance, cause())),
            (_, Stage::Guard)
                if self.observed >= plan.guard
                    && verdict.evidence.canary_n > 0
                    && !verdict.alarm
                    && !withheld =>
            {
                let seconds = plan.guard.as_secs();
                let words = format!("{seconds} s at 100% without a bad verdict");
                Some((Event::GuardOver, Cause { reason: "guard".into(), words, ..cause() }))
            }
            (_, Stage::Step(step))
                if plan.strategy != Strategy::Ab
                    && self.staged >= plan.deadline
                    && !self.deadline_passed
                    // It passes once, so not while nothing may follow from it; and beside a stable
                    // pool that is bad itself it says nothing of the canary.
                    && self.is_free()
                    && !verdict.alarm =>
            {
                self.deadline_passed = true;
                let words = format!(
                    "step {} did not end within {} s: {}",
                    step + 1,
                    plan.deadline.as_secs(),
                    verdict.words
                );
                tracing::warn!(service = self.config.name, words, "deadline");
                self.remarks.push(Remark { kind: "held", words: words.clone() });
                Some((Event::Deadline, Cause { reason: "deadline".into(), words, ..cause() }))
            }
            _ => None,
        }
    }

    /// Judges a share that was set by hand: nothing above 0 % is unwatched.
    fn watch_tick(&mut self, dt: Duration, pools: &Pools) -> Follows {
        if self.live.weight.is_zero() || pools.canary.is_none() {
            self.verdict = None;
            self.alarmed = None;
            self.live.watch = None;
            return None;
        }
        if self.config.judge.watch {
            let mut verdict = self.judge_watch(dt, pools)?;
            withhold(&mut verdict, Stage::Step(0), "resources", self.open_resources());
            self.alarm(&verdict, dt);
            let bad = verdict.ruling == Ruling::Rollback;
            let cause = Cause::of_verdict(&verdict);
            self.verdict = Some(verdict);
            if bad {
                return Some((Event::Fail, cause));
            }
        }
        self.empty(pools)
    }

    /// A canary without a healthy endpoint is left at once, unless stable is no better.
    fn empty(&self, pools: &Pools) -> Follows {
        let canary = pools.canary.as_ref()?;
        let none = self.live.targets(&canary.name, &self.config).is_empty();
        let gone = none && pools.stable.standing() == Standing::Up;
        (gone || canary.is_down_beside(&pools.stable)).then(|| {
            let words = match canary.endpoints.len() {
                0 => format!("pool {} has no endpoint", canary.name),
                count => {
                    format!("none of the {count} endpoints of pool {} is healthy", canary.name)
                }
            };
            (Event::Fail, Cause::own("empty", words))
        })
    }
}
