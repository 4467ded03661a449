//! `serin check`: what is wrong with a file, without asking anybody.

use std::path::Path;

use serde_json::{Value, json};

use super::exit::{DONE, USAGE};
use super::out::Out;
use crate::config::Config;

/// Checks the file at `path` and says how it is. `more` finds what else is unwise in a good one:
/// where it stands, and why.
pub(super) fn check(
    out: &Out,
    path: &Path,
    more: impl FnOnce(&Config) -> Vec<(String, String)>,
) -> u8 {
    match Config::load(path) {
        Ok(config) => {
            let more = more(&config);
            let mut warnings: Vec<Value> =
                config.warnings.iter().map(|warning| json!(warning)).collect();
            warnings.extend(
                more.iter().map(|(key, message)| json!({ "key": key, "message": message })),
            );
            let document = json!({ "ok": true, "warnings": warnings });
            out.either(&document, || {
                let mut text = String::new();
                for warning in &config.warnings {
                    text.push_str(&format!("{}:{warning}\n", path.display()));
                }
                for (key, message) in &more {
                    text.push_str(&format!("{}: warning: {key}: {message}\n", path.display()));
                }
                text + &format!("{}: ok", path.display())
            });
            DONE
        }
        Err(errors) => {
            if out.json {
                out.document(&json!({ "ok": false, "problems": errors.problems() }));
            } else {
                out.complain(&errors.to_string());
            }
            USAGE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_bad_input() {
        let out = Out { json: true, terminal: false };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.toml");
        assert_eq!(check(&out, &path, |_| Vec::new()), USAGE, "no file");
        std::fs::write(&path, "version = 2\n").unwrap();
        assert_eq!(check(&out, &path, |_| Vec::new()), USAGE, "a bad one");
        let good = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:8080\"\n\
            [services.shop]\nstable = \"blue\"\n[services.shop.pools.blue]\nendpoints = [\"127.0.0.1:3000\"]\n";
        std::fs::write(&path, good).unwrap();
        assert_eq!(check(&out, &path, |_| Vec::new()), DONE);
    }
}
