//! Every key of `proxy.toml`: the one list that the readers, the suggestions and the reference page
//! take it from. A key of a later version is here, too, so that it is refused by name.

/// One table of the file and its keys.
#[derive(Debug)]
pub struct Section {
    /// Where it stands; `NAME` and `POOL` are the user's.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Other names it goes by.
    pub also: &'static [&'static str],
    /// Its default, as TOML; empty where there is none.
    pub default: &'static str,
    /// What it says; empty where it is not available yet.
    pub about: &'static str,
}

impl Key {
    /// Whether this version reads it.
    pub const fn available(&self) -> bool {
        !self.about.is_empty()
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

const fn key(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { name, also: &[], default, about }
}

const fn later(name: &'static str) -> Key {
    key(name, "", "")
}

/// Every table, in the order of the reference page.
pub const SECTIONS: [&Section; 18] = [
    &ROOT,
    &ADMIN,
    &STATE,
    &WORKERS,
    &LISTENER,
    &LISTENER_LIMITS,
    &LISTENER_TIMEOUTS,
    &SERVICE,
    &MATCH,
    &ISSUE,
    &FORCE,
    &POOL,
    &HEALTH,
    &POOL_TIMEOUTS,
    &ROLLOUT,
    &STEP,
    &JUDGE,
    &ATTENTION,
];

/// The file itself.
pub const ROOT: Section = Section {
    path: "",
    keys: &[
        key("version", "", "the version of this format: 1"),
        key("admin", "{}", "where the API listens"),
        key("state", "{}", "where state is kept"),
        key("workers", "{}", "the threads that serve requests"),
        key("listeners", "", "the ports that serve clients, by name; at least one"),
        key("services", "", "the services, by name; at least one"),
    ],
};

/// The API's listener.
pub const ADMIN: Section = Section {
    path: "admin",
    keys: &[
        key("bind", "\"127.0.0.1:9900\"", "the API's address, or \"unix:/path\""),
        key(
            "token_file",
            "",
            "holds the operator's token; required when `bind` is not loopback or a socket",
        ),
        key("read_token_file", "", "holds a second token that may look but not act"),
        key("metrics_bind", "", "an address that serves only /metrics, /healthz and /readyz"),
        key("hosts", "[]", "names under which the API may be asked for, beside loopback"),
    ],
};

/// The state directory.
pub const STATE: Section = Section {
    path: "state",
    keys: &[
        key("path", "\"serin-state\"", "the directory of the state, relative to the file"),
        later("etcd"),
    ],
};

/// The worker threads.
pub const WORKERS: Section =
    Section { path: "workers", keys: &[key("threads", "0", "how many; 0 means one per core")] };

/// One port.
pub const LISTENER: Section = Section {
    path: "listeners.NAME",
    keys: &[
        key("bind", "", "its address, such as \"0.0.0.0:8080\""),
        key("protocols", "[\"http/1.1\"]", "what is spoken on it"),
        key("trusted_proxies", "[]", "networks whose forwarding headers are believed"),
        key("limits", "{}", "bounds on what a client may send"),
        key("timeouts", "{}", "bounds on how long a client may take"),
        later("tls"),
        later("client_ca"),
        later("redirect_https"),
        later("proxy_protocol_from"),
    ],
};

/// What a client may send.
pub const LISTENER_LIMITS: Section = Section {
    path: "listeners.NAME.limits",
    keys: &[
        key("connections", "10000", "open connections"),
        key("connections_per_ip", "1000", "open connections of one address"),
        key("headers", "100", "header lines of a request"),
        key("header_bytes", "\"32KiB\"", "a request's head"),
        key("target_bytes", "\"8KiB\"", "a request's target"),
        key("body_bytes", "\"10MiB\"", "a request's body"),
        later("h2_streams"),
    ],
};

/// How long a client may take.
pub const LISTENER_TIMEOUTS: Section = Section {
    path: "listeners.NAME.timeouts",
    keys: &[
        key("first_byte", "\"10s\"", "from accept to the first byte"),
        key("head", "\"10s\"", "from the first byte of a head to its last"),
        key("body_idle", "\"30s\"", "between two pieces of a request's body"),
        key("idle", "\"60s\"", "between two requests"),
        key("stream_idle", "\"5m\"", "between two pieces of a response's body"),
    ],
};

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
        key("judge", "{}", "how a canary is judged"),
        key("protocol", "\"http/1.1\"", "of all its pools"),
        key("balance", "\"least-request\"", "of all its pools"),
        key("health", "{}", "of all its pools"),
        key("timeouts", "{}", "of all its pools"),
        later("rewrite"),
        later("request_headers"),
        later("response_headers"),
        later("redirect"),
        later("shield"),
        later("mirror"),
        later("assets"),
        later("gates"),
        later("outlier"),
        later("limits"),
        later("retry"),
        later("resources"),
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
        later("outlier"),
        later("limits"),
        later("retry"),
        later("resources"),
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

/// How a service is released.
pub const ROLLOUT: Section = Section {
    path: "services.NAME.rollout",
    keys: &[
        key("strategy", "\"canary\"", "how it moves: or \"blue-green\""),
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
        key("irreversible_after", "\"none\"", "the point of no return"),
        later("hooks"),
        later("notify"),
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

/// How a canary is judged.
pub const JUDGE: Section = Section {
    path: "services.NAME.judge",
    keys: &[
        key("mode", "\"sequential\"", "which rule judges: or \"threshold\""),
        key("watch", "true", "whether a share set by hand is judged"),
        key("error_ratio", "1.5", "tolerated errors as a ratio to stable's"),
        key("error_margin", "\"0.05%\"", "tolerated errors on top, as a share of requests"),
        key("latency_ratio", "1.2", "tolerated slowdown"),
        key("alpha", "0.01", "the chance that a good release is rolled back"),
        key("max_harm", "", "excess errors at which the canary is left without waiting for proof"),
        key("tolerate_stall", "\"250ms\"", "the stall of one pool that is forgiven: or \"1s\""),
        key("levels", "[0.5, 0.9, 0.99, 0.999]", "the quantiles that are compared"),
        key("attention", "{}", "what each evidence weighs").also(&["weights"]),
        key(
            "error_grid",
            "[1.25, 1.6, 2.2, 3.5, 6, 12, 40, 150, 1000]",
            "alternatives of the error test",
        ),
        key(
            "latency_grid",
            "[1.15, 1.35, 1.7, 2.5, 4.5, 10, 40]",
            "odds ratios of the latency test",
        ),
        key("slice_s", "0.25", "the length of a slice, in seconds"),
        key("cap", "3", "the most that one slice may add, in nats"),
        key("warm_s", "30", "how long `warm_margin` replaces `latency_ratio`, in seconds"),
        key("warm_margin", "4", "tolerated slowdown of a cold canary"),
        key("reference_half_life_s", "120", "half-life of stable's latencies")
            .also(&["ref_half_s"]),
        key("alpha_advance", "0.05", "the chance that a step ends although the canary is worse")
            .also(&["alpha_adv"]),
        key("harm", "\"0.25%\"", "the harm a step may do, as a share of all requests"),
        key("advance_floor", "\"0.5%\"", "the least margin of the advance test")
            .also(&["adv_floor"]),
        key("advance_ratio", "1.25", "tolerated errors of the advance test").also(&["adv_rho"]),
        key("advance_latency_factor", "2", "how much wider its margin is for slow requests"),
        key("advance_grid", "[0, 0.25, 0.5, 0.7, 0.85]", "alternatives of the advance test"),
        key("suspicion", "1.1", "the evidence above which a step holds, in nats"),
        later("key_cap"),
        later("max_routes"),
        key("horizon_slices", "20000", "how many slices may start a new test"),
        key("inject_start", "0.5", "the stake at a rollout's start"),
        key("inject_steps", "0.25", "the stake of all later steps together"),
        key("inject_slices", "0.25", "the stake of all slices together"),
        later("resource_margin"),
        later("resource_block_s"),
        later("resource_grid"),
        key("stable_dead", "\"50%\"", "stable's error rate above which nothing is decided"),
        later("record"),
        later("slo"),
        later("prometheus"),
        later("min_requests"),
    ],
};

/// What each evidence weighs.
pub const ATTENTION: Section = Section {
    path: "services.NAME.judge.attention",
    keys: &[
        key("errors", "0.4", "errors of all requests"),
        key("routes", "0.1", "errors by route, together"),
        key("resources", "0.1", "resources"),
        key("latency", "[0.08, 0.08, 0.16, 0.08]", "latency, one for each of `levels`"),
    ],
};

/// Names that the judge's replay format uses, and what they are called here.
pub const REPLAY_NAMES: &[(&str, &str)] = &[
    ("rho", "error_ratio"),
    ("delta", "error_margin"),
    ("lat_margin", "latency_ratio"),
    ("err_grid", "error_grid"),
    ("lat_grid", "latency_grid"),
    ("q_start", "inject_start"),
    ("q_stage", "inject_steps"),
    ("q_slice", "inject_slices"),
    ("adv_lat_mult", "advance_latency_factor"),
    ("adv_grid", "advance_grid"),
    ("res_block_s", "resource_block_s"),
    ("res_grid", "resource_grid"),
    ("err", "errors"),
    ("route", "routes"),
    ("res", "resources"),
    ("lat", "latency"),
];
