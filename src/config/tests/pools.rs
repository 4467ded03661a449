//! Pools, and what they take from their service.

use super::*;

#[test]
fn a_pool_overrides_its_service_key_by_key() {
    let text = format!(
        "{HEAD}[services.shop]\nstable = \"blue\"\nbalance = \"round-robin\"\n\
         health = {{ path = \"/up\", every = \"7s\", fall = 9 }}\n\
         timeouts = {{ connect = \"3s\", total = \"9s\" }}\n\
         [services.shop.pools.blue]\nendpoints = [\"a:1\"]\n\
         [services.shop.pools.green]\nendpoints = [\"b:1\"]\nbalance = \"least-request\"\n\
         health = {{ path = \"/x\", rise = 1 }}\ntimeouts = {{ connect = \"4s\" }}\n\
         [services.shop.pools.grey]\nendpoints = [\"c:1\"]\nhealth = {{ tcp = true }}\n"
    );
    let pools = shop(&text).pools;
    let health = |pool: &str| {
        let Health { probe, every, timeout, rise, fall } = pools[pool].health.clone();
        (probe, every.as_secs(), timeout.as_secs(), rise, fall)
    };
    assert_eq!(health("blue"), (Probe::Http("/up".into()), 7, 1, 2, 9));
    assert_eq!(health("green"), (Probe::Http("/x".into()), 7, 1, 1, 9));
    assert_eq!(health("grey"), (Probe::Tcp, 7, 1, 2, 9));
    let timeouts = |pool: &str| {
        let PoolTimeouts { connect, first_byte, total } = pools[pool].timeouts;
        (connect.as_secs(), first_byte.as_secs(), total.as_secs())
    };
    assert_eq!((timeouts("blue"), timeouts("green")), ((3, 15, 9), (4, 15, 9)));
    let balances = ["blue", "green", "grey"].map(|pool| pools[pool].balance);
    assert_eq!(balances, [Balance::RoundRobin, Balance::LeastRequest, Balance::RoundRobin]);
}

#[test]
fn what_is_wrong_on_a_service_is_said_once() {
    refused(&with_service("health = { rise = 0 }"), "0", "`rise` must be from 1 to 1000");
}

#[test]
fn a_pool_has_one_kind_of_check() {
    for (health, at, want) in [
        ("path = \"/\", tcp = true", "true", "`path` and `tcp` exclude each other"),
        ("tcp = true, off = true", "true", "`tcp` and `off` exclude each other"),
        ("off = false", "false", "`off` can only be true"),
        ("tcp = false", "false", "`tcp` can only be true"),
        ("path = \"up\"", "\"up\"", "`path` must begin with `/`"),
        ("path = \"/a b\"", "\"/a b\"", "`path` must not hold spaces, `#` or what is not ASCII"),
    ] {
        let text =
            with(&format!("[services.shop.pools.green.health]\n{health}").replace(", ", "\n"));
        refused(&text, at, want);
    }
    let text = with("[services.shop.pools.green.health]\noff = true");
    assert_eq!(warnings(&text), ["health checks are off: a dead endpoint keeps getting requests"]);
}

#[test]
fn endpoints_are_whole_and_different() {
    let why = |rest: &str| rest.to_owned();
    for (endpoint, want) in [
        (
            "app",
            why("`app` is not an endpoint: it lacks a port, write host:port, such as \"app:3000\""),
        ),
        ("app:", why("`app:` is not an endpoint: a port is a number from 1 to 65535")),
        ("app:0", why("`app:0` is not an endpoint: a port is a number from 1 to 65535")),
        ("app:65536", why("`app:65536` is not an endpoint: a port is a number from 1 to 65535")),
        ("app:+1", why("`app:+1` is not an endpoint: a port is a number from 1 to 65535")),
        (
            ":80",
            why(
                "`:80` is not an endpoint: the host must be a name or an address, such as \"app:3000\"",
            ),
        ),
        (
            "10.0.0:80",
            why(
                "`10.0.0:80` is not an endpoint: the host must be a name or an address, such as \"app:3000\"",
            ),
        ),
        (
            "::1:80",
            why(
                "`::1:80` is not an endpoint: an IPv6 address stands in brackets, such as \"[::1]:80\"",
            ),
        ),
        ("[::x]:80", why("`[::x]:80` is not an endpoint: an IPv6 address stands in the brackets")),
        (
            "[::1]",
            why(
                "`[::1]` is not an endpoint: it lacks a port, write host:port, such as \"app:3000\"",
            ),
        ),
        (
            "http://app:1/x",
            why("`http://app:1/x` is not an endpoint: an endpoint has no path, write host:port"),
        ),
        (
            "ftp://app:1",
            why("`ftp://app:1` is not an endpoint: write host:port or http://host:port"),
        ),
        ("https://app:1", why("`https://` is not available yet")),
        ("a:1\", \"http://A:1", why("`a:1` is listed twice in this pool")),
        ("[::1]:1\", \"[0:0::1]:1", why("`[::1]:1` is listed twice in this pool")),
    ] {
        let text = with(&format!("[services.shop.pools.grey]\nendpoints = [\"{endpoint}\"]"));
        let at = endpoint.rsplit('"').next().unwrap_or_default();
        refused(&text, &format!("\"{at}\""), &want);
    }
}

#[test]
fn only_a_pool_that_gets_no_requests_may_wait_for_its_endpoints() {
    let text = with("").replace("[\"green:3000\"]", "[]");
    assert_eq!(shop(&text).pools["green"].endpoints, []);
    let weighted = with_service("weight = \"5%\"").replace("[\"green:3000\"]", "[]");
    refused(&weighted, "\"5%\"", "a `weight` above 0% needs a canary with endpoints");
    let text = with("").replace("[\"blue:3000\"]", "[]");
    refused(&text, "[]", "the stable pool needs at least one endpoint");
    let text = with("[services.shop.pools.grey]");
    refused(&text, "[services", "missing key `endpoints` in [services.shop.pools.grey]");
}
