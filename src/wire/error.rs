//! What can go wrong on a connection, and on which side.

use std::fmt;

/// What went wrong on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// The client's body broke a rule or broke off.
    ClientBody,
    /// The client's body is longer than the listener takes.
    ClientTooLarge,
    /// The client's body stopped coming.
    ClientSlow,
    /// The upstream's connection broke before its answer began.
    Reset,
    /// The upstream's answer broke off.
    Truncated,
    /// The upstream's answer is no HTTP.
    Protocol,
    /// The upstream's answer took too long.
    Timeout,
}

impl Error {
    /// Whether the client is to blame.
    pub const fn is_clients(self) -> bool {
        matches!(self, Self::ClientBody | Self::ClientTooLarge | Self::ClientSlow)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientBody => "the request's body broke off or is malformed",
            Self::ClientTooLarge => "the request's body is longer than this listener takes",
            Self::ClientSlow => "the request's body stopped coming",
            Self::Reset => "the upstream closed the connection before it answered",
            Self::Truncated => "the upstream's answer broke off",
            Self::Protocol => "the upstream's answer is not HTTP/1.1",
            Self::Timeout => "the upstream did not answer in time",
        })
    }
}

impl std::error::Error for Error {}
