//! Sizes, durations and shares as people write them: a number and its unit.

use std::fmt;
use std::time::Duration;

use super::error::quote;

/// Why a text is not what it should be, and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadText(String);

impl BadText {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadText {}

/// The longest duration; far enough for anything and near enough for every clock.
pub const DURATION_MAX: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// How to write a duration.
pub const DURATION_HOW: &str = "a number with a unit of ms, s, m, h or d, such as \"10s\"";
/// How to write a size.
pub const SIZE_HOW: &str =
    "a number with a unit of B, KiB, MiB, GiB, KB, MB or GB, such as \"32KiB\"";
/// How to write a share.
pub const SHARE_HOW: &str = "a percentage from 0% to 100%, such as \"5%\"";

/// In the order in which a text names them.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads `"250ms"`, `"10s"`, `"1h30m"`: numbers with units, the larger unit first.
pub fn duration(text: &str) -> Result<Duration, BadText> {
    let bad = || BadText(format!("{} is not a duration: write {DURATION_HOW}", quote(text)));
    let mut rest = text.trim();
    let mut units = DURATION_UNITS.as_slice();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(bad)?;
        let after = after.trim_start();
        let name_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(name_end);
        let index = units.iter().position(|(unit, _)| *unit == name).ok_or_else(bad)?;
        let (_, unit_ms) = units[index];
        units = &units[index + 1..];
        let part_ms = number.checked_mul(unit_ms);
        total_ms = part_ms.and_then(|part| total_ms.checked_add(part)).unwrap_or(u64::MAX);
        rest = after.trim_start();
    }
    let total = Duration::from_millis(total_ms);
    if total > DURATION_MAX {
        return Err(BadText(format!("{} is too long: at most 3650d", quote(text))));
    }
    Ok(total)
}

/// Reads `"32KiB"`, `"64KB"`, `"100B"`. The case of the unit does not matter.
pub fn size(text: &str) -> Result<u64, BadText> {
    let bad = || BadText(format!("{} is not a size: write {SIZE_HOW}", quote(text)));
    let (number, after) = leading_number(text.trim()).ok_or_else(bad)?;
    let name = after.trim_start().to_ascii_lowercase();
    let (_, unit) = SIZE_UNITS.iter().find(|(unit, _)| *unit == name).ok_or_else(bad)?;
    number
        .checked_mul(*unit)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| BadText(format!("{} is too large", quote(text))))
}

/// Reads `"0.05%"` as a fraction in `0..=1`.
pub fn share(text: &str) -> Result<f64, BadText> {
    let bad = || BadText(format!("{} is not a share: write {SHARE_HOW}", quote(text)));
    let number = text.trim().strip_suffix('%').ok_or_else(bad)?.trim_end();
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let points = number.bytes().filter(|&byte| byte == b'.').count();
    if digits == 0 || points > 1 || digits + points != number.len() || number.len() > 20 {
        return Err(bad());
    }
    // The exponent keeps the result the nearest to what is written; a division would round twice.
    let fraction: f64 = format!("{number}e-2").parse().map_err(|_| bad())?;
    if fraction <= 1.0 { Ok(fraction) } else { Err(bad()) }
}

/// Writes `duration` as [`duration()`] reads it, to the millisecond.
pub fn duration_text(duration: Duration) -> String {
    let mut rest_ms = duration.as_millis();
    let mut text = String::new();
    for (unit, unit_ms) in DURATION_UNITS {
        let count = rest_ms / u128::from(unit_ms);
        rest_ms %= u128::from(unit_ms);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes `bytes` as [`size`] reads it, in the largest binary unit that divides it.
pub fn size_text(bytes: u64) -> String {
    let units = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Splits digits from what follows; a number that is too large becomes the largest.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), after))
}
