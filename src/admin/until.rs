//! When something that was asked for ends: at a moment, or after a while.

use std::time::Duration;

use jiff::Timestamp;

use super::problem::Problem;
use crate::config::units;

/// Reads `text`, a moment in RFC 3339 or a duration from `now` on, as milliseconds since the Unix
/// epoch.
pub(super) fn until_ms(text: &str, now: Duration) -> Result<u64, Problem> {
    let text = text.trim();
    let ms = match units::duration(text) {
        Ok(after) => u64::try_from((now + after).as_millis()).ok(),
        Err(_) => {
            let moment = text.parse::<Timestamp>().ok();
            moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
        }
    };
    ms.ok_or_else(|| {
        Problem::invalid(format!(
            "`until`: {text:?} is neither a moment such as \"2026-12-24T18:00:00Z\", with its time zone, nor a duration such as \"2h\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_a_duration() {
        let now = Duration::from_secs(1_767_225_600);
        let table = [
            ("2h", Some(1_767_225_600_000 + 7_200_000)),
            (" 1h30m ", Some(1_767_225_600_000 + 5_400_000)),
            ("2026-01-01T01:00:00Z", Some(1_767_225_600_000 + 3_600_000)),
            ("2026-01-01T01:00:00+01:00", Some(1_767_225_600_000)),
            // The past is control's to refuse.
            ("2020-01-01T00:00:00Z", Some(1_577_836_800_000)),
            ("2026-01-01T01:00:00", None),
            ("1960-01-01T00:00:00Z", None),
            ("tomorrow", None),
            ("2", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(until_ms(text, now).ok(), want, "{text:?}");
        }
    }
}
