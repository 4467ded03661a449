//! One test binary: serin as a client, an upstream and an operator see it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod commands;
mod corpus;
mod faulting;
mod gating;
mod judging;
mod layers;
mod measuring;
mod observers;
mod operating;
mod peers;
mod proxying;
mod refusing;
mod rehearsing;
mod releasing;
mod restarting;
mod splitting;
mod support;
mod swapping;
mod tls;
mod watching;
mod wire;
