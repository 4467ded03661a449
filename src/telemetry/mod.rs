//! What serin says about itself: logs and metrics. Nothing here knows what is measured.

pub mod log;
pub mod metrics;
