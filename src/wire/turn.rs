//! Turns: a connection that could go on and on lets the others go first.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

/// Has the task polled again once all others have had their turn, those included that the system
/// has yet to tell of. Waking it at once would come before these.
pub(super) fn pass(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
