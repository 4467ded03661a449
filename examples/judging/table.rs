//! The Markdown tables of `docs/judging.md`.

use serin::measure::histogram;

use super::release::{End, Outcome, release};
use super::traffic::{Fault, HANG_S, World};
use super::{Mode, Settings};

/// Prints all tables; each line as soon as it is known.
pub(super) fn print(runs: u64) {
    println!("Good releases: the same version twice, {runs} runs a line.\n");
    println!(
        "| requests/s | errors | traffic | rolled back | promoted | time to promotion, median (p90) | undone by the guard | `threshold` rolls back |"
    );
    println!("|--:|--:|---|--:|--:|--:|--:|--:|");
    for rps in [10.0, 200.0, 2_000.0] {
        for error_rate in [0.0, 0.001, 0.01, 0.05] {
            for unrest in [false, true] {
                good(runs, World { rps, error_rate, unrest, fault: Fault::None });
            }
        }
    }
    println!("\nBad releases, {runs} runs a cell.\n");
    println!(
        "| the canary | seen as | 1 request/s | 10 requests/s | 200 requests/s | 2000 requests/s |"
    );
    println!("|---|---|---|---|---|---|");
    let faults = [
        ("fails always", 0.001, Fault::Errors(1.0)),
        ("fails half of its requests", 0.001, Fault::Errors(0.5)),
        ("fails 5 %, stable 0.1 %", 0.001, Fault::Errors(0.05)),
        ("fails 3 %, stable 1 %", 0.01, Fault::Errors(0.03)),
        ("one route of eight is dead", 0.001, Fault::Route),
        ("three times as slow", 0.001, Fault::Slow(3.0)),
        ("its slowest 3 % are six times as slow", 0.001, Fault::Tail),
        ("uses twice the CPU or memory", 0.001, Fault::Use(2.0)),
        ("hangs after a minute", 0.001, Fault::Hang),
    ];
    for (name, error_rate, fault) in faults {
        let found = [1.0, 10.0, 200.0, 2_000.0].map(|rps| {
            let world = World { rps, error_rate, unrest: false, fault };
            outcomes(runs, world, &Settings::default())
        });
        let since_s = if fault == Fault::Hang { HANG_S } else { 0.0 };
        let cells = found.each_ref().map(|found| bad(found, since_s)).join(" | ");
        println!("| {name} | {} | {cells} |", reasons(&found[2]));
    }
}

fn outcomes(runs: u64, world: World, settings: &Settings) -> Vec<Outcome> {
    let edges_ms = histogram::edges_ms();
    (0..runs).map(|seed| release(seed, world, settings, &edges_ms, |_, _| ())).collect()
}

fn good(runs: u64, world: World) {
    let found = outcomes(runs, world, &Settings::default());
    let textbook = Settings { mode: Mode::Threshold, ..Settings::default() };
    let textbook = outcomes(runs, world, &textbook);
    let mut times: Vec<f64> = Vec::new();
    let promoted = |end| matches!(end, End::Promoted | End::Undone);
    times.extend(found.iter().filter(|one| promoted(one.end)).map(|one| one.t_s));
    let times = match quantiles(times) {
        Some((median, p90)) => format!("{} ({})", time(median), time(p90)),
        None => "-".into(),
    };
    println!(
        "| {} | {} % | {} | {} | {} | {times} | {} | {} |",
        world.rps,
        100.0 * world.error_rate,
        if world.unrest { "bursts and drift" } else { "calm" },
        found.iter().filter(|one| one.end == End::RolledBack).count(),
        share(&found, promoted),
        found.iter().filter(|one| one.end == End::Undone).count(),
        share(&textbook, |end| end == End::RolledBack),
    );
}

/// `4 (6), 38 s`, and what became of the runs in which the fault was not found.
fn bad(found: &[Outcome], since_s: f64) -> String {
    let caught = || found.iter().filter(|one| one.end == End::RolledBack);
    let harmed = quantiles(caught().map(|one| one.harmed as f64).collect());
    let times = quantiles(caught().map(|one| one.t_s - since_s).collect());
    let mut cell = match (harmed, times) {
        (Some((harmed, p90)), Some((t_s, _))) => format!("{harmed} ({p90}), {}", time(t_s)),
        _ => "never found".into(),
    };
    let rest = [("promoted", End::Promoted), ("undone", End::Undone), ("held", End::Held)];
    for (name, end) in rest {
        if found.iter().any(|one| one.end == end) {
            cell += &format!("; {} {name}", share(found, |other| other == end));
        }
    }
    cell
}

/// What the fault was taken for, the most frequent first.
fn reasons(found: &[Outcome]) -> String {
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for one in found.iter().filter(|one| one.end == End::RolledBack) {
        match counts.iter_mut().find(|(_, reason)| *reason == one.reason) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, &one.reason)),
        }
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let often = counts.iter().filter(|(count, _)| count * 10 >= found.len());
    let names: Vec<String> = often.map(|(_, reason)| format!("`{reason}`")).collect();
    names.join(", ")
}

fn share(found: &[Outcome], ended: impl Fn(End) -> bool) -> String {
    let count = found.iter().filter(|one| ended(one.end)).count();
    format!("{:.0} %", 100.0 * count as f64 / found.len() as f64)
}

/// The median and the 90th percentile.
fn quantiles(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[values.len() / 2], values[(values.len() * 9 / 10).min(last)]))
}

/// `2.5 s`, `38 s`, `12 min`, `4.2 h`.
fn time(t_s: f64) -> String {
    match t_s {
        _ if t_s < 10.0 => format!("{t_s:.1} s"),
        _ if t_s < 120.0 => format!("{t_s:.0} s"),
        _ if t_s < 7_200.0 => format!("{:.0} min", t_s / 60.0),
        _ => format!("{:.1} h", t_s / 3_600.0),
    }
}
