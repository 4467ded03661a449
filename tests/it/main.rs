//! One test binary: serin as a client, an upstream and an operator see it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod commands;
mod layers;
mod peers;
mod proxying;
mod refusing;
mod releasing;
mod restarting;
mod splitting;
mod support;
mod swapping;
mod wire;
