//! `Date`, for answers that come without one (RFC 9110 §6.6.1). Written once a second and worker.

use std::cell::RefCell;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::clock;

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Gives `to` the time as a field says it.
pub(super) fn with_now<T>(to: impl FnOnce(&str) -> T) -> T {
    let now = clock::unix();
    LAST.with_borrow_mut(|(second, date)| {
        if *second != now.as_secs() {
            write(now, date);
            *second = now.as_secs();
        }
        to(date)
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn write(since_epoch: Duration, into: &mut String) {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    into.clear();
    // Only a writer can fail, and this one does not; years have four digits until 9999.
    let _ = DateTimePrinter::new().print_timestamp_rfc9110(&time, into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
        ] {
            let mut written = "before".to_owned();
            write(Duration::from_secs(seconds), &mut written);
            assert_eq!(written, date);
        }
        assert_eq!(with_now(str::len), 29);
    }
}
