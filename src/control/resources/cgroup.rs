//! Reads the files of a cgroup v2 folder (Linux, `Documentation/admin-guide/cgroup-v2.rst`). Pure.

use super::Use;

/// What the files of one folder hold; none for a file that is not there.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// `cpu.stat`.
    pub(super) cpu_stat: Option<String>,
    /// `memory.current`.
    pub(super) memory_current: Option<String>,
    /// `memory.stat`.
    pub(super) memory_stat: Option<String>,
    /// `memory.max`.
    pub(super) memory_max: Option<String>,
    /// `cpu.max`.
    pub(super) cpu_max: Option<String>,
}

/// The names of those files, in that order.
pub(super) const NAMES: [&str; 5] =
    ["cpu.stat", "memory.current", "memory.stat", "memory.max", "cpu.max"];

/// What the folder uses, and its limits.
pub(super) fn read(files: &Files) -> Use {
    let of = |file: &Option<String>, key: &str| field(file.as_deref()?, key);
    let whole = |file: &Option<String>| amount(file.as_deref()?.trim());
    // Pages of files that nobody used lately are given back before the limit is felt. Counted in,
    // every server that reads files would come to its limit in time.
    let reclaimable = of(&files.memory_stat, "inactive_file").unwrap_or_default();
    Use {
        cpu_s: of(&files.cpu_stat, "usage_usec").map(|us| us / 1e6),
        memory_bytes: whole(&files.memory_current).map(|bytes| (bytes - reclaimable).max(0.0)),
        memory_limit: whole(&files.memory_max),
        cpu_limit: files.cpu_max.as_deref().and_then(cores),
        started: None,
    }
}

/// The value of `key` in a file of lines such as `usage_usec 1234`.
fn field(text: &str, key: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| line.split_once(' '));
    values.filter(|(name, _)| *name == key).find_map(|(_, value)| amount(value.trim()))
}

/// `cpu.max`: how many microseconds in how many, or `max`.
fn cores(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (amount(quota)?, amount(period)?);
    (period > 0.0).then(|| quota / period)
}

/// A whole number; `max` is none.
#[expect(clippy::cast_precision_loss, reason = "bytes and microseconds, as shares of each other")]
fn amount(text: &str) -> Option<f64> {
    text.parse::<u64>().ok().map(|amount| amount as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            cpu_stat: Some("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n".into()),
            memory_current: Some("104857600\n".into()),
            memory_stat: Some("anon 50000000\nfile 60000000\ninactive_file 4857600\n".into()),
            memory_max: Some("209715200\n".into()),
            cpu_max: Some("150000 100000\n".into()),
        }
    }

    #[test]
    fn use_and_limits_are_read() {
        let want = Use {
            cpu_s: Some(2.5),
            memory_bytes: Some(100_000_000.0),
            memory_limit: Some(209_715_200.0),
            cpu_limit: Some(1.5),
            started: None,
        };
        assert_eq!(read(&files()), want);
    }

    #[test]
    fn max_is_no_limit_and_a_missing_file_is_not_known() {
        let none = Files {
            memory_max: Some("max\n".into()),
            cpu_max: Some("max 100000\n".into()),
            cpu_stat: None,
            memory_stat: None,
            ..files()
        };
        let found = read(&none);
        assert_eq!((found.memory_limit, found.cpu_limit, found.cpu_s), (None, None, None));
        assert_eq!(found.memory_bytes, Some(104_857_600.0));
        assert_eq!(read(&Files::default()), Use::default());
    }

    #[test]
    fn what_is_no_number_is_not_known() {
        for bad in ["", "-1", "12x", "usage_usec", "usage_usec -4", "1 0"] {
            let files = Files {
                cpu_stat: Some(bad.into()),
                memory_current: Some(bad.into()),
                memory_stat: Some(bad.into()),
                memory_max: Some(bad.into()),
                cpu_max: Some(bad.into()),
            };
            assert_eq!(read(&files), Use::default(), "{bad}");
        }
    }
}
