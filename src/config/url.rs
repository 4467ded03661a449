//! URLs of what serin asks on its own account, as text.
//!
//! Only `http` and `https`, and no user or password: those would end up in logs. Messages never
//! repeat the text, because the path of a webhook is often its secret.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::units::BadText;
use super::{Target, Url};

/// The longest URL.
const URL_BYTES: usize = 2_048;

impl Url {
    /// Scheme, host and port: what a log may show of it.
    pub fn origin(&self) -> String {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.host.clone(),
        };
        match self.port {
            port if port == usual => format!("{scheme}://{host}"),
            port => format!("{scheme}://{host}:{port}"),
        }
    }
}

impl FromStr for Url {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = |why: &str| BadText::new(format!("this is not a URL: {why}"));
        if text.len() > URL_BYTES {
            return Err(bad("it is longer than 2048 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("write spaces and what is not ASCII as %20 and the like"));
        }
        let scheme = text.split_once("://").map(|(s, rest)| (s.to_ascii_lowercase(), rest));
        let (tls, rest) = match scheme {
            Some((scheme, rest)) if scheme == "https" => (true, rest),
            Some((scheme, rest)) if scheme == "http" => (false, rest),
            _ => return Err(bad("it begins with http:// or https://")),
        };
        if rest.contains('#') {
            return Err(bad("what follows `#` is never sent, leave it out"));
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BadText::new(
                "a URL holds no user and no password: put the secret into a header or token",
            ));
        }
        let usual = if tls { 443 } else { 80 };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let whole = if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
        let Target { host, port } = whole
            .parse()
            .map_err(|_| bad("after :// comes host or host:port, such as https://example.com"))?;
        let target = match target.strip_prefix('/') {
            Some(_) => target.to_owned(),
            None => format!("/{target}"),
        };
        Ok(Self { tls, host, port, target })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/***", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Result<Url, String> {
        text.parse().map_err(|bad: BadText| bad.to_string())
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (text, tls, host, port, target, shown) in [
            ("http://a", false, "a", 80, "/", "http://a/"),
            ("https://a", true, "a", 443, "/", "https://a/"),
            ("HTTPS://Hooks.Example.com/A?b=C", true, "hooks.example.com", 443, "/A?b=C", ""),
            ("http://a:8080/x", false, "a", 8080, "/x", "http://a:8080/x"),
            ("https://a:80", true, "a", 80, "/", "https://a:80/"),
            ("http://[::1]:9/x", false, "::1", 9, "/x", "http://[::1]:9/x"),
            ("http://[0:0::1]", false, "::1", 80, "/", "http://[::1]/"),
            ("http://10.0.0.1?q=/x", false, "10.0.0.1", 80, "/?q=/x", "http://10.0.0.1/?q=/x"),
            ("http://a/b@c:d//", false, "a", 80, "/b@c:d//", "http://a/b@c:d//"),
        ] {
            let got = url(text).unwrap_or_else(|bad| panic!("{text}: {bad}"));
            let want = Url { tls, host: host.into(), port, target: target.into() };
            assert!(got == want, "{text}: {got}");
            if !shown.is_empty() {
                assert_eq!(got.to_string(), shown);
            }
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        let secret = "put the secret into a header or token";
        for (text, why) in [
            ("", "begins with http"),
            ("a.example/x", "begins with http"),
            ("ftp://a.example/x", "begins with http"),
            ("http//a.example/x", "begins with http"),
            ("http://", "host or host:port"),
            ("http:///x", "host or host:port"),
            ("http://:80/x", "host or host:port"),
            ("http://a:/x", "host or host:port"),
            ("http://a:0/x", "host or host:port"),
            ("http://a:99999/x", "host or host:port"),
            ("http://::1/x", "host or host:port"),
            ("http://[::1/x", "host or host:port"),
            ("http://a.1/x", "host or host:port"),
            ("http://user:hunter2@a.example/x", secret),
            ("http://user@a.example", secret),
            ("http://a.example/x#y", "`#`"),
            ("http://a.example/x y", "%20"),
            ("http://a.example/ü", "%20"),
            ("http://a.example/x\r\n", "%20"),
        ] {
            let bad = url(text).expect_err(text);
            assert!(bad.contains(why), "{text}: {bad}");
            assert!(!bad.contains("a.example") && !bad.contains("hunter2"), "{bad}");
        }
        assert!(url(&format!("http://a/{}", "x".repeat(3_000))).is_err());
    }

    #[test]
    fn a_url_is_not_shown_whole_to_who_debugs() {
        let shown = format!("{:?}", url("https://hooks.example.com:8443/T0/s3cret").unwrap());
        assert_eq!(shown, "https://hooks.example.com:8443/***");
    }

    proptest! {
        #[test]
        fn urls_read_back(text in "https?://([a-z][a-z0-9.-]{0,12}|\\[[0-9a-f:]{2,9}\\])(:[0-9]{1,5})?([/?][!-~]{0,12})?") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert!(url.to_string().parse() == Ok(url.clone()), "{}", url);
                prop_assert!(url.target.starts_with('/') && url.port > 0);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<Url>(), format!("http://{text}").parse::<Url>());
        }
    }
}
