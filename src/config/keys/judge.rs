//! The keys of the judge.

use super::{Section, key};

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
        key("key_cap", "2", "how many errors of one user count, for each step and pool"),
        key("max_routes", "8", "how many routes are tested on their own"),
        key("horizon_slices", "20000", "how many slices may start a new test"),
        key("inject_start", "0.5", "the stake at a rollout's start"),
        key("inject_steps", "0.25", "the stake of all later steps together"),
        key("inject_slices", "0.25", "the stake of all slices together"),
        key("resource_margin", "0.25", "tolerated use per request on top of stable's, as a ratio"),
        key(
            "resource_block_s",
            "10",
            "the least length of a block of the resource test, in seconds",
        ),
        key("resource_grid", "[0.3, 0.6, 0.9]", "bets of the resource test"),
        key("stable_dead", "\"50%\"", "stable's error rate above which nothing is decided"),
        key("record", "", "the file that ticks are written to, for a replay with `serin judge`"),
        key("slo", "{}", "what the service promises, whatever the stable pool does"),
        key("prometheus", "[]", "metrics of the business that must keep a bound"),
    ],
};

/// What the service promises.
pub const SLO: Section = Section {
    path: "services.NAME.judge.slo",
    keys: &[
        key("error_rate", "", "the most failures, as a share of requests"),
        key("p99", "", "the longest that 99 of 100 requests take"),
    ],
};

/// A metric of the business.
pub const QUERY: Section = Section {
    path: "services.NAME.judge.prometheus",
    keys: &[
        key("name", "", "its name"),
        key("url", "", "the server, such as \"http://prometheus:9090\""),
        key("query", "", "PromQL; {service}, {pool}, {version} and {role} are replaced"),
        key("compare", "", "what must hold: \"< 0.01\" or \"<= 1.2 * stable\""),
        key("every", "\"30s\"", "how often it is asked"),
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
