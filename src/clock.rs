//! The only file that reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Returns the current monotonic time, or the virtual time under a paused runtime.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the time since the Unix epoch, for people and for history.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
