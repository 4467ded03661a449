//! Brings notices to where they belong: a task and a bounded queue for each target, so that one that
//! is slow or gone holds up nobody else, and nothing that is decided ever waits.
//!
//! Each target is told in order. What fails is tried again with growing waits, 8 times or for ten
//! minutes, and then given up with a line in the log. Nothing outlives the process: what happened is
//! in the history, and notices are no ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::alertmanager::Told;
use super::backoff::{Attempt, wait};
use super::event::Event;
use super::queue::Queue;
use crate::clock;
use crate::config::Notify;
use crate::control::gates::excerpt;
use crate::outbound::{self, Request, span_words};

/// How many events may wait for one target.
const QUEUE: usize = 100;
/// How often a notice is tried.
const ATTEMPTS_MAX: u32 = 8;
/// How long a notice is tried for.
const TRIED_FOR: Duration = Duration::from_secs(10 * 60);
/// How long one attempt may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Tells everybody who is to be told of one service.
#[derive(Debug)]
pub(in crate::control) struct Sender {
    runtime: Handle,
    targets: Vec<Target>,
}

/// Somebody who is told, and the task that does it.
#[derive(Debug)]
struct Target {
    notify: Notify,
    queue: Arc<Queue<Event>>,
    /// True when there is no more time for other attempts.
    hurry: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sender {
    /// Tells `targets`, on `runtime`.
    pub(in crate::control) fn new(runtime: Handle, targets: &[Notify]) -> Self {
        let mut sender = Self { runtime, targets: Vec::new() };
        sender.retarget(targets);
        sender
    }

    /// Tells everybody of `event`, without waiting for anything.
    pub(in crate::control) fn tell(&self, event: Event) {
        for target in &self.targets {
            if target.queue.push(event.clone()) && target.queue.dropped() == 1 {
                let host = &target.notify.webhook.host;
                tracing::warn!(
                    service = event.service,
                    host,
                    "notices come faster than they can be delivered; the oldest are dropped"
                );
            }
        }
    }

    /// Tells `targets` from now on. Those that stay keep their queues; those that go get what waits
    /// for them, in one attempt each.
    pub(in crate::control) fn retarget(&mut self, targets: &[Notify]) {
        let mut old = std::mem::take(&mut self.targets);
        for notify in targets {
            let kept = old.iter().position(|target| target.notify == *notify);
            let target = kept.map(|index| old.swap_remove(index));
            self.targets.push(target.unwrap_or_else(|| Target::start(&self.runtime, notify)));
        }
    }

    /// How many notices were dropped because their queue was full, since their target was named.
    pub(in crate::control) fn dropped(&self) -> u64 {
        self.targets.iter().map(|target| target.queue.dropped()).sum()
    }

    /// Delivers what waits, in one attempt each, and ends within `limit`.
    pub(in crate::control) async fn flush(mut self, limit: Duration) {
        let until = clock::now() + limit;
        self.targets.iter().for_each(Target::end);
        for target in &mut self.targets {
            if tokio::time::timeout_at(until, &mut target.task).await.is_err() {
                let (host, waiting) = (&target.notify.webhook.host, target.queue.len());
                tracing::warn!(host, waiting, "notices could not be delivered before the end");
                target.task.abort();
            }
        }
    }
}

impl Target {
    fn start(runtime: &Handle, notify: &Notify) -> Self {
        let queue = Arc::new(Queue::new(QUEUE));
        let (hurry, hurried) = watch::channel(false);
        let to = notify.clone();
        let host = to.webhook.host.clone();
        let told = Arc::new(Mutex::new(Told::default()));
        let post = move |event: Event| {
            let (to, told) = (to.clone(), Arc::clone(&told));
            async move { post(&to, &event, &told).await }
        };
        let task = runtime.spawn(work(Arc::clone(&queue), hurried, host, post));
        Self { notify: notify.clone(), queue, hurry, task }
    }

    /// Lets its task end once it has tried all that waits.
    fn end(&self) {
        self.queue.close();
        self.hurry.send_replace(true);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

/// Delivers what `queue` brings until it is closed and empty, each event by `post`.
async fn work<F, P>(
    queue: Arc<Queue<Event>>,
    mut hurried: watch::Receiver<bool>,
    host: String,
    mut post: F,
) where
    F: FnMut(Event) -> P + Send,
    P: Future<Output = Attempt> + Send,
{
    while let Some(event) = queue.next().await {
        let (service, kind) = (event.service.clone(), event.kind.clone());
        if let Err(reason) = deliver(event, &mut hurried, &mut post).await {
            tracing::warn!(service, kind, host, reason, "a notice was given up");
        }
    }
}

/// Tries until the notice is taken, refused or not worth another attempt.
async fn deliver<F, P>(
    event: Event,
    hurried: &mut watch::Receiver<bool>,
    post: &mut F,
) -> Result<(), String>
where
    F: FnMut(Event) -> P + Send,
    P: Future<Output = Attempt> + Send,
{
    let began = clock::now();
    let mut number = 0;
    loop {
        number += 1;
        let (why, asked) = match post(event.clone()).await {
            Attempt::Taken => return Ok(()),
            Attempt::Refused(why) => return Err(why),
            Attempt::Again(why, asked) => (why, asked),
        };
        let wait = wait(number, rand::random(), asked);
        let tried_for = clock::now().duration_since(began);
        if number == ATTEMPTS_MAX || tried_for + wait > TRIED_FOR || *hurried.borrow() {
            let tried_for = span_words(tried_for);
            return Err(format!("{why} (tried {number} times in {tried_for})"));
        }
        // The end of the process makes this attempt's turn come at once, as the last.
        let _ = timeout(wait, hurried.wait_for(|hurry| *hurry)).await;
    }
}

/// One attempt.
async fn post(to: &Notify, event: &Event, told: &Mutex<Told>) -> Attempt {
    let notice = {
        let mut told = lock(told);
        told.begin(event);
        super::notice(to, event, &told)
    };
    let attempt = match notice {
        Some((url, notice)) => {
            let headers = [("content-type".to_owned(), "application/json".to_owned())];
            let body = Bytes::from(notice.to_string());
            let request = Request { method: "POST", url: &url, headers: &headers, body };
            Attempt::of(outbound::send(&request, LIMIT).await, excerpt)
        }
        None => Attempt::Taken,
    };
    if attempt == Attempt::Taken {
        lock(told).done(event);
    }
    attempt
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    // It holds plain data, which a panic elsewhere cannot have left half changed.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
