//! The programs that gates and hooks run: whether they are there, before a release depends on it.
//!
//! Beside certificates, this is all that `check` looks at in the file system.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::error::quote;
use crate::config::file::Value;

/// How to write a program and its arguments.
const HOW: &str = "write the program and its arguments, such as [\"./smoke.sh\", \"{pool}\"]";

/// A program and its arguments, as they stand. A program with a `/` in its name is looked for in the
/// file's folder, as who runs it does; another one in `PATH`.
pub(super) fn command(value: &Value<'_>) -> Option<Vec<String>> {
    let list = value.filled_list(HOW)?;
    let mut words = Vec::with_capacity(list.len());
    for (index, element) in list.iter().enumerate() {
        let word = element.text();
        if word.as_ref().is_some_and(|word| word.contains('\0')) {
            return element.refuse("an argument must not hold a NUL");
        }
        words.push(if index == 0 { word.and_then(|word| program(element, word)) } else { word });
    }
    words.into_iter().collect()
}

fn program(value: &Value<'_>, name: String) -> Option<String> {
    let folder = value.context.folder();
    if name.contains('/') {
        return match trouble(&value.context.join(&name)) {
            None => Some(name),
            Some(trouble) => refuse(value, &name, &trouble, folder),
        };
    }
    // Without a PATH nobody can tell here; the release would say it.
    let Some(places) = value.context.variable("PATH") else { return Some(name) };
    let found = std::env::split_paths(places)
        .filter(|place| !place.as_os_str().is_empty())
        .any(|place| trouble(&place.join(&name)).is_none());
    if found {
        return Some(name);
    }
    let hint = match trouble(&value.context.join(&name)) {
        None => format!("write \"./{name}\" for the one beside this file"),
        Some(_) => "write its path, or add its folder to PATH".to_owned(),
    };
    value.refuse_with(format!("{} is in no folder of PATH", quote(&name)), hint)
}

fn refuse<T>(value: &Value<'_>, name: &str, trouble: &Trouble, folder: &Path) -> Option<T> {
    let shown = quote(name);
    let looked = match folder.to_str() {
        _ if name.starts_with('/') => String::new(),
        Some("") => " (looked in the current folder)".to_owned(),
        _ => format!(" (looked in {})", folder.display()),
    };
    match trouble {
        Trouble::Missing if name.contains(' ') => value.refuse_with(
            format!("{shown} does not exist{looked}"),
            "each argument is an element of the list: no shell takes the text apart",
        ),
        Trouble::Missing => value.refuse(format!("{shown} does not exist{looked}")),
        Trouble::Folder => value.refuse(format!("{shown} is a folder{looked}")),
        Trouble::NotExecutable => value.refuse_with(
            format!("{shown} is not executable{looked}"),
            format!("run `chmod +x {name}`"),
        ),
        Trouble::Other(kind) => value.refuse(format!("cannot look at {shown}{looked}: {kind}")),
    }
}

/// Why a program cannot be run.
enum Trouble {
    Missing,
    Folder,
    NotExecutable,
    Other(ErrorKind),
}

fn trouble(path: &Path) -> Option<Trouble> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Some(Trouble::Folder),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some(Trouble::NotExecutable),
        Ok(_) => None,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Some(Trouble::Missing),
            kind => Some(Trouble::Other(kind)),
        },
    }
}
