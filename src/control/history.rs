//! What was released before, read on a thread of its own: a slow disk or a long history holds up
//! neither a decision nor a write.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use super::Control;
use super::command::{History, Refusal, no_such_service};
use super::live::Rollout;
use super::saved;
use super::store::{HISTORY_MAX, Kept, Key, Store};
use super::view::RolloutView;

/// How many may ask at the same time.
const QUEUE: usize = 64;

/// By service and key, the oldest of a service first.
type Rollouts = BTreeMap<(String, Key), RolloutView>;

/// What is asked of the history. `live` is what control knows of it without a look at the disk.
#[derive(Debug)]
pub(super) enum Question {
    Rollouts {
        service: Option<String>,
        live: Rollouts,
        reply: oneshot::Sender<Result<History, Refusal>>,
    },
    Rollout {
        id: String,
        live: Rollouts,
        reply: oneshot::Sender<Result<(String, RolloutView), Refusal>>,
    },
}

/// The two ends of the queue of questions.
pub(super) fn queue() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    mpsc::channel(QUEUE)
}

/// Answers `questions` until they end.
pub(super) fn run(store: &dyn Store, mut questions: mpsc::Receiver<Question>) {
    while let Some(question) = questions.blocking_recv() {
        answer(store, question);
    }
}

/// Answers one question. Whoever asked may have gone.
pub(super) fn answer(store: &dyn Store, question: Question) {
    let unreadable = |e: std::io::Error| Refusal::Failed(format!("cannot read the history: {e}"));
    match question {
        Question::Rollouts { service, live, reply } => {
            let kept = store.history(service.as_deref(), HISTORY_MAX).map_err(unreadable);
            let rollouts = kept.map(|kept| merged(live, kept));
            let named = |all: Rollouts| all.into_iter().map(|((name, _), view)| (name, view));
            let _ = reply.send(rollouts.map(|all| named(all).collect()));
        }
        Question::Rollout { id, live, reply } => {
            let kept = store.find(&id).map_err(unreadable);
            let newest = kept.and_then(|kept| {
                let all = merged(live, kept).into_iter().filter(|(_, view)| view.id == id);
                let newest = all.max_by_key(|((_, key), _)| key.started_ms);
                let none = || Refusal::NotFound(format!("no rollout `{id}` is remembered"));
                newest.map(|((name, _), view)| (name, view)).ok_or_else(none)
            });
            let _ = reply.send(newest);
        }
    }
}

/// What control knows wins: it may know of an undo that came after the end.
fn merged(live: Rollouts, kept: Vec<Kept>) -> Rollouts {
    let archived = kept.into_iter().filter_map(|kept| {
        let rollout = saved::archived(&kept)?;
        Some(((kept.service, rollout.key()), RolloutView::of(&rollout)))
    });
    archived.chain(live).collect()
}

impl Control {
    /// Passes on the question for the rollouts of `only`, or of every service.
    pub(super) fn history(
        &self,
        only: Option<&str>,
        reply: oneshot::Sender<Result<History, Refusal>>,
    ) {
        if let Some(name) = only.filter(|name| !self.services.contains_key(*name)) {
            let _ = reply.send(Err(no_such_service(name)));
            return;
        }
        let live = self.live_rollouts(|name, _| only.is_none_or(|only| only == name));
        self.ask_history(Question::Rollouts { service: only.map(str::to_owned), live, reply });
    }

    /// Passes on the question for the newest rollout of release `id`.
    pub(super) fn rollout(
        &self,
        id: String,
        reply: oneshot::Sender<Result<(String, RolloutView), Refusal>>,
    ) {
        let live = self.live_rollouts(|_, rollout| rollout.id == id);
        self.ask_history(Question::Rollout { id, live, reply });
    }

    fn live_rollouts(&self, wanted: impl Fn(&str, &Rollout) -> bool) -> Rollouts {
        let mut rollouts = Rollouts::new();
        for (name, service) in &self.services {
            let all = service.live.ended.iter().chain(&service.live.rollout);
            for rollout in all.filter(|rollout| wanted(name, rollout)) {
                rollouts.insert((name.clone(), rollout.key()), RolloutView::of(rollout));
            }
        }
        rollouts
    }

    fn ask_history(&self, question: Question) {
        let Err(unasked) = self.questions.try_send(question) else { return };
        let busy = Refusal::Failed("too many ask for the history at once; ask again".into());
        match unasked.into_inner() {
            Question::Rollouts { reply, .. } => {
                let _ = reply.send(Err(busy));
            }
            Question::Rollout { reply, .. } => {
                let _ = reply.send(Err(busy));
            }
        }
    }
}
