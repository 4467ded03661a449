//! The pictures of `docs/judging.md`: the evidence of one release over time.

use std::fmt::Write as _;
use std::path::Path;

use serin::measure::histogram;

use super::release::{End, Outcome, STEPS, release};
use super::traffic::{Fault, World};
use super::{Settings, Verdict};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 262.0;
/// The evidence at the top and the bottom of the picture, in nats.
const HIGH: f64 = 6.0;
const LOW: f64 = -8.0;

/// One release, verdict by verdict: the time, the step, the evidence.
type Curve = Vec<(f64, usize, f64)>;

/// Writes both pictures.
pub(super) fn write(folder: &Path) -> std::io::Result<()> {
    let calm = World { rps: 200.0, error_rate: 0.01, unrest: false, fault: Fault::None };
    let good = World { unrest: true, ..calm };
    let bad = World { fault: Fault::Errors(0.03), ..calm };
    let rows = [
        ("good.svg", good, "The same version twice, with shared bursts and drift"),
        ("bad.svg", bad, "A canary that fails 3 % of its requests, stable 1 %"),
    ];
    for (name, world, title) in rows {
        let (curve, outcome) = curve(world);
        std::fs::write(folder.join(name), draw(&curve, &outcome, title))?;
    }
    Ok(())
}

/// A typical release: of 99 runs, the one that takes the median time.
fn curve(world: World) -> (Curve, Outcome) {
    let (settings, edges_ms) = (Settings::default(), histogram::edges_ms());
    let run = |seed, see: &mut dyn FnMut(f64, &Verdict, usize)| {
        release(seed, world, &settings, &edges_ms, |tick, verdict| {
            see(tick.t_s, verdict, tick.step);
        })
    };
    let mut times: Vec<(f64, u64)> =
        (0..99).map(|seed| (run(seed, &mut |_, _, _| ()).t_s, seed)).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (_, seed) = times[times.len() / 2];
    let mut curve = Curve::new();
    let outcome = run(seed, &mut |t_s, verdict, step| {
        if step < STEPS.len() {
            curve.push((t_s, step, verdict.evidence.log_e));
        }
    });
    (curve, outcome)
}

fn draw(curve: &Curve, outcome: &Outcome, title: &str) -> String {
    let end_s = curve.last().map_or(1.0, |point| point.0);
    let x = |t_s: f64| LEFT + (RIGHT - LEFT) * t_s / end_s;
    let y = |log_e: f64| TOP + (BOTTOM - TOP) * (HIGH - log_e.clamp(LOW, HIGH)) / (HIGH - LOW);
    let mut svg = head(title);
    let threshold = -Settings::default().alpha.ln();
    let suspicion = Settings::default().suspicion;
    let lines = [
        (threshold, "limit", format!("roll back: {threshold:.1}")),
        (suspicion, "doubt", format!("a step holds above {suspicion}")),
    ];
    for (log_e, class, words) in lines {
        let at = y(log_e);
        line(&mut svg, class, (LEFT, at), (RIGHT, at));
        text(&mut svg, "small", (LEFT + 6.0, at - 4.0), "start", &words);
    }
    for (log_e, words) in [(4.0, "4"), (0.0, "0"), (-4.0, "-4"), (-8.0, "-8")] {
        line(&mut svg, "grid", (LEFT, y(log_e)), (RIGHT, y(log_e)));
        text(&mut svg, "small", (LEFT - 6.0, y(log_e) + 4.0), "end", words);
    }
    let mut from = 0;
    while let Some(&(_, step, _)) = curve.get(from) {
        let points = curve[from..].iter().take_while(|point| point.1 == step).count();
        let begins_s = if from == 0 { 0.0 } else { curve[from - 1].0 };
        line(&mut svg, "step", (x(begins_s), TOP), (x(begins_s), BOTTOM));
        let weight = format!("{} %", 100.0 * STEPS[step].0);
        let middle = f64::midpoint(x(begins_s), x(curve[from + points - 1].0));
        // A step that ends at once has no room for more than its number.
        let lift = if step == 0 && x(curve[points - 1].0) - LEFT < 40.0 { 14.0 } else { 0.0 };
        text(&mut svg, "small", (middle, TOP - 6.0 - lift), "middle", &weight);
        from += points;
    }
    axis(&mut svg, end_s, x);
    let path = thin(curve, end_s);
    let path = path.iter().map(|(t_s, log_e)| format!("{:.1},{:.1}", x(*t_s), y(*log_e)));
    let _ = writeln!(
        svg,
        r#"<polyline class="curve" points="{}"/>"#,
        path.collect::<Vec<_>>().join(" ")
    );
    let Outcome { end, t_s, harmed, .. } = outcome;
    let ended = match end {
        End::RolledBack => format!("rolled back after {}, {harmed} failed", minutes(*t_s)),
        End::Promoted | End::Undone => format!("at 100 % after {}", minutes(*t_s)),
        End::Held => format!("held after {}", minutes(*t_s)),
    };
    text(&mut svg, "", (RIGHT, 18.0), "end", &ended);
    svg += "</svg>\n";
    svg
}

fn axis(svg: &mut String, end_s: f64, x: impl Fn(f64) -> f64) {
    line(svg, "step", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    let every_s = if end_s > 480.0 { 120.0 } else { 30.0 };
    let mut t_s = 0.0;
    while t_s <= end_s {
        text(svg, "small", (x(t_s), BOTTOM + 16.0), "middle", &minutes(t_s));
        t_s += every_s;
    }
    text(
        svg,
        "small",
        (LEFT, HEIGHT - 6.0),
        "start",
        "minutes since the first request; evidence in nats; above: the canary's share",
    );
}

/// At most one point for each pixel: the strongest evidence of its time.
fn thin(curve: &Curve, end_s: f64) -> Vec<(f64, f64)> {
    let mut thin: Vec<(f64, f64)> = Vec::new();
    let wide_s = end_s / (RIGHT - LEFT);
    for &(t_s, _, log_e) in curve {
        match thin.last_mut() {
            Some(last) if t_s - last.0 < wide_s => last.1 = last.1.max(log_e),
            _ => thin.push((t_s, log_e)),
        }
    }
    thin
}

fn minutes(t_s: f64) -> String {
    let seconds = t_s.round();
    format!("{:.0}:{:02.0}", (seconds / 60.0).floor(), seconds % 60.0)
}

/// The paper is drawn too, so that the picture can be read whatever lies below it.
fn head(title: &str) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<title>{title}</title>
<style>
svg {{ --paper: #fff; --ink: #1f2328; --faint: #d0d7de; --curve: #0969da; --limit: #cf222e; --doubt: #9a6700 }}
@media (prefers-color-scheme: dark) {{
svg {{ --paper: #0d1117; --ink: #e6edf3; --faint: #30363d; --curve: #4493f8; --limit: #f85149; --doubt: #d29922 }}
}}
rect {{ fill: var(--paper) }}
text {{ fill: var(--ink); font: 13px system-ui, sans-serif }}
.small {{ font-size: 11px }}
line {{ stroke: var(--faint) }}
.limit {{ stroke: var(--limit); stroke-width: 1.5 }}
.doubt {{ stroke: var(--doubt); stroke-dasharray: 4 4 }}
.step {{ stroke: var(--ink); stroke-opacity: 0.5 }}
.curve {{ fill: none; stroke: var(--curve); stroke-width: 1.5; stroke-linejoin: round }}
</style>
<rect width="{WIDTH}" height="{HEIGHT}" rx="6"/>"#
    );
    text(&mut svg, "", (LEFT, 18.0), "start", title);
    svg
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
    );
}

fn text(svg: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#
    );
}
