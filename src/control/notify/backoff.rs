//! When a notice is tried again, and when not. Pure.

use std::time::Duration;

use crate::outbound::{Answer, Error};

/// The shortest and the longest wait that serin chooses itself.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The longest wait that whoever is told may ask for.
const ASKED_MAX: Duration = Duration::from_secs(5 * 60);

/// How an attempt ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Attempt {
    /// It was taken.
    Taken,
    /// Another attempt may do better, after the time that was asked for, if any was.
    Again(String, Option<Duration>),
    /// No other attempt will do better.
    Refused(String),
}

impl Attempt {
    /// What became of a notice that was answered with `answer`.
    pub(super) fn of(answer: Result<Answer, Error>, said: fn(&[u8]) -> String) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            // What cannot be sent now cannot be sent later.
            Err(error @ Error::Request(_)) => return Self::Refused(error.to_string()),
            Err(error) => return Self::Again(error.to_string(), None),
        };
        let words = || format!("answered {}: {}", answer.status, said(&answer.body));
        match answer.status {
            200..=299 => Self::Taken,
            408 | 429 => Self::Again(words(), answer.retry_after()),
            500..=599 => Self::Again(words(), answer.retry_after()),
            _ => Self::Refused(words()),
        }
    }
}

/// How long to wait after the failed attempt `number`, counted from 1. `draw`, from 0 to 1, spreads
/// those who failed together; `asked` is what whoever is told asked for.
pub(super) fn wait(number: u32, draw: f64, asked: Option<Duration>) -> Duration {
    let doubled = WAIT_MIN.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
    let own = doubled.min(WAIT_MAX).mul_f64(0.75 + draw.clamp(0.0, 1.0) / 2.0);
    let own = own.clamp(WAIT_MIN, WAIT_MAX);
    asked.map_or(own, |asked| own.max(asked.min(ASKED_MAX)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn attempt(status: u16, headers: &[(&str, &str)]) -> Attempt {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let answer = Answer { status, headers, body: Bytes::from("no"), cut: false };
        Attempt::of(Ok(answer), |body| String::from_utf8_lossy(body).into_owned())
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again = |status, asked| Attempt::Again(format!("answered {status}: no"), asked);
        let refused = |status| Attempt::Refused(format!("answered {status}: no"));
        assert_eq!(attempt(200, &[]), Attempt::Taken);
        assert_eq!(attempt(202, &[]), Attempt::Taken);
        for status in [301, 400, 401, 404, 410] {
            assert_eq!(attempt(status, &[]), refused(status));
        }
        for status in [408, 429, 500, 503] {
            assert_eq!(attempt(status, &[]), again(status, None));
        }
        let asked = attempt(429, &[("retry-after", "17")]);
        assert_eq!(asked, again(429, Some(Duration::from_secs(17))));
        let late = Attempt::of(Err(Error::Late(Duration::from_secs(5))), |_| String::new());
        assert_eq!(late, Attempt::Again("no answer within 5 s".into(), None));
        let bad = Attempt::of(Err(Error::Request("x".into())), |_| String::new());
        assert!(matches!(bad, Attempt::Refused(_)));
    }

    #[test]
    fn waits_double_are_spread_and_stay_within_a_minute() {
        let seconds = |number, draw| wait(number, draw, None).as_secs_f64();
        let middle: Vec<_> = (1..=8).map(|number| seconds(number, 0.5)).collect();
        assert_eq!(middle, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!((seconds(3, 0.0), seconds(3, 1.0)), (3.0, 5.0));
        assert_eq!((seconds(1, 0.0), seconds(u32::MAX, 1.0)), (1.0, 60.0));
    }

    #[test]
    fn what_was_asked_for_is_honoured_up_to_five_minutes() {
        let asked = |seconds| wait(1, 0.5, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((asked(0), asked(30), asked(100_000)), (1, 30, 300));
    }
}
