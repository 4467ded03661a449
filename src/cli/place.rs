//! An endpoint as a command names it: `SERVICE/POOL/ENDPOINT`.

use std::str::FromStr;

use crate::config::Target;

/// One endpoint of one pool of one service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) service: String,
    pub(super) pool: String,
    pub(super) endpoint: Target,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/').filter(|part| !part.is_empty());
        let (Some(service), Some(pool), Some(endpoint)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("write SERVICE/POOL/ENDPOINT, such as shop/blue/10.0.0.5:3000".to_owned());
        };
        let endpoint = endpoint.parse().map_err(|bad| format!("{bad}"))?;
        Ok(Self { service: service.to_owned(), pool: pool.to_owned(), endpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_three_parts() {
        let table = [
            ("shop/blue/10.0.0.5:3000", Some("10.0.0.5:3000")),
            ("shop/blue/http://app:80", Some("app:80")),
            ("shop/blue/[::1]:80", Some("[::1]:80")),
            ("shop/blue", None),
            ("shop//app:80", None),
            ("shop/blue/app", None),
            ("", None),
        ];
        for (text, want) in table {
            let got = text.parse::<Place>().ok().map(|place| place.endpoint.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
