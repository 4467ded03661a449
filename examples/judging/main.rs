//! What the judge does with good and bad releases, by simulation.
//!
//! ```text
//! cargo run --release --example judging -- --table [--runs 300]
//! cargo run --release --example judging -- --svg docs/judging
//! ```
//!
//! The table and the pictures of `docs/judging.md` are made by these two commands. Every number
//! depends on nothing but the seeds, which count from 0.

mod picture;
mod release;
mod table;
mod traffic;

use std::process::ExitCode;

use serin::judge::{
    Baseline, Interval, Judge, Mode, Purpose, RouteInterval, Ruling, Settings, StepRule, Tick,
    Verdict,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut runs, mut wants_table, mut pictures) = (300, false, None);
    while let Some(argument) = arguments.next() {
        let known = match argument.as_str() {
            "--table" => {
                wants_table = true;
                true
            }
            "--runs" => match arguments.next().and_then(|runs| runs.parse().ok()) {
                Some(given) if given > 0 => {
                    runs = given;
                    true
                }
                _ => false,
            },
            "--svg" => {
                pictures = arguments.next();
                pictures.is_some()
            }
            _ => false,
        };
        if !known {
            eprintln!("usage: judging [--table] [--runs N] [--svg DIR]");
            return ExitCode::from(64);
        }
    }
    if wants_table {
        table::print(runs);
    }
    if let Some(folder) = pictures
        && let Err(error) = picture::write(folder.as_ref())
    {
        eprintln!("judging: {folder}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
