//! serin, a reverse proxy that releases new versions by itself.
//!
//! ```text
//! bytes -> net -> wire -> proxy -> table -> split -> upstream      per request, on worker threads
//!                           | writes          ^ read
//!                      measure::Recorder   table::Cell
//!                           | drained         | published
//!                           v                 |
//!                        control -> judge -> rollout -> table      per tick, on the control thread
//! ```
//!
//! The two flows share exactly two values: the [`measure::Recorder`], written per request and
//! drained per tick, and the [`table::Cell`], published by control and read per request.

#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod judge;
pub mod measure;
pub mod net;
pub mod outbound;
pub mod proxy;
pub mod rollout;
pub mod split;
pub mod table;
pub mod telemetry;
pub mod upstream;
pub mod wire;
