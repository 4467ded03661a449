//! Who may do what: an operator's token, and one that may look but not act.

use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};

use super::problem::Problem;

/// A token longer than this is none.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Where the tokens are. The files are read for each request, so that a new token counts at once.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) operate: PathBuf,
    pub(super) read: Option<PathBuf>,
}

impl Tokens {
    /// Lets a request pass that shows a token for what it wants.
    pub(super) async fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(shown) = bearer(headers) else {
            return Err(unauthorized("this needs a token: send `Authorization: Bearer TOKEN`"));
        };
        // A file may lie on a disk that is slow today.
        let tokens = self.clone();
        let read = tokio::task::spawn_blocking(move || tokens.load());
        let (operate, read) =
            read.await.map_err(|_| Problem::unavailable("the token cannot be read"))??;
        permit(&shown, &operate, read.as_deref(), method)
    }

    fn load(&self) -> Result<(String, Option<String>), Problem> {
        Ok((load(&self.operate)?, self.read.as_deref().map(load).transpose()?))
    }
}

/// Decides what `shown` may do.
fn permit(shown: &str, operate: &str, read: Option<&str>, method: &Method) -> Result<(), Problem> {
    let is = |token: &str| verify_slices_are_equal(shown.as_bytes(), token.as_bytes()).is_ok();
    if is(operate) {
        return Ok(());
    }
    if !read.is_some_and(is) {
        return Err(unauthorized("this token is not known here"));
    }
    if [Method::GET, Method::HEAD].contains(method) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "this token may look, not act"))
}

/// The token that a request shows (RFC 6750 §2.1); the scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// Reads a token. Without one nobody is let in: an empty file must not open the door.
fn load(path: &Path) -> Result<String, Problem> {
    let text = std::fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    });
    let why = match &text {
        Ok(text) if text.trim().is_empty() => "it is empty".to_owned(),
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) => error.to_string(),
    };
    tracing::error!(path = %path.display(), why, "cannot read the API's token; nobody is let in");
    Err(Problem::unavailable("the API's token cannot be read, so nobody is let in; see the log"))
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn showing(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn one_bearer_token_is_read() {
        let table: [(&[&str], Option<&str>); 8] = [
            (&["Bearer abc"], Some("abc")),
            (&["bearer   abc "], Some("abc")),
            (&[], None),
            (&["abc"], None),
            (&["Bearer"], None),
            (&["Bearer  "], None),
            (&["Basic abc"], None),
            (&["Bearer abc", "Bearer def"], None),
        ];
        for (values, want) in table {
            assert_eq!(bearer(&showing(values)).as_deref(), want, "{values:?}");
        }
    }

    #[test]
    fn a_token_permits_what_it_is_for() {
        let table = [
            ("op", Method::POST, None),
            ("op", Method::GET, None),
            ("look", Method::GET, None),
            ("look", Method::HEAD, None),
            ("look", Method::POST, Some(403)),
            ("look", Method::PUT, Some(403)),
            ("o", Method::GET, Some(401)),
            ("", Method::GET, Some(401)),
        ];
        for (shown, method, want) in table {
            let got = permit(shown, "op", Some("look"), &method);
            assert_eq!(got.err().map(|p| p.status.as_u16()), want, "{shown} {method}");
        }
        assert!(permit("look", "op", None, &Method::GET).is_err());
    }

    #[tokio::test]
    async fn without_a_readable_token_nobody_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let operate = folder.path().join("token");
        let tokens = Tokens { operate: operate.clone(), read: None };
        let status = async |shown: &str| {
            let checked = tokens.check(&Method::GET, &showing(&[shown])).await;
            checked.err().map_or(200, |problem| problem.status.as_u16())
        };
        assert_eq!(status("Bearer x").await, 503, "no file");
        std::fs::write(&operate, " \n").unwrap();
        assert_eq!(status("Bearer x").await, 503, "an empty file");
        std::fs::write(&operate, "x\n").unwrap();
        assert_eq!(status("Bearer x").await, 200);
        std::fs::write(&operate, "y\n").unwrap();
        assert_eq!(status("Bearer x").await, 401, "the token changed");
    }
}
