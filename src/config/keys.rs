//! Every key of `proxy.toml`: the one list that the readers, the suggestions and the reference page
//! take it from. A key of a later version is here, too, so that it is refused by name.

mod judge;
mod release;
mod service;

pub use judge::{ATTENTION, JUDGE, QUERY, SLO};
pub use release::{EXPECT, EXPECT_HEADER, EXPECT_JSON, GATE, HOOKS, NOTIFY, ROLLOUT, STEP};
pub use service::{FORCE, HEALTH, ISSUE, MATCH, POOL, POOL_TIMEOUTS, RESOURCES, SERVICE};

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
pub const SECTIONS: [&Section; 28] = [
    &ROOT,
    &ADMIN,
    &STATE,
    &WORKERS,
    &LISTENER,
    &CERTIFICATE,
    &LISTENER_LIMITS,
    &LISTENER_TIMEOUTS,
    &SERVICE,
    &MATCH,
    &ISSUE,
    &FORCE,
    &POOL,
    &HEALTH,
    &POOL_TIMEOUTS,
    &RESOURCES,
    &GATE,
    &EXPECT,
    &EXPECT_JSON,
    &EXPECT_HEADER,
    &ROLLOUT,
    &STEP,
    &HOOKS,
    &NOTIFY,
    &JUDGE,
    &SLO,
    &QUERY,
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
        key("protocols", "[\"http/1.1\", \"h2\"]", "what is spoken on it"),
        key(
            "tls",
            "",
            "certificates, and for whom each is shown; without it the port is plain HTTP",
        ),
        key("trusted_proxies", "[]", "networks whose forwarding headers are believed"),
        key("via", "true", "whether answers get a `Via` that says they passed here"),
        key("limits", "{}", "bounds on what a client may send"),
        key("timeouts", "{}", "bounds on how long a client may take"),
        later("client_ca"),
        later("redirect_https"),
        later("proxy_protocol_from"),
    ],
};

/// One certificate.
pub const CERTIFICATE: Section = Section {
    path: "listeners.NAME.tls",
    keys: &[
        key("hosts", "", "names that clients ask for; \"*\" is every other one"),
        key("cert", "", "a file with the certificate, followed by those that vouch for it, as PEM"),
        key("key", "", "a file with its private key, as PEM"),
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
        key(
            "h2_streams",
            "100",
            "streams of a connection of HTTP/2 that are open at the same time",
        ),
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
    ("res_margin", "resource_margin"),
];

/// Names that people know from elsewhere, and what to write instead.
pub const KNOWN_ELSEWHERE: &[(&str, &str)] = &[
    ("min_requests", "write `requests` on the steps"),
    ("webhooks", "write `gates` on the service, or `hooks` and `notify` on the rollout"),
];
