//! A timer that is set rarely: one that stands too early is only moved when it goes off, so that a
//! request which is done long before its limit touches no timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// A timer for limits that mostly move later.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl Alarm {
    /// Completes when it is `limit` or later.
    pub(crate) fn poll_until(&mut self, limit: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (sleep, at) =
            self.set.get_or_insert_with(|| (Box::pin(tokio::time::sleep_until(limit)), limit));
        if limit < *at {
            sleep.as_mut().reset(limit);
            *at = limit;
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if *at >= limit {
                // What has gone off would go off again at once.
                self.set = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(limit);
            *at = limit;
        }
    }
}

/// Which of the limits that hold comes first, and when.
pub(crate) fn earliest<L>(
    limits: impl IntoIterator<Item = (L, Option<Instant>)>,
) -> Option<(L, Instant)> {
    let holding = limits.into_iter().filter_map(|(limit, at)| Some((limit, at?)));
    holding.min_by_key(|(_, at)| *at)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_limit_whether_that_moves_earlier_or_later() {
        let start = clock::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = Alarm::default();
        let mut pending = |limit| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(alarm.poll_until(limit, &mut cx).is_pending());
        };
        pending(after(10));
        pending(after(20));
        pending(after(5));
        poll_fn(|cx| alarm.poll_until(after(7), cx)).await;
        assert_eq!(clock::now(), after(7));
        poll_fn(|cx| alarm.poll_until(after(3), cx)).await;
        assert_eq!(clock::now(), after(7), "a limit that is past is past");
    }
}
