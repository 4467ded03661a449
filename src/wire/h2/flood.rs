//! Frames that carry nothing cost a client less than us, so they are counted; a client that sends too
//! many is told to calm down (RFC 9113 §10.5). Pure.

use std::time::Duration;

use tokio::time::Instant;

/// What a client may send in frames that carry nothing, in points a [`SPAN`].
const POINTS_MAX: u32 = 2000;
const SPAN: Duration = Duration::from_secs(1);
/// A request that is taken back, or made us take it back, has cost an upstream something.
pub(super) const POINTS_OF_RESET: u32 = 10;

/// Counts points.
#[derive(Debug, Default)]
pub(super) struct Flood {
    points: u32,
    /// When the span began that they are counted in.
    since: Option<Instant>,
}

impl Flood {
    /// Counts `points` at `now`; true when they are too many.
    pub(super) fn charge(&mut self, points: u32, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= SPAN) {
            (self.since, self.points) = (Some(now), 0);
        }
        self.points = self.points.saturating_add(points);
        self.points > POINTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_client_may_do_a_second_of_it_again_and_again_but_not_more() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut flood = Flood::default();
        assert!(!flood.charge(POINTS_MAX, at(0)));
        assert!(!flood.charge(POINTS_MAX, at(1000)));
        assert!(flood.charge(1, at(1999)));
    }
}
