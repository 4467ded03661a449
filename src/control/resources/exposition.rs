//! Reads what a process says of itself in the Prometheus text format. Pure.
//!
//! Taken are the names that client libraries agree on: `process_cpu_seconds_total`,
//! `process_resident_memory_bytes` and `process_start_time_seconds`. Limits are taken from
//! cAdvisor's `container_spec_memory_limit_bytes` and `container_spec_cpu_quota` over
//! `container_spec_cpu_period`, where there is one sample of each. Not a limit of resident memory,
//! and so not taken: `process_virtual_memory_max_bytes` (address space), `go_gc_gomemlimit_bytes`
//! (a target that a healthy program works close to) and `jvm_memory_max_bytes` (the heap only).

use super::Use;

const CPU: &str = "process_cpu_seconds_total";
const MEMORY: &str = "process_resident_memory_bytes";
const STARTED: &str = "process_start_time_seconds";
const MEMORY_LIMIT: &str = "container_spec_memory_limit_bytes";
const CPU_QUOTA: &str = "container_spec_cpu_quota";
const CPU_PERIOD: &str = "container_spec_cpu_period";

/// The values of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Samples {
    sum: f64,
    latest: f64,
    count: usize,
}

impl Samples {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.latest = self.latest.max(value);
        self.count += 1;
    }

    /// All processes of an endpoint together.
    fn sum(self) -> Option<f64> {
        (self.count > 0).then_some(self.sum)
    }

    fn latest(self) -> Option<f64> {
        (self.count > 0).then_some(self.latest)
    }

    /// A limit: several would be those of several containers, and 0 stands for none.
    fn only(self) -> Option<f64> {
        (self.count == 1 && self.sum > 0.0).then_some(self.sum)
    }
}

/// Reads `text`. What is no sample of a known name is skipped, and so is every value that is no
/// amount: not finite, or below zero.
pub(super) fn read(text: &str) -> Use {
    const NAMES: [&str; 6] = [CPU, MEMORY, STARTED, MEMORY_LIMIT, CPU_QUOTA, CPU_PERIOD];
    let mut all = [Samples::default(); NAMES.len()];
    for line in text.lines() {
        let Some((name, rest)) = name(line) else { continue };
        let Some(at) = NAMES.iter().position(|known| *known == name) else { continue };
        if let Some(value) = value(rest).filter(|value| value.is_finite() && *value >= 0.0) {
            all[at].add(value);
        }
    }
    let [cpu, memory, started, memory_limit, quota, period] = all;
    Use {
        cpu_s: cpu.sum(),
        memory_bytes: memory.sum(),
        memory_limit: memory_limit.only(),
        cpu_limit: quota.only().zip(period.only()).map(|(quota, period)| quota / period),
        started: started.latest(),
    }
}

/// The name at the beginning of a line, and what follows it; none of a comment.
fn name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = line.find(|c| !is_name(c)).filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(end);
    rest.starts_with([' ', '\t', '{']).then_some((name, rest))
}

/// The value behind the labels, if there are any. A timestamp or an exemplar may follow.
fn value(rest: &str) -> Option<f64> {
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('{') {
        Some(labels) => behind(labels)?,
        None => rest,
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    match words.next() {
        None | Some("#") => Some(value),
        Some(timestamp) => timestamp.parse::<f64>().ok().map(|_| value),
    }
}

/// What follows the brace that closes `labels`; one within quotes does not.
fn behind(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return labels.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_client_libraries_write_is_read() {
        let text = "# HELP process_cpu_seconds_total Total user and system CPU time.\n\
            # TYPE process_cpu_seconds_total counter\n\
            process_cpu_seconds_total 12.47\n\
            process_resident_memory_bytes 2.3552e+07\n\
            process_virtual_memory_bytes 7.5e+09\n\
            process_virtual_memory_max_bytes 1.8446744073709552e+19\n\
            process_start_time_seconds 1.7e+09\n\
            go_gc_gomemlimit_bytes 1e+06\n";
        let want = Use {
            cpu_s: Some(12.47),
            memory_bytes: Some(23_552_000.0),
            started: Some(1.7e9),
            ..Use::default()
        };
        assert_eq!(read(text), want);
    }

    #[test]
    fn processes_of_one_endpoint_are_added_up() {
        let text = "process_cpu_seconds_total{pid=\"1\"} 1.5 1700000000000\n\
            process_cpu_seconds_total {pid=\"2\",name=\"a } \\\" b\"}\t2.25\r\n\
            process_start_time_seconds{pid=\"1\"} 5\n\
            process_start_time_seconds{pid=\"2\"} 9\n";
        let found = read(text);
        assert_eq!((found.cpu_s, found.started), (Some(3.75), Some(9.0)));
        let exemplar = "process_cpu_seconds_total 4 # {trace=\"x\"} 1 2";
        assert_eq!(read(exemplar).cpu_s, Some(4.0));
    }

    #[test]
    fn what_is_no_amount_is_no_sample() {
        for garbage in [
            "process_cpu_seconds_total NaN",
            "process_cpu_seconds_total +Inf",
            "process_cpu_seconds_total -1",
            "process_cpu_seconds_total",
            "process_cpu_seconds_total{",
            "process_cpu_seconds_total{a=\"b\"",
            "process_cpu_seconds_total 1 x",
            "process_cpu_seconds_total-1",
            "process_cpu_seconds_totals 1",
            "my_process_cpu_seconds_total 1",
            "# process_cpu_seconds_total 1",
            "<html>process_cpu_seconds_total 1",
            "{} 1",
            "",
        ] {
            assert_eq!(read(garbage), Use::default(), "{garbage}");
            let mixed = format!("{garbage}\nprocess_cpu_seconds_total 2\n{garbage}");
            assert_eq!(read(&mixed).cpu_s, Some(2.0), "{garbage}");
        }
    }

    #[test]
    fn a_limit_is_one_positive_sample() {
        let limit = |text: &str| read(text).memory_limit;
        assert_eq!(limit("container_spec_memory_limit_bytes{name=\"a\"} 1e9"), Some(1e9));
        assert_eq!(limit("container_spec_memory_limit_bytes 0"), None, "0 is none");
        let two = "container_spec_memory_limit_bytes{name=\"a\"} 1e9\n\
            container_spec_memory_limit_bytes{name=\"b\"} 2e9\n";
        assert_eq!(limit(two), None, "whose would it be");
        let cpu = "container_spec_cpu_quota 150000\ncontainer_spec_cpu_period 100000\n";
        assert_eq!(read(cpu).cpu_limit, Some(1.5));
        assert_eq!(read("container_spec_cpu_quota 150000").cpu_limit, None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        use proptest::prelude::*;
        proptest!(|(text in "(process_cpu_seconds_total)?[{}\"\\\\ =,#0-9a-zé\n]{0,40}")| {
            let _ = read(&text);
        });
    }
}
