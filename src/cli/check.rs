//! `serin check`: what is wrong with a file, without asking anybody.

use std::path::Path;

use serde_json::json;

use super::exit::{DONE, USAGE};
use super::out::Out;
use crate::config::Config;

/// Checks the file at `path` and says how it is.
pub(super) fn check(out: &Out, path: &Path) -> u8 {
    match Config::load(path) {
        Ok(config) => {
            let document = json!({ "ok": true, "warnings": config.warnings });
            out.either(&document, || {
                let mut text = String::new();
                for warning in &config.warnings {
                    text.push_str(&format!("{}:{warning}\n", path.display()));
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
        assert_eq!(check(&out, &path), USAGE, "no file");
        std::fs::write(&path, "version = 2\n").unwrap();
        assert_eq!(check(&out, &path), USAGE, "a bad one");
        let good = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:8080\"\n\
            [services.shop]\nstable = \"blue\"\n[services.shop.pools.blue]\nendpoints = [\"127.0.0.1:3000\"]\n";
        std::fs::write(&path, good).unwrap();
        assert_eq!(check(&out, &path), DONE);
    }
}
