//! The log: one line an event on standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

/// Writes the log of this process: `SERIN_LOG` filters (default `info`), and `SERIN_LOG_FORMAT`
/// set to `json` makes each line a document. A process that already has a log keeps it.
pub fn init() {
    let filter = EnvFilter::try_from_env("SERIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var("SERIN_LOG_FORMAT").is_ok_and(|format| format == "json");
    let _already_there = if json {
        log.json().try_init()
    } else {
        log.with_target(false).with_ansi(false).try_init()
    };
}
