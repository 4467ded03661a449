//! The keys of a release: gates, steps, hooks and notices.

use super::{Section, key};

/// What a release has to pass before any traffic.
pub const GATE: Section = Section {
    path: "services.NAME.gates",
    keys: &[
        key("name", "", "its name"),
        key("request", "", "asks every endpoint: \"METHOD /path\""),
        key("command", "", "or runs a program: a list of the program and its arguments"),
        key("webhook", "", "or asks somebody who decides: a URL that is sent a POST"),
        key("prometheus", "", "or asks Prometheus: its URL"),
        key("body", "", "what `request` sends"),
        key("headers", "{}", "fields that `request` sends"),
        key("expect", "{}", "what the answer to `request` must look like"),
        key("query", "", "what `prometheus` is asked, in PromQL"),
        key("compare", "", "the bound of its value, such as \"< 0.01\""),
        key("against", "[\"canary\"]", "the sides it is asked of"),
        key("deadline", "\"60s\"", "how long all of it may take"),
    ],
};

/// What an answer must look like.
pub const EXPECT: Section = Section {
    path: "services.NAME.gates.expect",
    keys: &[
        key("status", "", "this status; any 2xx by default"),
        key("contains", "", "the body holds this text"),
        key("within", "", "the answer is whole within this time"),
        key("json", "", "the body is JSON and has something at this pointer, such as \"/status\""),
        key("header", "", "this header is there"),
    ],
};

/// What stands in a JSON body.
pub const EXPECT_JSON: Section = Section {
    path: "services.NAME.gates.expect.json",
    keys: &[
        key("pointer", "", "where it stands (RFC 6901)"),
        key("value", "", "what it equals: a string, a number, true or false"),
    ],
};

/// What stands in a header.
pub const EXPECT_HEADER: Section = Section {
    path: "services.NAME.gates.expect.header",
    keys: &[key("name", "", "its name"), key("value", "", "the text that it holds")],
};

/// How a service is released.
pub const ROLLOUT: Section = Section {
    path: "services.NAME.rollout",
    keys: &[
        key("strategy", "\"canary\"", "how it moves: or \"blue-green\" or \"ab\""),
        key("steps", "", "the shares, rising; the default depends on the strategy"),
        key("guard", "\"5m\"", "watched at 100 % with the previous pool warm"),
        key("retire_after", "\"15m\"", "how long the previous pool is kept for `undo`"),
        key("deadline", "\"1h\"", "of a step"),
        key(
            "on_inconclusive",
            "\"hold\"",
            "what the deadline does: or \"advance\" or \"rollback\"",
        ),
        key("stateful", "false", "refuses a plan without `sticky`"),
        key(
            "irreversible_after",
            "\"none\"",
            "the point of no return: the step from which on nothing is rolled back",
        ),
        key("hooks", "{}", "what is called along the way"),
        key("notify", "[]", "who is told; an empty list says that nobody is to be"),
    ],
};

/// One step.
pub const STEP: Section = Section {
    path: "services.NAME.rollout.steps",
    keys: &[
        key("weight", "", "the canary's share"),
        key("requests", "100", "the least number of canary requests"),
        key("hold", "\"60s\"", "the least time"),
        key("approval", "false", "whether it also waits for `promote`"),
    ],
};

/// What is called along the way.
pub const HOOKS: Section = Section {
    path: "services.NAME.rollout.hooks",
    keys: &[
        key("deploy", "", "before everything else: starts the new version"),
        key("before_traffic", "", "after the gates, before the first request"),
        key("each_step", "", "when a step has passed, before the next one"),
        key("before_promote", "", "before the canary gets all requests"),
        key("after", "", "when the release has ended, whatever way"),
        key("retire", "", "when the previous pool is no longer kept"),
        key("rolled_back", "", "after a rollback, once the canary's requests have ended"),
        key("deadline", "\"5m\"", "how long one call may take, waiting included"),
    ],
};

/// Somebody who is told.
pub const NOTIFY: Section = Section {
    path: "services.NAME.rollout.notify",
    keys: &[
        key("webhook", "", "where: a URL; PagerDuty's own for \"pagerduty\""),
        key(
            "format",
            "\"json\"",
            "in what shape: or \"slack\", \"teams\", \"alertmanager\" or \"pagerduty\"",
        ),
        key("routing_key", "", "the key of the integration, for \"pagerduty\" only"),
    ],
};
