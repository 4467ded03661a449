//! Why a question got no answer, in words that a person can act on.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Url;

/// Why a question got no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// What was to be sent is no request.
    Request(String),
    /// The name has no address.
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// There is no connection for want of something of our own: descriptors, ports, memory.
    Want(String),
    /// There is no connection.
    Connect {
        /// To whom.
        address: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// The server is not who it should be.
    Certificate {
        /// Who it should be.
        host: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// There is a connection, but no TLS on it.
    Tls {
        /// Whom it is to.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// What came is no answer.
    NoHttp {
        /// From whom.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer began, and did not end.
    BrokeOff {
        /// From whom.
        place: String,
        /// The status that came.
        status: u16,
        /// What went wrong.
        why: String,
    },
    /// There was no whole answer in time.
    Late(Duration),
}

impl Error {
    pub(super) fn no_address(url: &Url) -> Self {
        Self::Name { host: url.host.clone(), why: "it has no address".into() }
    }

    pub(super) fn no_http(place: &str, error: &hyper::Error) -> Self {
        Self::NoHttp { place: place.to_owned(), why: http_words(error) }
    }

    pub(super) fn broke_off(place: &str, status: u16, error: &hyper::Error) -> Self {
        Self::BrokeOff { place: place.to_owned(), status, why: http_words(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(why) => write!(f, "no such request can be sent: {why}"),
            Self::Name { host, why } => write!(f, "cannot find the address of {host}: {why}"),
            Self::Want(why) => write!(f, "cannot connect: {why}"),
            Self::Connect { address, why } => write!(f, "cannot connect to {address}: {why}"),
            Self::Certificate { host, why } => {
                write!(f, "the certificate of {host} is not trusted: {why}")
            }
            Self::Tls { host, why } => write!(f, "no TLS connection with {host}: {why}"),
            Self::NoHttp { place, why } => write!(f, "no HTTP answer from {place}: {why}"),
            Self::BrokeOff { place, status, why } => {
                write!(f, "the answer of {place} (status {status}) broke off: {why}")
            }
            Self::Late(limit) => write!(f, "no answer within {}", span_words(*limit)),
        }
    }
}

impl StdError for Error {}

/// A span of time in words: `340 ms`, `1.5 s`, `90 s`.
pub fn span_words(span: Duration) -> String {
    let ms = (span.as_micros() + 500) / 1_000;
    let tenths = (ms + 50) / 100;
    match tenths {
        _ if ms < 1_000 => format!("{ms} ms"),
        ..100 if !tenths.is_multiple_of(10) => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => format!("{} s", (ms + 500) / 1_000),
    }
}

/// What the system said, without its number.
pub(super) fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    lower_first(text.strip_prefix("failed to lookup address information: ").unwrap_or(text))
}

/// What hyper said, with its cause.
fn http_words(error: &hyper::Error) -> String {
    let cause = error.source().map(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => io_words(error),
        None => cause.to_string(),
    });
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None if error.is_incomplete_message() => "the connection was closed".into(),
        None => error.to_string(),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + chars.as_str())
}
