//! Reads the files of a process in `/proc` (`proc_pid_stat(5)`, `proc_pid_status(5)`). Pure.

use super::Use;

/// How many of the kernel's ticks a second has in `/proc`. It is fixed for programs (`USER_HZ`),
/// whatever the kernel itself uses.
const TICKS_PER_S: f64 = 100.0;

/// What the process uses. `stat` and `status` are the texts of these files.
pub(super) fn read(stat: &str, status: &str) -> Use {
    // The name of the program stands in parentheses and may hold anything, parentheses as well.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    // The state is the third field of the file, and the first one here.
    let ticks = |number: usize| fields.get(number - 3).and_then(|field| amount(field));
    Use {
        cpu_s: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_S),
        memory_bytes: resident(status),
        started: ticks(22).map(|ticks| ticks / TICKS_PER_S),
        ..Use::default()
    }
}

/// Resident memory. A process that is ending has none.
fn resident(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = value.trim().strip_suffix("kB")?.trim_end();
    amount(kibibytes).map(|kib| kib * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "ticks and bytes, as shares of each other")]
fn amount(text: &str) -> Option<f64> {
    text.parse::<u64>().ok().map(|amount| amount as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a ) (b) S 1 4242 4242 0 -1 4194304 100 0 0 0 250 150 3 4 20 0 8 0 \
        123456 1000000 500 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";

    #[test]
    fn time_and_memory_are_read_whatever_the_program_is_called() {
        let found = read(STAT, "Name:\ta ) (b\nVmHWM:\t 9000 kB\nVmRSS:\t    2048 kB\n");
        assert_eq!(found.cpu_s, Some(4.0));
        assert_eq!(found.memory_bytes, Some(2_097_152.0));
        assert_eq!(found.started, Some(1234.56));
    }

    #[test]
    fn what_is_cut_off_is_not_known() {
        for end in 0..STAT.len() {
            let _ = read(&STAT[..end], "VmRSS:");
        }
        assert_eq!(read("", "VmRSS:\t12 MB\n"), Use::default());
        assert_eq!(read("1 (x) Z 1 2", ""), Use::default());
    }

    #[test]
    fn the_kernels_own_files_are_read() {
        let file = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        let found = read(&file("stat"), &file("status"));
        assert!(found.cpu_s.is_some_and(|s| (0.0..3600.0).contains(&s)), "{found:?}");
        assert!(found.memory_bytes.is_some_and(|bytes| bytes > 1e5), "{found:?}");
        assert!(found.started.is_some_and(|s| s > 0.0), "{found:?}");
    }
}
