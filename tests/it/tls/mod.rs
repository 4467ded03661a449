//! TLS as a client sees it.

mod handshakes;
mod http2;
mod renewing;
mod serving;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{Authority, Client, TestProxy, Upstream, config, get, secure};

/// The only name that most tests ask for.
const SHOP: &str = "shop.example.com";

/// A proxy that speaks TLS, and whoever vouches for it.
struct Secured {
    authority: Authority,
    proxy: TestProxy,
    client: Arc<ClientConfig>,
}

impl Secured {
    /// With a certificate for [`SHOP`] alone, and `listener` in the listener's table.
    async fn start(blue: &Upstream, green: &Upstream, listener: &str) -> Self {
        Self::before(&config(&[blue], &[green], "", ""), listener).await
    }

    /// The same for the file `text`.
    async fn before(text: &str, listener: &str) -> Self {
        let authority = Authority::new();
        let dir = tempfile::tempdir().unwrap();
        authority.issue(&[SHOP]).write(dir.path(), "shop");
        let proxy = TestProxy::start_in(dir, &with_tls(text, &[&[SHOP]], listener)).await;
        let client = Arc::new(authority.client(&[&TLS13, &TLS12]));
        Self { authority, proxy, client }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        secure(&self.client, self.proxy.address, SHOP).await.unwrap()
    }

    /// A connection that speaks HTTP.
    async fn client(&self) -> Client {
        Client::over(self.connect().await, SHOP).await.unwrap()
    }

    async fn metrics(&self) -> String {
        metrics(&self.proxy).await
    }
}

/// `text` with a certificate for each of `hosts`: shop.pem, then 1.pem, 2.pem and so on.
fn with_tls(text: &str, hosts: &[&[&str]], listener: &str) -> String {
    let entries = hosts.iter().enumerate().map(|(number, hosts)| {
        let name = if number == 0 { "shop".to_owned() } else { number.to_string() };
        format!("{{ hosts = {hosts:?}, cert = \"{name}.pem\", key = \"{name}.key\" }}")
    });
    let tls: Vec<String> = entries.collect();
    text.replace(
        "[listeners.web]",
        &format!("[listeners.web]\ntls = [{}]\n{listener}", tls.join(", ")),
    )
}

async fn metrics(proxy: &TestProxy) -> String {
    let admin = proxy.admin.trim_start_matches("http://").parse().unwrap();
    get(admin, "/metrics", &[]).await.body
}
