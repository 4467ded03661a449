//! The layering rule of ARCHITECTURE.md, as a test.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and the modules of this crate that it may name. `pure` ones
/// name no I/O and no clock either.
#[rustfmt::skip]
const MAY_NAME: &[(&str, &[&str], Kind)] = &[
    ("admin",     &["clock", "config", "control", "table", "telemetry"],      Kind::Shell),
    ("app",       &["admin", "cli", "clock", "config", "control", "judge", "measure", "net", "proxy", "table",
                    "telemetry", "wire"],                                     Kind::Shell),
    ("cli",       &["admin", "config"],                                       Kind::Shell),
    ("clock",     &[],                                                        Kind::Shell),
    ("config",    &["clock", "judge", "rollout", "split"],                    Kind::Shell),
    ("control",   &["clock", "config", "judge", "measure", "outbound", "rollout", "split", "table",
                    "telemetry", "upstream"],                                 Kind::Shell),
    ("judge",     &[],                                                        Kind::Pure),
    ("measure",   &["clock", "judge"],                                        Kind::Shell),
    ("net",       &["clock", "config", "telemetry"],                          Kind::Shell),
    ("outbound",  &["clock", "config"],                                       Kind::Shell),
    ("proxy",     &["clock", "measure", "split", "table", "telemetry", "upstream", "wire"],
                                                                              Kind::Shell),
    ("rollout",   &["judge", "split"],                                        Kind::Pure),
    ("split",     &[],                                                        Kind::Pure),
    ("table",     &["config", "measure", "rollout", "split", "upstream"],     Kind::Shell),
    ("telemetry", &[],                                                        Kind::Shell),
    ("upstream",  &["clock", "config", "outbound"],                           Kind::Shell),
    ("wire",      &["clock", "net"],                                          Kind::Shell),
];
/// Files that decide and touch nothing, in modules that otherwise do.
const PURE_FILES: &[&str] = &[
    "src/control/gates/expect.rs",
    "src/control/gates/output.rs",
    "src/control/gates/sample.rs",
    "src/control/gates/text.rs",
    "src/control/judging/step.rs",
    "src/control/live.rs",
    "src/control/notify/alertmanager.rs",
    "src/control/notify/backoff.rs",
    "src/control/notify/event.rs",
    "src/control/notify/json.rs",
    "src/control/notify/pagerduty.rs",
    "src/control/notify/slack.rs",
    "src/control/notify/teams.rs",
    "src/control/reload.rs",
    "src/control/report.rs",
    "src/control/resources/blocks.rs",
    "src/control/resources/cgroup.rs",
    "src/control/resources/exposition.rs",
    "src/control/resources/limits.rs",
    "src/control/resources/pid.rs",
    "src/measure/histogram.rs",
    "src/measure/outcome.rs",
    "src/measure/routes.rs",
    "src/outbound/retry.rs",
    "src/table/matching.rs",
    "src/upstream/pick.rs",
    "src/wire/h1/chunked.rs",
    "src/wire/h1/fields.rs",
    "src/wire/h1/framing.rs",
    "src/wire/h1/parse.rs",
    "src/wire/h1/reader.rs",
    "src/wire/h1/target.rs",
    "src/wire/h1/trailers.rs",
    "src/wire/h2/frame.rs",
    "src/wire/h2/hpack/decode.rs",
    "src/wire/h2/hpack/encode.rs",
    "src/wire/h2/hpack/huffman.rs",
    "src/wire/h2/hpack/statics.rs",
    "src/wire/h2/hpack/table.rs",
    "src/wire/h2/intake.rs",
    "src/wire/h2/preface.rs",
    "src/wire/h2/reply.rs",
    "src/wire/h2/request.rs",
    "src/wire/h2/settings.rs",
    "src/wire/h2/unended.rs",
    "src/wire/h2/window.rs",
];
const IMPURE: [&str; 7] = [
    "tokio",
    "hyper",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::time::Instant",
];

#[derive(PartialEq)]
enum Kind {
    Pure,
    Shell,
}

#[test]
fn modules_name_only_what_they_may() {
    let mut seen = Vec::new();
    for path in sources(Path::new("src")) {
        let module = module(&path);
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let row = MAY_NAME.iter().find(|row| row.0 == module);
        let (_, may, kind) = row.unwrap_or_else(|| panic!("{module} is missing from MAY_NAME"));
        let is_test = path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "tests")));
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it by idea", path.display());
        for (number, line) in text.lines().enumerate() {
            // What follows is for tests, which may use what they need.
            if is_test || line.starts_with("mod tests") {
                break;
            }
            let code = line.split("//").next().unwrap();
            let place = format!("{}:{}", path.display(), number + 1);
            for name in code.split("crate::").skip(1).map(first_word) {
                assert!(name == module || may.contains(&name), "{place}: {module} names {name}");
            }
            let file = path.to_str().unwrap().replace('\\', "/");
            if *kind == Kind::Pure || PURE_FILES.contains(&file.as_str()) {
                assert!(
                    !IMPURE.iter().any(|word| code.contains(word)),
                    "{place}: not pure: {code}"
                );
            }
        }
        seen.push(module);
    }
    assert!(MAY_NAME.iter().all(|row| seen.iter().any(|module| module == row.0)), "a stale row");
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Returns `split` for `src/split/mod.rs` and `clock` for `src/clock.rs`.
fn module(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap()
}
