//! When whoever asked for something hears that it is done: once it survives the end of the process.
//!
//! A pause, a freeze or a deploy that was acknowledged must not be undone by a kill. A way back is
//! intended before it is made, so it is acknowledged at once; the rest waits for the state, and not
//! for long: a disk that hangs makes nobody wait for what is done already.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Control;
use super::command::{Acted, Action, Asker, Refusal, no_such_service};
use super::views;

/// The longest that an answer waits for the disk. Whoever asks waits longer than that for an answer.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How many answers may wait at the same time.
const WAITING_MAX: usize = 256;

/// An answer that waits for the disk.
#[derive(Debug)]
pub(super) struct Waiting {
    service: String,
    /// The write that it waits for.
    token: u64,
    answer: Acted,
    reply: oneshot::Sender<Acted>,
    waited: Duration,
}

impl Control {
    /// Does what was asked for, and answers when it will last. Whoever asked may have gone; it is
    /// done all the same.
    pub(super) fn asked(
        &mut self,
        name: String,
        action: Action,
        asker: Asker,
        reply: oneshot::Sender<Acted>,
    ) {
        let Some(service) = self.services.get(&name) else {
            let _ = reply.send(Err(no_such_service(&name)));
            return;
        };
        let (token, intent) = (service.token, service.last_intent);
        let may_go_back = matches!(action, Action::Abort | Action::Undo | Action::Weight(_));
        let done = self.act(&name, action, asker);
        let service = &self.services[&name];
        let answer = done.map(|()| Box::new(views::of(service, &self.publisher)));
        let intended = may_go_back && service.last_intent > intent && service.intended;
        let waits = service.token > token && !intended;
        if waits && answer.is_ok() && self.waiting.len() < WAITING_MAX {
            let (token, waited) = (service.token, Duration::ZERO);
            self.waiting.push(Waiting { service: name, token, answer, reply, waited });
        } else {
            let _ = reply.send(answer);
        }
    }

    /// Answers those whose state is on disk after another `dt`, and those who waited long enough.
    pub(super) fn acknowledge(&mut self, dt: Duration) {
        let services = &self.services;
        let due = self.waiting.extract_if(.., |waiting| {
            waiting.waited += dt;
            let service = services.get(&waiting.service);
            service.is_none_or(|service| service.stored >= waiting.token)
                || waiting.waited >= WAIT_MAX
        });
        for Waiting { service, answer, reply, waited, .. } in due {
            if waited >= WAIT_MAX {
                tracing::warn!(
                    service,
                    "the disk is slow: a command is answered before it is there"
                );
            }
            let _ = reply.send(answer);
        }
    }

    /// Answers everybody: the process ends.
    pub(super) fn acknowledge_all(&mut self) {
        for Waiting { answer, reply, .. } in self.waiting.drain(..) {
            let _ = reply.send(answer);
        }
    }
}

/// Answers those who wait for a state of service `name` that somebody else has replaced.
pub(super) fn overtake(waiting: &mut Vec<Waiting>, name: &str) {
    for Waiting { reply, .. } in waiting.extract_if(.., |waiting| waiting.service == name) {
        let why =
            "its state was changed by others meanwhile; look at what it is now, and ask again";
        let _ = reply.send(Err(Refusal::Conflict(format!("service `{name}`: {why}"))));
    }
}
