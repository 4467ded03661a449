//! `[services.NAME.judge]`: how a canary is judged.

use std::time::Duration;

use super::queries::queries;
use crate::config::error::{Found, quote};
use crate::config::file::{Table, Value};
use crate::config::{Judge, keys};
use crate::judge::{Attention, Mode, Objectives, Settings};
use crate::split::Weight;

/// What rounding may add to a sum that is 1 on paper.
const ROUNDING: f64 = 1e-9;
/// The most routes that are tested on their own.
const ROUTES_MOST: u64 = 8;
/// What the weights of `latency` sum to by default.
const LATENCY_ATTENTION: f64 = 0.4;

/// The judge of `service`, whose canary has the share `by_hand` while no rollout runs.
pub(super) fn judge(service: &Table<'_>, by_hand: Weight) -> Judge {
    let mut settings = Settings::default();
    let Some(table) = service.table("judge", &keys::JUDGE) else { return Judge::default() };
    mode(&table, &mut settings);
    tolerances(&table, &mut settings);
    tests(&table, &mut settings);
    advance(&table, &mut settings);
    wealth(&table, &mut settings);
    levels(&table, &mut settings);
    stall(&table, &mut settings);
    if let Some(value) = table.get("max_harm")
        && let Some(harm) = value.number("a number above 0", |n| n > 0.0)
    {
        let message =
            "`max_harm` is outside the guarantee: a good release may be rolled back by chance";
        let hint = "`alpha` then bounds only the rollbacks that the statistics ask for";
        table.context.warn(Found::at(&value.at, message).hint(hint));
        settings.max_harm = Some(harm);
    }
    attribution(&table, &mut settings);
    Judge {
        settings,
        watch: watch(&table, by_hand),
        objectives: table
            .table("slo", &keys::SLO)
            .map_or_else(Objectives::default, |slo| objectives(&slo)),
        record: table.read("record", Value::path),
        queries: queries(&table),
    }
}

/// Whether a share set by hand is judged.
fn watch(table: &Table<'_>, by_hand: Weight) -> bool {
    let Some(value) = table.get("watch") else { return true };
    let watch = value.boolean().unwrap_or(true);
    // A share above 0% is warned of where it stands.
    if !watch && by_hand.is_zero() {
        let message = "nobody will watch a share that is set by hand: `watch` is false";
        let hint = "a bad canary keeps it until you act";
        table.context.warn(Found::at(&value.at, message).hint(hint));
    }
    watch
}

/// What the service promises.
fn objectives(slo: &Table<'_>) -> Objectives {
    let p99 = slo.read("p99", |value| value.duration(false));
    Objectives {
        error_rate: slo.read("error_rate", |value| value.share("above 0%", |n| n > 0.0)),
        p99_ms: p99.map(|p99| p99.as_secs_f64() * 1e3),
    }
}

/// Whom errors and resources are put down to.
fn attribution(table: &Table<'_>, settings: &mut Settings) {
    if let Some(cap) = table.read("key_cap", |value| value.integer(1..=u64::from(u32::MAX))) {
        settings.key_cap = cap;
    }
    let routes = table.read("max_routes", |value| value.integer(0..=ROUTES_MOST));
    if let Some(routes) = routes.and_then(|routes| usize::try_from(routes).ok()) {
        settings.max_routes = routes;
    }
    let margin = &mut settings.resource_margin;
    number(table, "resource_margin", margin, NOT_NEGATIVE, |n| n >= 0.0);
    let block_s = &mut settings.resource_block_s;
    number(table, "resource_block_s", block_s, "at least 10", |n| n >= 10.0);
    let bets = &mut settings.resource_grid;
    grid(table, "resource_grid", bets, "between 0 and 1", |n| n > 0.0 && n < 1.0);
}

fn mode(table: &Table<'_>, settings: &mut Settings) {
    let modes = [("sequential", Mode::Sequential), ("threshold", Mode::Threshold)];
    let Some(value) = table.get("mode") else { return };
    let Some(mode) = value.choice(&modes, &[]) else { return };
    if mode == Mode::Threshold {
        let message = "`threshold` rolls back 38-78 % of good releases in simulation";
        let hint = "`sequential` rolls back at most `alpha` of them";
        table.context.warn(Found::at(&value.at, message).hint(hint));
    }
    settings.mode = mode;
}

/// Replaces `field` by what `key` says, if it says something sound.
fn number(table: &Table<'_>, key: &'static str, field: &mut f64, words: &str, ok: fn(f64) -> bool) {
    if let Some(number) = table.read(key, |value| value.number(words, ok)) {
        *field = number;
    }
}

/// Like [`number`], for a share.
fn share(table: &Table<'_>, key: &'static str, field: &mut f64, words: &str, ok: fn(f64) -> bool) {
    if let Some(share) = table.read(key, |value| value.share(words, ok)) {
        *field = share;
    }
}

/// Like [`number`], for a list.
fn grid(
    table: &Table<'_>,
    key: &'static str,
    field: &mut Vec<f64>,
    words: &str,
    ok: fn(f64) -> bool,
) {
    if let Some(numbers) = table.read(key, |value| value.numbers(words, ok)) {
        *field = numbers;
    }
}

const CHANCE: &str = "above 0 and at most 0.5";
const RATIO: &str = "at least 1";
const POSITIVE: &str = "above 0";
const NOT_NEGATIVE: &str = "at least 0";
const PART: &str = "from 0 to 1";

fn chance(number: f64) -> bool {
    number > 0.0 && number <= 0.5
}

fn part(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

/// What a good canary may differ by.
fn tolerances(table: &Table<'_>, settings: &mut Settings) {
    number(table, "alpha", &mut settings.alpha, CHANCE, chance);
    number(table, "error_ratio", &mut settings.error_ratio, RATIO, |n| n >= 1.0);
    share(table, "error_margin", &mut settings.error_margin, "below 100%", |n| n < 1.0);
    number(table, "latency_ratio", &mut settings.latency_ratio, RATIO, |n| n >= 1.0);
    number(table, "warm_s", &mut settings.warm_s, NOT_NEGATIVE, |n| n >= 0.0);
    number(table, "warm_margin", &mut settings.warm_margin, RATIO, |n| n >= 1.0);
    share(table, "stable_dead", &mut settings.stable_dead, "above 0%", |n| n > 0.0);
}

/// How the tests look.
fn tests(table: &Table<'_>, settings: &mut Settings) {
    let above_one = |n| n > 1.0;
    grid(table, "error_grid", &mut settings.error_grid, "above 1", above_one);
    grid(table, "latency_grid", &mut settings.latency_grid, "above 1", above_one);
    number(table, "slice_s", &mut settings.slice_s, "above 0 and at most 60", |n| {
        n > 0.0 && n <= 60.0
    });
    number(table, "cap", &mut settings.cap, POSITIVE, |n| n > 0.0);
    let half_life = &mut settings.reference_half_life_s;
    number(table, "reference_half_life_s", half_life, POSITIVE, |n| n > 0.0);
    number(table, "suspicion", &mut settings.suspicion, POSITIVE, |n| n > 0.0);
}

/// When a step ends.
fn advance(table: &Table<'_>, settings: &mut Settings) {
    number(table, "alpha_advance", &mut settings.alpha_advance, CHANCE, chance);
    share(table, "harm", &mut settings.harm, "above 0%", |n| n > 0.0);
    share(table, "advance_floor", &mut settings.advance_floor, "above 0%", |n| n > 0.0);
    number(table, "advance_ratio", &mut settings.advance_ratio, RATIO, |n| n >= 1.0);
    let factor = &mut settings.advance_latency_factor;
    number(table, "advance_latency_factor", factor, RATIO, |n| n >= 1.0);
    grid(table, "advance_grid", &mut settings.advance_grid, "at least 0 and below 1", |n| {
        (0.0..1.0).contains(&n)
    });
}

/// How the stakes are spread over start times; together at most 1, or the guarantee is lost.
fn wealth(table: &Table<'_>, settings: &mut Settings) {
    let horizon = table.read("horizon_slices", |value| value.integer(1..=u64::from(u32::MAX)));
    if let Some(horizon) = horizon.and_then(|horizon| u32::try_from(horizon).ok()) {
        settings.horizon_slices = horizon;
    }
    let positive_part = |n| n > 0.0 && n <= 1.0;
    let words = "above 0 and at most 1";
    number(table, "inject_start", &mut settings.inject_start, words, positive_part);
    number(table, "inject_steps", &mut settings.inject_steps, PART, part);
    number(table, "inject_slices", &mut settings.inject_slices, PART, part);
    let sum = settings.inject_start + settings.inject_steps + settings.inject_slices;
    let written = ["inject_slices", "inject_steps", "inject_start"];
    if sum > 1.0 + ROUNDING
        && let Some(value) = written.into_iter().find_map(|key| table.get(key))
    {
        let message = "`inject_start`, `inject_steps` and `inject_slices` must sum to at most 1";
        value.refuse_with::<()>(message, format!("with the defaults they sum to {sum}"));
    }
}

/// The quantiles, and what each evidence weighs.
fn levels(table: &Table<'_>, settings: &mut Settings) {
    if let Some(value) = table.get("levels")
        && let Some(levels) = value.numbers("between 0 and 1", |n| n > 0.0 && n < 1.0)
    {
        if levels.is_sorted_by(|a, b| a < b) {
            settings.levels = levels;
        } else {
            value.refuse::<()>("`levels` must rise");
        }
    }
    let inner = table.table("attention", &keys::ATTENTION);
    if let Some(inner) = &inner {
        let Attention { errors, routes, resources, latency } = &mut settings.attention;
        number(inner, "errors", errors, PART, part);
        number(inner, "routes", routes, PART, part);
        number(inner, "resources", resources, PART, part);
        grid(inner, "latency", latency, PART, part);
    }
    let Attention { errors, routes, resources, latency } = &settings.attention;
    let (weights, quantiles) = (latency.len(), settings.levels.len());
    let written = inner.as_ref().and_then(|inner| inner.get("latency"));
    if weights != quantiles
        && let Some(value) = written.or_else(|| table.get("levels"))
    {
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let each = LATENCY_ATTENTION / quantiles as f64;
        let equal = vec![format!("{each:.4}"); quantiles].join(", ");
        value.refuse_with::<()>(
            format!(
                "`levels` has {quantiles} quantiles, but `attention.latency` has {weights} weights"
            ),
            format!("equal weights would be attention = {{ latency = [{equal}] }}"),
        );
    }
    let sum = errors + routes + resources + latency.iter().sum::<f64>();
    if let Some(inner) = inner
        && (sum > 1.0 + ROUNDING || sum <= 0.0)
    {
        let message = format!("the weights sum to {sum:.4}, they must sum to at most 1");
        let hint = "what is not written keeps its default: errors 0.4, routes 0.1, resources 0.1, latency 0.4";
        table.context.refuse(Found::at(&inner.at, message).hint(hint));
    }
}

/// `tolerate_stall` is a friendlier name for two of the parameters.
fn stall(table: &Table<'_>, settings: &mut Settings) {
    let Some(value) = table.get("tolerate_stall") else { return };
    for key in ["slice_s", "cap"] {
        if let Some(other) = table.get(key) {
            let message = format!("`{key}` and `tolerate_stall` exclude each other");
            other.refuse_with::<()>(message, "`tolerate_stall` sets `slice_s` and `cap`");
        }
    }
    let Some(stall) = value.duration(true) else { return };
    (settings.slice_s, settings.cap) = match stall {
        _ if stall == Duration::from_millis(250) => (0.25, 3.0),
        _ if stall == Duration::from_secs(1) => (1.0, 2.0),
        _ => {
            let text = quote(&crate::config::units::duration_text(stall));
            let message = format!("`tolerate_stall` must be \"250ms\" or \"1s\", not {text}");
            value.refuse::<()>(message);
            return;
        }
    };
}
