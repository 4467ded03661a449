//! What an exchange came to, and whose fault it was. Pure.

/// Whose fault a failure is. Only the upstream's counts against a canary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The client sent something bad, or went away.
    Client,
    /// Our own limit or shortage.
    Proxy,
    /// The pool that the request was given to.
    Upstream,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Outcome {
    /// 1xx (an upgrade) or 2xx, whole.
    Success,
    /// 3xx, whole.
    Redirect,
    /// 4xx, whole. The answer is what the client asked for.
    ClientError,
    /// 5xx.
    ServerError,
    /// No connection could be made.
    Connect,
    /// The answer did not begin, or did not end, in time.
    Timeout,
    /// The connection broke before the answer began.
    Reset,
    /// The answer broke off.
    Truncated,
    /// The answer was no HTTP.
    Protocol,
    /// The pool had no endpoint to give it to.
    Unavailable,
    /// The client went away before the answer ended.
    Abandoned,
    /// The client's body broke a rule, or stopped coming.
    BadRequest,
}

impl Outcome {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Protocol,
        Self::Unavailable,
        Self::Abandoned,
        Self::BadRequest,
    ];

    /// The outcome of a whole answer with this status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            0..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// Its name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
            Self::Abandoned => "abandoned",
            Self::BadRequest => "bad_request",
        }
    }

    /// Whose fault it is, if it is a failure.
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::Success | Self::Redirect | Self::ClientError => None,
            Self::Abandoned | Self::BadRequest => Some(Fault::Client),
            Self::ServerError
            | Self::Connect
            | Self::Timeout
            | Self::Reset
            | Self::Truncated
            | Self::Protocol
            | Self::Unavailable => Some(Fault::Upstream),
        }
    }

    /// Whether the judge counts it as an error of the pool.
    pub const fn is_error(self) -> bool {
        matches!(self.fault(), Some(Fault::Upstream))
    }

    /// Its number, for arrays indexed by outcome.
    pub const fn index(self) -> usize {
        self as usize
    }
}
