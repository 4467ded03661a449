//! `tls` of a listener: certificates, whether they can be used, and for whom each is shown.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::certificate::{Pair, Part, RENEWED_BY};
use crate::config::error::{Found, quote};
use crate::config::file::Value;
use crate::config::{Certificate, HostPattern, keys};

/// What an element looks like.
const HOW: &str =
    "write { hosts = [\"shop.example.com\"], cert = \"shop.pem\", key = \"shop.key\" }";

/// The certificates of one port; each name belongs to one of them.
pub(super) fn certificates(value: &Value<'_>) -> Option<Vec<Certificate>> {
    let list = value.filled_list("leave it out for plain HTTP")?;
    let mut taken = Taken::default();
    let all: Vec<_> = list.iter().map(|element| certificate(element, &mut taken)).collect();
    all.into_iter().collect()
}

/// The names that have a certificate already.
#[derive(Default)]
struct Taken {
    hosts: Vec<HostPattern>,
    any: bool,
}

/// The names of one certificate, and where each stands.
#[derive(Default)]
struct Names<'a> {
    hosts: Vec<(HostPattern, Value<'a>)>,
    any: bool,
}

fn certificate(element: &Value<'_>, taken: &mut Taken) -> Option<Certificate> {
    let table = element.table(&keys::CERTIFICATE)?;
    let names = table.require("hosts", HOW).map(|value| names(&value, taken));
    let (cert_value, key_value) = (table.require("cert", HOW), table.require("key", HOW));
    let path = |value: &Option<Value<'_>>| value.as_ref().and_then(Value::path);
    let (cert, key) = (path(&cert_value), path(&key_value));
    let (names, cert, key) = (names?, cert?, key?);
    if let (Some(now), Some(cert_value), Some(key_value)) =
        (element.context.now(), &cert_value, &key_value)
    {
        match Pair::read(&cert, &key) {
            Ok(pair) => examine(&pair, now, &names, (&cert, cert_value), (&key, key_value)),
            Err(trouble) => {
                let value = if trouble.part == Part::Cert { cert_value } else { key_value };
                match trouble.hint {
                    Some(hint) => value.refuse_with::<()>(trouble.why, hint),
                    None => value.refuse(trouble.why),
                };
            }
        }
    }
    let hosts = names.hosts.into_iter().map(|(host, _)| host).collect();
    Some(Certificate { hosts, any: names.any, cert, key })
}

fn names<'a>(value: &Value<'a>, taken: &mut Taken) -> Names<'a> {
    let mut names = Names::default();
    let list = value.filled_list("write the names that clients ask for, or [\"*\"] for any");
    for value in list.unwrap_or_default() {
        let Some(text) = value.text() else { continue };
        if text == "*" {
            if std::mem::replace(&mut taken.any, true) {
                value.refuse::<()>("`*` is listed twice");
            }
            names.any = true;
            continue;
        }
        let Some(host) = value.parsed(str::parse::<HostPattern>) else { continue };
        let shown = quote(&host.to_string());
        if is_address(&host) {
            value.refuse_with::<()>(
                format!("{shown} is an address, and who asks for one names no host in TLS"),
                "write \"*\": it is for those clients, too",
            );
        } else if taken.hosts.contains(&host) {
            value.refuse::<()>(format!("{shown} is listed twice"));
        } else {
            taken.hosts.push(host.clone());
            names.hosts.push((host, value));
        }
    }
    names
}

/// Whether no client can ask for `host` by name (RFC 6066 §3).
fn is_address(host: &HostPattern) -> bool {
    match host {
        HostPattern::Exact(name) => {
            name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok()
        }
        HostPattern::Wildcard(_) => false,
    }
}

/// Warns of what clients, or somebody on this machine, may make of a pair that is good in itself.
fn examine(
    pair: &Pair,
    now: Duration,
    names: &Names<'_>,
    (cert, cert_value): (&Path, &Value<'_>),
    (key, key_value): (&Path, &Value<'_>),
) {
    let warn = |value: &Value<'_>, message: String, hint: &str| {
        value.context.warn(Found::at(&value.at, message).hint(hint));
    };
    let shown = cert.display();
    let renew = "put a newer one in its place: it is read without a restart";
    if pair.begins > now {
        let begins = date(pair.begins);
        let message = format!("the certificate in `{shown}` does not hold before {begins}");
        warn(cert_value, message, "clients refuse it until then");
    } else if pair.expires < now {
        let expires = date(pair.expires);
        warn(cert_value, format!("the certificate in `{shown}` expired on {expires}"), renew);
    } else if pair.expires < now + RENEWED_BY {
        let expires = date(pair.expires);
        warn(cert_value, format!("the certificate in `{shown}` expires on {expires}"), renew);
    }
    for (host, value) in &names.hosts {
        if let Err(presented) = pair.covers(host) {
            let host = quote(&host.to_string());
            let message = format!("the certificate in `{shown}` does not cover {host}");
            let hint = match presented.as_slice() {
                [] => "clients refuse it; it names no host at all".to_owned(),
                names => format!("clients refuse it; it is for {}", names.join(", ")),
            };
            warn(value, message, &hint);
        }
    }
    if pair.key_is_public {
        let key = key.display();
        let message = format!("everybody on this machine may read the key in `{key}`");
        warn(key_value, message, &format!("`chmod 600 {key}`, and consider it known"));
    }
}

/// A day, in UTC.
fn date(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%d").to_string()
}
