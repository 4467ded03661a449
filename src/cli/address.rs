//! Where serin answers: `http://host:port` or `unix:/path`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;

/// Where serin answers unless told otherwise.
pub(super) const DEFAULT: &str = "http://127.0.0.1:9900";

/// Where serin answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Address {
    /// TCP.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = if text.trim().is_empty() { DEFAULT } else { text.trim() };
        let bad = |why: &str| format!("`{text}` is no address of serin: {why}");
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(bad("`unix:` lacks a path, write unix:/run/serin/admin.sock"));
            }
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with("https://") {
            return Err(bad("`https://` is not available yet"));
        }
        let how = || bad("write http://HOST:PORT or unix:/PATH");
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| how())?;
        let authority = uri.authority().ok_or_else(how)?;
        if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
            return Err(bad("it has a path; write http://HOST:PORT alone"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16();
        let whole = port.is_some() || authority.as_str() == authority.host();
        let plain = whole && !authority.as_str().contains('@') && !host.is_empty();
        if !plain || text.contains("://") != text.starts_with("http://") {
            return Err(how());
        }
        Ok(Self::Tcp { host: host.to_owned(), port: port.unwrap_or(80) })
    }
}

impl Address {
    /// What `Host` says.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { .. } => write!(f, "http://{}", self.authority()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            ("http://127.0.0.1:9900", Some("http://127.0.0.1:9900")),
            ("http://127.0.0.1:9900/", Some("http://127.0.0.1:9900")),
            ("serin.internal:9900", Some("http://serin.internal:9900")),
            ("http://serin.internal", Some("http://serin.internal:80")),
            ("http://[::1]:9900", Some("http://[::1]:9900")),
            ("unix:/run/serin/admin.sock", Some("unix:/run/serin/admin.sock")),
            ("unix:///run/serin.sock", Some("unix:/run/serin.sock")),
            ("", Some(DEFAULT)),
            ("unix:", None),
            ("https://serin:9900", None),
            ("ftp://serin:9900", None),
            ("http://user@serin:9900", None),
            ("http://serin:9900/v1", None),
            ("http://", None),
            ("http://serin:99999", None),
            ("two words", None),
        ];
        for (text, want) in table {
            let got = text.parse::<Address>().ok().map(|address| address.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
