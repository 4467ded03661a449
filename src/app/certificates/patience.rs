//! When bad files are an alarm, and when a certificate's end is worth a word. Pure: time goes in.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::certificate::RENEWED_BY;

/// Two files may be replaced one after the other: this long they may not belong together.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// How often an alarm is repeated that lasts.
const REPEATED_EVERY: Duration = Duration::from_secs(15 * 60);
/// How often that is said.
const SAID_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long two files have been bad, and what was said about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    said: Option<Instant>,
}

/// What to say about files that are bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Say {
    /// They may become good by themselves.
    Nothing,
    /// They are bad, and it was not said yet.
    First,
    /// They still are.
    Again,
}

impl Patience {
    /// They are bad at `now`.
    pub(super) fn bad(&mut self, now: Instant) -> Say {
        let since = *self.since.get_or_insert(now);
        let say = match self.said {
            None if now.duration_since(since) < SETTLED_AFTER => return Say::Nothing,
            None => Say::First,
            Some(said) if now.duration_since(said) < REPEATED_EVERY => return Say::Nothing,
            Some(_) => Say::Again,
        };
        self.said = Some(now);
        say
    }

    /// Whether they were bad when they were last tried.
    pub(super) const fn is_bad(&self) -> bool {
        self.since.is_some()
    }

    /// Whether they are bad, and may become good by themselves.
    pub(super) const fn is_unsettled(&self) -> bool {
        self.since.is_some() && self.said.is_none()
    }
}

/// What was said about the end of a certificate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expiry {
    said: Option<Instant>,
}

impl Expiry {
    /// Whether it is to be said at `now` that the certificate holds for `left` more.
    pub(super) fn is_to_be_said(&mut self, now: Instant, left: Duration) -> bool {
        let was_said = self.said.is_some_and(|said| now.duration_since(said) < SAID_EVERY);
        let is_said = left < RENEWED_BY && !was_said;
        if is_said {
            self.said = Some(now);
        }
        is_said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn bad_files_are_an_alarm_when_that_has_lasted_and_now_and_then_after_it() {
        let start = clock::now();
        let mut patience = Patience::default();
        assert!(!patience.is_bad() && !patience.is_unsettled());
        for (seconds, want) in [
            (0, Say::Nothing),
            (4, Say::Nothing),
            (5, Say::First),
            (6, Say::Nothing),
            (5 + 15 * 60 - 1, Say::Nothing),
            (5 + 15 * 60, Say::Again),
            (5 + 16 * 60, Say::Nothing),
            (5 + 30 * 60, Say::Again),
        ] {
            assert_eq!(patience.bad(start + Duration::from_secs(seconds)), want, "{seconds} s");
            assert!(patience.is_bad());
            assert_eq!(patience.is_unsettled(), seconds < 5, "{seconds} s");
        }
    }

    #[test]
    fn the_end_is_said_once_a_day_from_two_weeks_before() {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let start = clock::now();
        let mut expiry = Expiry::default();
        for (hours, left, want) in [
            (0, 14 * 24, false),
            (1, 14 * 24 - 1, true),
            (2, 14 * 24 - 2, false),
            (24, 13 * 24, false),
            (25, 13 * 24 - 1, true),
            (14 * 24, 0, true),
            (15 * 24 - 1, 0, false),
            (15 * 24, 0, true),
        ] {
            let said = expiry.is_to_be_said(start + hours * HOUR, left * HOUR);
            assert_eq!(said, want, "after {hours} h");
        }
    }
}
