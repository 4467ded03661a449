//! What `Retry-After` says.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

/// How long `value` asks to wait at `now`, the time since the epoch: a number of seconds or an HTTP
/// date (RFC 9110 §10.2.3).
pub(super) fn after(value: &str, now: Duration) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    let at = Duration::from_secs(u64::try_from(date.as_second()).unwrap_or_default());
    Some(at.saturating_sub(now))
}
