//! A certificate is replaced while serin serves.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::version::TLS13;

use super::{SHOP, with_tls};
use crate::support::{Authority, Client, Serin, Upstream, config, eventually, get, secure, serin};

/// The certificate that a new handshake sees.
async fn shown(client: &Arc<ClientConfig>, address: SocketAddr) -> CertificateDer<'static> {
    let stream = secure(client, address, SHOP).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_and_a_bad_one_alarms_until_it_is_good() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let authority = Authority::new();
    let client = Arc::new(authority.client(&[&TLS13]));
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third, fourth) = (
        authority.issue(&[SHOP]),
        authority.issue(&[SHOP]),
        authority.issue(&[SHOP]),
        authority.issue(&[SHOP]),
    );
    first.write(dir.path(), "shop");
    let text = with_tls(&config(&[&blue], &[&green], "", ""), &[&[SHOP]], "");
    fs::write(dir.path().join("proxy.toml"), text).unwrap();
    let serin = Serin::start(dir.path());
    let admin: SocketAddr = serin.admin.trim_start_matches("http://").parse().unwrap();
    let shows = |issued: &crate::support::Issued| {
        let (want, client, address) = (issued.der(), Arc::clone(&client), serin.address);
        eventually("the certificate is shown", move || {
            let (want, client) = (want.clone(), Arc::clone(&client));
            async move { shown(&client, address).await == want }
        })
    };
    let failures = |count: u64| {
        let line = format!("serin_certificate_reload_failures_total{{listener=\"web\"}} {count}\n");
        async move {
            let metrics = get(admin, "/metrics", &[]).await.body;
            metrics.contains(&line)
        }
    };
    shows(&first).await;
    assert!(failures(0).await);
    assert!(get(admin, "/metrics", &[]).await.body.contains("serin_certificate_expires_seconds{"));
    let stream = secure(&client, serin.address, SHOP).await.unwrap();
    let mut open = Client::over(stream, SHOP).await.unwrap();
    assert_eq!(open.send("GET /", &[], "").await.unwrap().body, "blue");

    // One after the other: between the two they do not belong together.
    let at = |name: &str| dir.path().join(name);
    fs::write(at("shop.pem"), &second.cert).unwrap();
    // Long enough to be seen, and too short for an alarm.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(shown(&client, serin.address).await == first.der());
    fs::write(at("shop.key"), &second.key).unwrap();
    shows(&second).await;
    assert_eq!(open.send("GET /", &[], "").await.unwrap().body, "blue");
    assert!(failures(0).await, "{}", serin.said());
    assert!(!serin.said().contains("ALARM"), "{}", serin.said());

    // A key that stays away is an alarm, and changes nothing.
    fs::write(at("shop.pem"), &third.cert).unwrap();
    eventually("it is counted", || failures(1)).await;
    let said = serin.said();
    assert_eq!(said.matches("ALARM").count(), 1, "{said}");
    let alarm = said.lines().find(|line| line.contains("ALARM")).unwrap();
    for part in ["ERROR", "listener=web", "shop.key", "shop.pem", "does not belong"] {
        assert!(alarm.contains(part), "{part} is not in {alarm}");
    }
    assert!(shown(&client, serin.address).await == second.der());
    assert_eq!(serin.ask(&["reload"]).status.code(), Some(0), "a share could not be changed");
    assert_eq!(serin_check(dir.path()), Some(64));
    fs::write(at("shop.key"), &third.key).unwrap();
    shows(&third).await;
    assert_eq!(serin_check(dir.path()), Some(0));

    // By rename, as those do who are careful.
    fourth.write(dir.path(), "next");
    fs::rename(at("next.pem"), at("shop.pem")).unwrap();
    fs::rename(at("next.key"), at("shop.key")).unwrap();
    shows(&fourth).await;
    assert_eq!(open.send("GET /", &[], "").await.unwrap().body, "blue");
    assert!(failures(1).await);
}

fn serin_check(dir: &std::path::Path) -> Option<i32> {
    serin(&["check", dir.join("proxy.toml").to_str().unwrap()]).status.code()
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_no_start() {
    let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
    let dir = tempfile::tempdir().unwrap();
    let text = with_tls(&config(&[&blue], &[&green], "", ""), &[&[SHOP]], "");
    let path = dir.path().join("proxy.toml");
    fs::write(&path, text).unwrap();
    let output = serin(&["run", "--config", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("shop.pem` does not exist") && said.contains("^^^"), "{said}");
}
