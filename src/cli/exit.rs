//! How a command ends: the code for scripts, the words for people.

use std::fmt;

use serde_json::{Value, json};

/// Done, or promoted.
pub(super) const DONE: u8 = 0;
/// It could not be done.
pub(super) const FAILED: u8 = 1;
/// The release was rolled back, or undone.
pub(super) const ROLLED_BACK: u8 = 10;
/// The release is held, or was not finished in time.
pub(super) const HELD: u8 = 11;
/// A gate failed: the release never got any traffic.
pub(super) const GATE_FAILED: u8 = 12;
/// Bad input.
pub(super) const USAGE: u8 = 64;

/// The code of a rollout that ended in `state`; none while it goes on.
pub(super) fn of_state(state: &str) -> Option<u8> {
    match state {
        "promoted" => Some(DONE),
        "rolled_back" | "undone" => Some(ROLLED_BACK),
        "gate_failed" => Some(GATE_FAILED),
        _ => None,
    }
}

/// The code of arguments that ask for nothing that can be done; help is no error.
pub(super) fn of_usage(error: &clap::Error) -> u8 {
    if error.use_stderr() { USAGE } else { DONE }
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// Nobody answers.
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        why: String,
    },
    /// serin said no.
    Refused {
        /// The answer's status.
        status: u16,
        /// The reason.
        detail: String,
        /// The whole answer.
        problem: Value,
    },
    /// Anything else.
    Other(String),
}

impl Failure {
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Refused { status: 422, .. } => USAGE,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Other(_) => FAILED,
        }
    }

    /// Whether the same question may be answered in a moment: serin may be coming back.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 500..=599, .. })
    }

    /// What to do about it.
    pub(super) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "start serin with `serin run`, or say where it is with --admin URL or SERIN_ADMIN",
            ),
            Self::Refused { status: 401, .. } => Some(
                "name the file that holds the token with --token-file FILE or SERIN_TOKEN_FILE",
            ),
            _ => None,
        }
    }

    /// The failure as a program reads it.
    pub(super) fn document(&self) -> Value {
        match self {
            Self::Refused { problem, .. } => problem.clone(),
            _ => json!({ "type": "about:blank", "title": "Failed", "detail": self.to_string() }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Other(why) | Self::Refused { detail: why, .. } => {
                f.write_str(why)
            }
            Self::Unreachable { address, why } => {
                write!(f, "cannot reach serin at {address}: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_its_code() {
        let table = [
            ("promoted", Some(0)),
            ("rolled_back", Some(10)),
            ("undone", Some(10)),
            ("gate_failed", Some(12)),
            ("step", None),
            ("guard", None),
            ("paused", None),
        ];
        for (state, want) in table {
            assert_eq!(of_state(state), want, "{state}");
        }
    }

    #[test]
    fn a_refusal_has_its_code() {
        for (status, code) in [(404, 1), (409, 1), (412, 1), (422, 64), (401, 1), (503, 1)] {
            let refused = Failure::Refused { status, detail: "no".into(), problem: Value::Null };
            assert_eq!(refused.code(), code, "{status}");
            assert_eq!(refused.may_pass(), status == 503, "{status}");
        }
        assert_eq!(Failure::Usage("no".into()).code(), 64);
    }

    #[test]
    fn who_is_not_reached_is_named_with_what_to_do() {
        let address = "http://127.0.0.1:9900".to_owned();
        let failure = Failure::Unreachable { address, why: "connection refused".into() };
        let text = failure.to_string();
        assert_eq!(text, "cannot reach serin at http://127.0.0.1:9900: connection refused");
        assert!(failure.hint().unwrap().contains("--admin"));
        assert_eq!(failure.code(), 1);
    }
}
