//! The reference page says what the list of keys says, and the file that the README shows is good.

use super::*;
use crate::config::keys::{SECTIONS, Section};

/// A section's table as the page has it.
fn table(section: &Section) -> String {
    let mut text = "| key | default | meaning |\n|---|---|---|\n".to_owned();
    for key in section.keys.iter().filter(|key| key.available()) {
        let default = match key.default {
            "" => "-".to_owned(),
            default => format!("`{default}`"),
        };
        let (first, rest) = key.about.split_at(1);
        let also: String = key.also.iter().map(|also| format!(" Also `{also}`.")).collect();
        let about = format!("{}{rest}.{also}", first.to_uppercase());
        text.push_str(&format!("| `{}` | {default} | {about} |\n", key.name));
    }
    text
}

/// How the page calls a section.
fn heading(section: &Section) -> String {
    let path = section.path;
    let name = path.rsplit('.').next().unwrap_or_default();
    match path {
        "" => "## The file\n".to_owned(),
        "listeners.NAME.tls" => "## `tls` of a listener\n".to_owned(),
        "services.NAME.gates" => format!("## `[[{path}]]`\n"),
        "services.NAME.pools.POOL.timeouts" => "## `timeouts` of a pool\n".to_owned(),
        "services.NAME.judge.prometheus" => "## `prometheus` of a judge\n".to_owned(),
        "services.NAME.rollout" | "services.NAME.judge" => format!("## `[{path}]`\n"),
        _ if path.starts_with("services.NAME.") && !path.ends_with("POOL") => {
            format!("## `{name}`\n")
        }
        _ => format!("## `[{path}]`\n"),
    }
}

#[test]
fn the_reference_page_has_every_key_with_its_default_and_meaning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("it comes with the source");
    let mut from = 0;
    for section in SECTIONS {
        let (heading, table) = (heading(section), table(section));
        let at = page[from..].find(&heading);
        from += at.unwrap_or_else(|| panic!("no `{}` in its place", heading.trim_end()));
        let body = page[from + heading.len()..].split("\n## ").next().unwrap_or_default();
        assert!(body.contains(&table), "under {heading}the page lacks\n{table}");
        let later: Vec<_> = section.keys.iter().filter(|key| !key.available()).collect();
        if !later.is_empty() {
            let names: Vec<_> = later.iter().map(|key| format!("`{}`", key.name)).collect();
            let line = format!("\nNot available yet: {}.\n", names.join(", "));
            assert!(body.contains(&line), "under {heading}the page lacks{line}");
        }
    }
}

#[test]
fn the_file_that_the_readme_shows_is_taken_without_a_word() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let page = std::fs::read_to_string(path).expect("it comes with the source");
    let safe = page.split("\n## Safe releases\n").nth(1).expect("the section");
    let text = safe.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let text = text.expect("a file");
    assert_eq!(warnings(text), [""; 0]);
    assert_eq!(shop(text).judge.queries.len(), 1);
}
