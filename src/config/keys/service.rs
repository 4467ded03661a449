//! The keys of a service and its pools.

use super::{Section, key, later};

/// One service. The keys of a pool that stand here hold for all its pools.
pub const SERVICE: Section = Section {
    path: "services.NAME",
    keys: &[
        key("hosts", "[\"*\"]", "hosts it answers for"),
        key("paths", "[\"/\"]", "path prefixes it answers for; the longest wins"),
        key("match", "[]", "further conditions; all must hold"),
        key("stable", "", "the pool known to be good; may be left out where there is only one"),
        key("canary", "", "the pool being tried"),
        key("weight", "\"0%\"", "the canary's share while no rollout runs"),
        key("sticky", "[]", "where the key of a user is found, in order"),
        key("issue", "", "the cookie that `sticky = [\"issue\"]` sets"),
        key("force", "[]", "sends requests that carry a secret to one side"),
        key("pools", "", "its pools, by name; at least one"),
        key("rollout", "{}", "how it is released"),
        key("gates", "[]", "what a release has to pass before any traffic, in order"),
        key("judge", "{}", "how a canary is judged"),
        key("protocol", "\"http/1.1\"", "of all its pools"),
        key("balance", "\"least-request\"", "of all its pools"),
        key("health", "{}", "of all its pools"),
        key("timeouts", "{}", "of all its pools"),
        key("resources", "", "of all its pools"),
        later("rewrite"),
        later("request_headers"),
        later("response_headers"),
        later("redirect"),
        later("shield"),
        later("mirror"),
        later("assets"),
        later("outlier"),
        later("limits"),
        later("retry"),
        later("ca"),
    ],
};

/// A further condition.
pub const MATCH: Section = Section {
    path: "services.NAME.match",
    keys: &[
        key("header", "", "this header is there"),
        key("value", "", "and has this value"),
        key("method", "", "the request has this method"),
    ],
};

/// The cookie that is issued.
pub const ISSUE: Section = Section {
    path: "services.NAME.issue",
    keys: &[
        key("cookie", "\"serin_id\"", "its name"),
        key("key_file", "", "holds the key that signs it; one in the state directory by default"),
        key("max_age", "\"30d\"", "its life"),
    ],
};

/// A rule for testers.
pub const FORCE: Section = Section {
    path: "services.NAME.force",
    keys: &[
        key("header", "", "the header that holds the secret"),
        key("cookie", "", "or the cookie"),
        key("query", "", "or the parameter of the query"),
        key("value", "", "the secret"),
        key("to", "", "the side: \"stable\" or \"canary\""),
    ],
};

/// One pool.
pub const POOL: Section = Section {
    path: "services.NAME.pools.POOL",
    keys: &[
        key("endpoints", "", "its servers, as host:port"),
        key("protocol", "\"http/1.1\"", "what is spoken to them"),
        key("balance", "\"least-request\"", "how one is chosen: or \"round-robin\""),
        key("health", "{}", "how they are checked"),
        key("timeouts", "{}", "bounds on how long they may take"),
        key("resources", "", "what is read of their use of CPU and memory"),
        later("outlier"),
        later("limits"),
        later("retry"),
        later("ca"),
    ],
};

/// How endpoints are checked.
pub const HEALTH: Section = Section {
    path: "services.NAME.pools.POOL.health",
    keys: &[
        key("path", "\"/health\"", "GET on this path answers 2xx"),
        key("tcp", "", "true: a connection opens"),
        key("off", "", "true: nothing is asked"),
        key("every", "\"2s\"", "how often"),
        key("timeout", "\"1s\"", "how long an answer may take"),
        key("rise", "2", "passes in a row that bring an endpoint up"),
        key("fall", "3", "failures in a row that take it down"),
        later("grpc"),
    ],
};

/// How long an endpoint may take.
pub const POOL_TIMEOUTS: Section = Section {
    path: "services.NAME.pools.POOL.timeouts",
    keys: &[
        key("connect", "\"1s\"", "until the connection stands"),
        key("first_byte", "\"15s\"", "until the head of the answer"),
        key("total", "\"60s\"", "until the end of the answer"),
    ],
};

/// What is read of a pool's use of resources.
pub const RESOURCES: Section = Section {
    path: "services.NAME.pools.POOL.resources",
    keys: &[
        key(
            "metrics",
            "\"http://{endpoint}/metrics\"",
            "each endpoint's own exposition, with `process_*`",
        ),
        key("cgroup", "", "or a folder of cgroup v2, or a list of them"),
        key("pid", "", "or a process, by number or by the file that holds it, or a list of them"),
        key("cpu", "\"90%\"", "CPU above this share of its limit is a rollback; or \"off\""),
        key("memory", "\"90%\"", "likewise for memory"),
        key("cpu_limit", "", "how many cores an endpoint may use, where the source does not say"),
        key("memory_limit", "", "how much memory, where the source does not say"),
        key("every", "\"2s\"", "how often it is read"),
    ],
};
