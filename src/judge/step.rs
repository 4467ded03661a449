//! Where the rollout stands, and what time it is.

use serde::{Deserialize, Serialize};

use super::slice::Pair;
use super::{Tick, exact};

/// The step that is observed now.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Step {
    /// None before the first tick, and after a restart until the next one.
    pub(super) index: Option<usize>,
    /// The highest step that was entered so far.
    pub(super) highest: usize,
    #[serde(with = "exact")]
    pub(super) started_s: f64,
    /// Requests and errors as they came, the open slice included.
    pub(super) raw: Pair,
}

/// The rollout's time, made steady: a caller's clock that is no number, runs backwards or leaps
/// by decades must not stop the judge from closing slices.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Clock {
    #[serde(with = "exact::option")]
    last_s: Option<f64>,
    /// What is added to the caller's time since it went wrong.
    #[serde(with = "exact")]
    offset_s: f64,
}

impl Clock {
    /// The time of the last tick.
    pub(super) fn now_s(&self) -> f64 {
        self.last_s.unwrap_or_default()
    }

    const LEAP_S: f64 = 1e9;

    /// The time at the end of a tick.
    pub(super) fn read(&mut self, tick: &Tick) -> f64 {
        let sane = |s: f64| (0.0..Self::LEAP_S).contains(&s);
        let now_s = tick.t_s + self.offset_s;
        let now_s = match self.last_s {
            None if sane(now_s) => now_s,
            Some(last_s) if sane(now_s - last_s) => now_s,
            last_s => {
                let now_s = last_s.unwrap_or_default() + length_s(tick);
                self.offset_s = if tick.t_s.is_finite() { now_s - tick.t_s } else { self.offset_s };
                now_s
            }
        };
        self.last_s = Some(now_s);
        now_s
    }
}

/// The length of a tick; none if it is not one.
pub(super) fn length_s(tick: &Tick) -> f64 {
    if (0.0..Clock::LEAP_S).contains(&tick.dt_s) { tick.dt_s } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(clock: &mut Clock, t_s: f64) -> f64 {
        clock.read(&Tick { t_s, dt_s: 0.25, ..Tick::default() })
    }

    #[test]
    fn time_goes_on_whatever_the_caller_says() {
        let mut clock = Clock::default();
        assert_eq!(read(&mut clock, 10.0), 10.0);
        assert_eq!(read(&mut clock, f64::NAN), 10.25);
        assert_eq!(read(&mut clock, 10.5), 10.5);
        assert_eq!(read(&mut clock, 3.0), 10.75, "backwards");
        assert_eq!(read(&mut clock, 3.25), 11.0, "and on from there");
        assert_eq!(read(&mut clock, 1e300), 11.25);
        assert!((read(&mut clock, 5.0) - 11.5).abs() < 1e-9);
        assert!((read(&mut clock, 5.25) - 11.75).abs() < 1e-9);
        assert!((read(&mut clock, f64::INFINITY) - 12.0).abs() < 1e-9);
    }
}
