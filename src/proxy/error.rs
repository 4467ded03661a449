//! Why a request got no answer from its upstream, and what the client is told instead.

use bytes::Bytes;

use crate::measure::Outcome;
use crate::wire;

/// Why a request got no answer from its upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Error {
    /// No service matches its host and path.
    NoService,
    /// The stable pool has no endpoint to give it to.
    NoEndpoint {
        /// What to tell the client, who may be the operator.
        reason: String,
    },
    /// No connection could be made.
    Connect,
    /// No connection could be made for want of something of our own.
    Exhausted,
    /// The connection failed.
    Wire(wire::Error),
}

impl Error {
    /// What the exchange came to.
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::NoService => Outcome::ClientError,
            Self::NoEndpoint { .. } | Self::Exhausted => Outcome::Unavailable,
            Self::Connect => Outcome::Connect,
            Self::Wire(error) => outcome(*error),
        }
    }

    const fn status(&self) -> u16 {
        match self {
            Self::NoService => 404,
            Self::NoEndpoint { .. } | Self::Exhausted => 503,
            Self::Connect => 502,
            Self::Wire(error) => match error {
                wire::Error::ClientBody => 400,
                wire::Error::ClientTooLarge => 413,
                wire::Error::ClientSlow => 408,
                wire::Error::Timeout => 504,
                wire::Error::Reset | wire::Error::Truncated | wire::Error::Protocol => 502,
            },
        }
    }

    /// The response that stands in for the upstream's.
    pub(super) fn response<W>(&self) -> wire::Response<W> {
        let mut head = wire::ResponseHead::new(self.status());
        head.set_static("content-type", "text/plain; charset=utf-8");
        if matches!(self, Self::NoEndpoint { .. } | Self::Exhausted) {
            head.set_static("retry-after", "1");
        }
        if matches!(self, Self::Wire(error) if error.is_clients()) {
            // The rest of the body may still be coming.
            head.set_static("connection", "close");
        }
        let text = match self {
            Self::NoService => "no service matches this host and path\n".to_owned(),
            Self::NoEndpoint { reason } => format!("{reason}\n"),
            Self::Connect => "no connection to the upstream could be made\n".to_owned(),
            Self::Exhausted => {
                "serin has no descriptor or port left for a connection to the upstream\n".to_owned()
            }
            Self::Wire(error) => format!("{error}\n"),
        };
        wire::Response { head, body: wire::Body::of(Bytes::from(text)), watch: None }
    }
}

/// What an exchange came to that ended with `error`.
pub(super) const fn outcome(error: wire::Error) -> Outcome {
    match error {
        wire::Error::ClientBody | wire::Error::ClientTooLarge | wire::Error::ClientSlow => {
            Outcome::BadRequest
        }
        wire::Error::Reset => Outcome::Reset,
        wire::Error::Truncated => Outcome::Truncated,
        wire::Error::Protocol => Outcome::Protocol,
        wire::Error::Timeout => Outcome::Timeout,
    }
}
