//! What others may ask of control, and how it refuses.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};

use super::view::{RolloutView, ServiceView};
use crate::config::Target;
use crate::rollout::plan::{Step, Strategy};
use crate::split::Weight;

/// Who asks, and why; kept in the history.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// Who.
    pub actor: String,
    /// What they give as their reason.
    pub why: Option<String>,
    /// The service's generation that the asker has seen; anything newer refuses the request.
    pub if_generation: Option<u64>,
}

/// What may be asked of one service.
#[derive(Clone, Debug)]
pub enum Action {
    /// Set the canary's share by hand.
    Weight(Weight),
    /// Start a release.
    Deploy(Deploy),
    /// Go one stage forward; `full` skips the remaining steps.
    Promote {
        /// Skip the remaining steps.
        full: bool,
    },
    /// Hold the rollout.
    Pause,
    /// Let it go on.
    Resume,
    /// Give up on it.
    Abort,
    /// Go back to the version before.
    Undo,
    /// Allow a rejected release once more.
    Retry,
    /// Try the way back now, with a failure of our own making and no user on it.
    Rehearse,
    /// Let nothing go forward.
    Freeze {
        /// Until then, in milliseconds since the Unix epoch; until `Thaw` where there is none.
        until_ms: Option<u64>,
    },
    /// Let releases go forward again.
    Thaw,
    /// Take an endpoint out, or let it back in.
    Drain {
        /// Its pool.
        pool: String,
        /// What the file or the deploy calls it.
        endpoint: Target,
        /// Out, or in.
        out: bool,
    },
}

/// A release to start.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The version, as people call it.
    pub version: String,
    /// Identifies the release; the version where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where the new version runs; what the pool had where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<Target>>,
    /// Instead of the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Instead of the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<DeployStep>>,
}

/// One step of a deploy's own plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeployStep {
    /// The canary's share, such as `5%`.
    pub weight: Weight,
    /// The least number of canary requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// The least time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<f64>,
    /// Whether it waits for `promote`.
    #[serde(default)]
    pub approval: bool,
}

/// No step is meant to take longer.
const HOLD_MAX: Duration = Duration::from_secs(30 * 86_400);

impl DeployStep {
    pub(super) fn step(&self) -> Result<Step, Refusal> {
        use crate::rollout::plan::{HOLD, REQUESTS};
        let hold = match self.hold_s {
            None => HOLD,
            Some(s) => Duration::try_from_secs_f64(s)
                .ok()
                .filter(|hold| *hold <= HOLD_MAX)
                .ok_or_else(|| {
                    Refusal::Invalid(format!(
                        "`hold_s` must be a number of seconds from 0 to {}, not {s}",
                        HOLD_MAX.as_secs()
                    ))
                })?,
        };
        Ok(Step {
            weight: self.weight,
            requests: self.requests.unwrap_or(REQUESTS),
            hold,
            approval: self.approval,
        })
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// There is no such thing.
    NotFound(String),
    /// Not in the state that it is in.
    Conflict(String),
    /// The request itself makes no sense.
    Invalid(String),
    /// The asker has seen an older state.
    Stale(String),
    /// It could not be done.
    Failed(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotFound(why)
        | Self::Conflict(why)
        | Self::Invalid(why)
        | Self::Stale(why)
        | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

/// What a reload did.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reloaded {
    /// The generation of the table that it published.
    pub generation: u64,
    /// What did not take effect, and what is unwise.
    pub notes: Vec<String>,
}

/// Something to be done, and where the answer goes.
pub(super) enum Command {
    Act { service: String, action: Action, asker: Asker, reply: oneshot::Sender<Acted> },
    View { service: Option<String>, reply: oneshot::Sender<Vec<ServiceView>> },
    History { service: Option<String>, reply: oneshot::Sender<Result<History, Refusal>> },
    Rollout { id: String, reply: oneshot::Sender<Result<(String, RolloutView), Refusal>> },
    Reload { reply: oneshot::Sender<Result<Reloaded, Refusal>> },
}

/// Rollouts, each with its service's name; those of one service oldest first.
pub(super) type History = Vec<(String, RolloutView)>;

/// The service as it is afterwards, or why nothing was done.
pub(super) type Acted = Result<Box<ServiceView>, Refusal>;

/// How others talk to control.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) reloads: Arc<Notify>,
}

const GONE: &str = "serin is shutting down";

impl Handle {
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refusal::Failed(GONE.into());
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Asks for `action` on `service`.
    ///
    /// # Errors
    /// When it is refused; nothing was changed then.
    pub async fn act(&self, service: &str, action: Action, asker: Asker) -> Acted {
        let service = service.to_owned();
        self.ask(|reply| Command::Act { service, action, asker, reply }).await?
    }

    /// Asks for `action` on every service, and returns how many there are.
    ///
    /// # Errors
    /// When control has ended, or what one of the services refused; the others did it.
    pub async fn act_on_all(&self, action: Action, asker: Asker) -> Result<usize, Refusal> {
        let names: Vec<String> = self.services().await?.into_iter().map(|view| view.name).collect();
        let count = names.len();
        // All are asked before the first is awaited: a slow disk holds up answers, not what is done.
        let mut answers = Vec::with_capacity(count);
        for service in names {
            let (action, asker) = (action.clone(), asker.clone());
            let (reply, answer) = oneshot::channel();
            let command = Command::Act { service, action, asker, reply };
            let gone = || Refusal::Failed(GONE.into());
            self.commands.send(command).await.map_err(|_| gone())?;
            answers.push(answer);
        }
        let mut refused = None;
        for answer in answers {
            if let Err(refusal) = answer.await.map_err(|_| Refusal::Failed(GONE.into()))? {
                refused.get_or_insert(refusal);
            }
        }
        refused.map_or(Ok(count), Err)
    }

    /// Every service as it is now.
    ///
    /// # Errors
    /// When control has ended.
    pub async fn services(&self) -> Result<Vec<ServiceView>, Refusal> {
        self.ask(|reply| Command::View { service: None, reply }).await
    }

    /// One service as it is now.
    ///
    /// # Errors
    /// When there is no such service.
    pub async fn service(&self, name: &str) -> Result<ServiceView, Refusal> {
        let service = Some(name.to_owned());
        let found = self.ask(|reply| Command::View { service, reply }).await?;
        found.into_iter().next().ok_or_else(|| no_such_service(name))
    }

    /// The rollouts of one service, or of all: those that ended, then the one that runs or was the
    /// last, each with its service's name. Of those that ended there are the newest 200.
    ///
    /// # Errors
    /// When there is no such service, or the history cannot be read.
    pub async fn history(
        &self,
        service: Option<&str>,
    ) -> Result<Vec<(String, RolloutView)>, Refusal> {
        let service = service.map(str::to_owned);
        self.ask(|reply| Command::History { service, reply }).await?
    }

    /// The newest rollout of release `id`, of whatever service, with that service's name: a
    /// release may be tried again.
    ///
    /// # Errors
    /// When none is remembered, or the history cannot be read.
    pub async fn rollout(&self, id: &str) -> Result<(String, RolloutView), Refusal> {
        let id = id.to_owned();
        self.ask(|reply| Command::Rollout { id, reply }).await?
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// When it is bad or cannot be applied; nothing was changed then.
    pub async fn reload(&self) -> Result<Reloaded, Refusal> {
        let reloaded = self.ask(|reply| Command::Reload { reply }).await?;
        self.reloads.notify_one();
        reloaded
    }

    /// Tells when a reload was asked for, whatever came of it: to who reads files of its own.
    pub fn reloads(&self) -> Arc<Notify> {
        Arc::clone(&self.reloads)
    }
}

pub(super) fn no_such_service(name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no service `{name}`"))
}
