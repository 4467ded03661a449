//! Changes under load: nothing is lost by our own act.

use serin::control::Action;

use crate::releasing::Traffic;
use crate::support::{TestProxy, Upstream, config, eventually, get};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";

#[tokio::test]
async fn a_thousand_weight_changes_lose_no_request() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let proxy = TestProxy::between(&blue, &green, STICKY).await;
    let traffic = Traffic::start(proxy.address);
    for turn in 0..1_000u16 {
        let share = format!("{}%", turn % 101);
        proxy.act(Action::Weight(share.parse().unwrap())).await.unwrap();
        if turn % 50 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert!(green.hits() > 0, "nothing was split");
    assert_eq!(traffic.stop().await, 0);
    proxy.stop().await;
}

#[tokio::test]
async fn a_reload_is_whole_or_nothing_and_loses_no_request() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let other = Upstream::start("other").await;
    let text = config(&[&blue], &[&green], STICKY, "");
    let proxy = TestProxy::start(&text).await;
    proxy.weight("10%").await;
    let traffic = Traffic::start(proxy.address);

    std::fs::write(proxy.path(), text.replace("stable = \"blue\"", "stable = \"bleu\"")).unwrap();
    let refused = proxy.handle.reload().await.unwrap_err().to_string();
    assert!(refused.contains("bleu"), "{refused}");

    for round in 0..20 {
        let endpoint = if round % 2 == 0 { &other } else { &blue };
        let new = text.replace(&blue.address.to_string(), &endpoint.address.to_string());
        std::fs::write(proxy.path(), new).unwrap();
        proxy.handle.reload().await.unwrap();
        // The new endpoint gets nothing before its first pass; until then the old one serves.
        eventually("the new one has taken over", || async {
            let endpoints = proxy.shop().await.stable.endpoints;
            endpoints.len() == 1 && endpoints[0].target == endpoint.address.to_string()
        })
        .await;
    }
    let service = proxy.shop().await;
    assert_eq!(service.weight.wanted.to_string(), "10%", "a live weight was reset by a reload");
    assert!(other.hits() > 0, "the reload changed nothing");
    assert_eq!(traffic.stop().await, 0, "a reload lost a request");
    assert_eq!(get(proxy.address, "/", &[("x-user-id", "x")]).await.status, 200);
    proxy.stop().await;
}

#[tokio::test]
async fn a_share_that_the_file_changes_is_a_decision_and_waits_for_the_thaw() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let text = config(&[&blue], &[&green], "weight = \"10%\"", "");
    let proxy = TestProxy::start(&text).await;
    let reload = async |share: &str| {
        let text = text.replace("10%", share);
        std::fs::write(proxy.path(), text).unwrap();
        let notes = proxy.handle.reload().await.unwrap().notes.join("\n");
        (proxy.shop().await.weight.wanted.to_string(), notes)
    };
    assert_eq!(reload("20%").await.0, "20%");
    let last = proxy.shop().await.by_hand.last().cloned().expect("nobody decided it");
    assert_eq!((last.decision.as_str(), last.reason.as_str()), ("weight", "reload"));

    proxy.act(Action::Freeze { until_ms: None }).await.unwrap();
    let (share, notes) = reload("30%").await;
    assert!(share == "20%" && notes.contains("`weight`"), "{share}, {notes:?}");
    assert_eq!(reload("5%").await.0, "5%", "a way back was held");
    reload("30%").await;
    proxy.act(Action::Thaw).await.unwrap();
    assert_eq!(reload("30%").await.0, "30%");
    proxy.stop().await;
}
