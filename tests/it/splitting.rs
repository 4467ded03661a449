//! Who goes where, through real sockets.

use std::collections::BTreeMap;

use serin::control::{Action, Refusal};

use crate::support::{Client, TestProxy, Upstream, get};

const STICKY: &str = "sticky = [\"header:x-user-id\"]\njudge = { watch = false }";

/// Which pool each of `users` gets.
async fn sides(proxy: &TestProxy, users: usize) -> BTreeMap<usize, String> {
    const CLIENTS: usize = 8;
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..CLIENTS {
        let address = proxy.address;
        tasks.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut got = Vec::new();
            for user in (first..users).step_by(CLIENTS) {
                got.push((user, client.get_as(&format!("user-{user}")).await.body));
            }
            got
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

fn on_canary(sides: &BTreeMap<usize, String>) -> usize {
    sides.values().filter(|side| *side == "green").count()
}

/// A config with a `judge` table of its own.
async fn proxy(blue: &Upstream, green: &Upstream, keys: &str) -> TestProxy {
    TestProxy::start(&crate::support::config(&[blue], &[green], keys, "")).await
}

#[tokio::test]
async fn the_share_is_the_weight_and_growing_it_sends_nobody_back() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = proxy(&blue, &green, STICKY).await;
    const USERS: usize = 6_000;

    let mut before: Option<BTreeMap<usize, String>> = None;
    for (share, percent) in [("1%", 1.0), ("5%", 5.0), ("25%", 25.0)] {
        proxy.weight(share).await;
        let now = sides(&proxy, USERS).await;
        let n = USERS as f64;
        let sigma = (n * percent / 100.0 * (1.0 - percent / 100.0)).sqrt();
        let off = (on_canary(&now) as f64 - n * percent / 100.0).abs() / sigma;
        assert!(off < 4.5, "{} of {USERS} at {share}: {off:.1} sigma", on_canary(&now));
        if let Some(before) = before {
            for (user, side) in &before {
                assert!(side == "blue" || now[user] == "green", "user {user} went back at {share}");
            }
        }
        assert_eq!(sides(&proxy, 500).await, now.clone().into_iter().take(500).collect());
        before = Some(now);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn nothing_is_nobody_and_everything_is_everybody() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = proxy(&blue, &green, STICKY).await;
    assert_eq!(on_canary(&sides(&proxy, 400).await), 0);
    proxy.weight("100%").await;
    assert_eq!(on_canary(&sides(&proxy, 400).await), 400);
    // Without a key it is the same.
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..50 {
        assert_eq!(client.send("GET /", &[], "").await.unwrap().body, "green");
    }
    proxy.weight("0%").await;
    assert_eq!(client.send("GET /", &[], "").await.unwrap().body, "blue");
    proxy.stop().await;
}

#[tokio::test]
async fn an_issued_cookie_keeps_its_bearer_on_one_side_even_after_a_login() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = "sticky = [\"header:x-user-id\", \"issue\"]\njudge = { watch = false }";
    let proxy = proxy(&blue, &green, keys).await;
    proxy.weight("50%").await;
    let mut seen = BTreeMap::new();
    for _ in 0..40 {
        let first = get(proxy.address, "/", &[]).await;
        let cookie = first.fields["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("serin_id=") && cookie.contains("; HttpOnly; SameSite=Lax"));
        assert!(!cookie.contains("green") && !cookie.contains("blue"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        for fields in [vec![("cookie", pair)], vec![("cookie", pair), ("x-user-id", "u1")]] {
            let again = get(proxy.address, "/", &fields).await;
            assert_eq!(again.body, first.body, "moved");
            assert!(!again.fields.contains_key("set-cookie"), "issued twice");
        }
        *seen.entry(first.body).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "all on one side: {seen:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn keys_come_from_cookies_queries_and_addresses_too() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = "sticky = [\"cookie:sid\", \"query:user\", \"ip\"]\njudge = { watch = false }";
    let proxy = proxy(&blue, &green, keys).await;
    proxy.weight("50%").await;
    let mut sides = std::collections::BTreeSet::new();
    for n in 0..30 {
        let cookie = format!("a=b; sid=s{n}");
        let target = format!("/?x=1&user=s{n}");
        let by_cookie = get(proxy.address, "/?user=other", &[("cookie", &cookie)]).await.body;
        let by_query = get(proxy.address, &target, &[]).await.body;
        assert_eq!(by_cookie, by_query, "the same key s{n} from two places");
        sides.insert(by_cookie);
    }
    assert_eq!(sides.len(), 2);
    let one = get(proxy.address, "/", &[]).await.body;
    for _ in 0..10 {
        assert_eq!(get(proxy.address, "/", &[]).await.body, one, "one address, one side");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_tester_with_the_secret_reaches_the_canary_and_is_not_judged() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let keys = "force = [{ header = \"x-canary\", value = \"open-sesame\", to = \"canary\" }]";
    let proxy = TestProxy::between(&blue, &green, keys).await;
    assert_eq!(get(proxy.address, "/", &[("x-canary", "open-sesame")]).await.body, "green");
    assert_eq!(get(proxy.address, "/", &[("x-canary", "guess")]).await.body, "blue");
    crate::support::eventually("it is counted", || async {
        proxy.shop().await.canary.unwrap().total.get("2xx") == Some(&1)
    })
    .await;
    assert_eq!(proxy.shop().await.canary.unwrap().requests, 0, "the judge saw a tester");
    proxy.stop().await;
}

#[tokio::test]
async fn a_weight_is_refused_while_a_rollout_sets_it() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, "").await;
    proxy.deploy("v2").await.unwrap();
    let refused = proxy.act(Action::Weight("5%".parse().unwrap())).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    proxy.stop().await;
}
