//! Servers and clients that are not ours: nginx behind the proxy, curl and wrk before it. They run
//! where they are installed, and say loudly where they are not.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Serin, eventually};

/// Whether `program` is there. CI installs it, so that nothing is skipped there.
pub(crate) fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|folder| folder.join(program).exists());
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
        assert!(std::env::var_os("CI").is_none(), "{program} is missing in CI");
    }
    found
}

/// nginx with two servers: what it answers tells which one it was.
struct Nginx(Child);

impl Nginx {
    fn start(dir: &Path, ports: [u16; 2]) -> Self {
        let work = dir.display();
        let servers: String = ports
            .iter()
            .zip(["blue", "green"])
            .map(|(port, name)| {
                format!(
                    "server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{name}'; }} \
                     location /big {{ alias {work}/big; }} }}\n"
                )
            })
            .collect();
        let config = format!(
            "worker_processes 1; daemon off; pid {work}/pid; error_log {work}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; \
             fastcgi_temp_path {work}/t3; uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;\n\
             {servers} }}\n"
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        fs::write(dir.join("big"), vec![b'x'; 3 << 20]).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/bin")
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master is asked to end, so that it ends its worker.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn in_front_of_nginx(dir: &Path, keys: &str) -> (Nginx, Serin) {
    let ports = [free_port(), free_port()];
    // nginx's worker is another user.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nginx = Nginx::start(dir, ports);
    let [blue, green] = ports;
    let config = format!(
        "version = 1\n[admin]\nbind = \"127.0.0.1:0\"\n[state]\npath = \"state\"\n\
         [listeners.web]\nbind = \"127.0.0.1:0\"\n[services.shop]\nstable = \"blue\"\n\
         canary = \"green\"\nhealth = {{ path = \"/\", every = \"100ms\" }}\n{keys}\n\
         [services.shop.pools.blue]\nendpoints = [\"127.0.0.1:{blue}\"]\n\
         [services.shop.pools.green]\nendpoints = [\"127.0.0.1:{green}\"]\n"
    );
    fs::write(dir.join("proxy.toml"), config).unwrap();
    let serin = Serin::start(dir);
    eventually("nginx is healthy", || async {
        let shop = serin.shop();
        ["stable", "canary"].iter().all(|pool| shop[pool]["endpoints"][0]["health"] == "up")
    })
    .await;
    (nginx, serin)
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn curl_reaches_nginx_through_serin() {
    if !is_there("nginx") || !is_there("curl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_nginx, serin) = in_front_of_nginx(dir.path(), "").await;
    let url = |path: &str| format!("http://{}{path}", serin.address);
    assert_eq!(curl(&[&url("/")]), "blue");
    let head = curl(&["-I", &url("/")]);
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("via: 1.1 serin"), "{head}");
    assert_eq!(curl(&[&url("/big")]).len(), 3 << 20);
    assert_eq!(curl(&["-r", "0-9", &url("/big")]), "xxxxxxxxxx");
    let both = curl(&["-w", "%{num_connects} ", &url("/"), &url("/")]);
    assert_eq!(both, "blue1 blue0 ", "the connection was not kept");
}

#[tokio::test]
async fn wrk_sees_no_failure_while_the_weight_changes_a_thousand_times() {
    if !is_there("nginx") || !is_there("wrk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_nginx, serin) = in_front_of_nginx(dir.path(), "").await;
    let wrk = Command::new("wrk")
        .args(["-t1", "-c32", "-d6s", &format!("http://{}/", serin.address)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let admin = serin.admin.strip_prefix("http://").unwrap().parse().unwrap();
    let mut api = crate::support::Client::connect(admin).await;
    for turn in 0..1_000u32 {
        let body = format!("{{\"canary\":\"{}%\"}}", turn % 101);
        let answer = api.send("PUT /v1/services/shop/weight", &[], body).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let said = String::from_utf8(wrk.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("requests in"), "{said}");
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let green = serin.shop()["canary"]["total"]["2xx"].as_u64();
    assert!(green.is_some_and(|hits| hits > 0), "nothing was split");
}
