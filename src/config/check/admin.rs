//! `[admin]`, `[state]` and `[workers]`.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use crate::config::error::{Found, quote};
use crate::config::file::{Table, Value};
use crate::config::units::BadText;
use crate::config::{Admin, AdminBind, HostPattern, keys};

/// Where the API listens unless told otherwise.
const ADMIN_BIND: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9900);

/// How to write an address to listen on.
pub(super) const ADDRESS_HINT: &str = "write an IP address and a port, such as \"0.0.0.0:8080\"";

/// The addresses that are taken, each with what takes it.
#[derive(Default)]
pub(super) struct Ports(Vec<(SocketAddr, String)>);

impl Ports {
    /// Takes `address` for `who`, unless somebody has it.
    pub(super) fn take(
        &mut self,
        table: &Table<'_>,
        at: &Range<usize>,
        address: SocketAddr,
        who: String,
    ) {
        let same = |other: &SocketAddr| {
            let any = other.ip().is_unspecified() || address.ip().is_unspecified();
            let overlap = other.is_ipv4() == address.is_ipv4() && any;
            address.port() != 0
                && other.port() == address.port()
                && (other.ip() == address.ip() || overlap)
        };
        if let Some((other, owner)) = self.0.iter().find(|(other, _)| same(other)) {
            let message = format!("{who} cannot listen on `{address}`: {owner} has `{other}`");
            table.context.refuse(Found::at(at, message).hint("give each an address of its own"));
        }
        self.0.push((address, who));
    }
}

/// `[admin]`, or its default.
pub(super) fn admin(root: &Table<'_>, ports: &mut Ports) -> Option<Admin> {
    let Some(table) = root.table("admin", &keys::ADMIN) else {
        ports.0.push((ADMIN_BIND, "[admin]".to_owned()));
        return Some(Admin {
            bind: AdminBind::Tcp(ADMIN_BIND),
            token_file: None,
            read_token_file: None,
            metrics_bind: None,
            hosts: Vec::new(),
        });
    };
    let bind = match table.get("bind") {
        None => Some(AdminBind::Tcp(ADMIN_BIND)),
        Some(value) => bind(&table, &value),
    };
    let at = table.get("bind").map_or_else(|| table.at.clone(), |value| value.at);
    if let Some(AdminBind::Tcp(address)) = bind {
        ports.take(&table, &at, address, "[admin]".to_owned());
    }
    if let Some(value) = table.get("read_token_file")
        && !table.has("token_file")
    {
        value.refuse_with::<()>(
            "`read_token_file` needs `token_file`: without it everybody may act",
            "add `token_file`",
        );
    }
    let metrics_bind = table.get("metrics_bind").and_then(|value| {
        let address = value.parsed(address)?;
        ports.take(&table, &value.at, address, "`metrics_bind`".to_owned());
        Some(address)
    });
    Some(Admin {
        bind: bind?,
        token_file: table.read("token_file", Value::path),
        read_token_file: table.read("read_token_file", Value::path),
        metrics_bind,
        hosts: table.read("hosts", hosts).unwrap_or_default(),
    })
}

/// The API's address; who can reach it from elsewhere must show a token.
fn bind(table: &Table<'_>, value: &Value<'_>) -> Option<AdminBind> {
    let text = value.text_or(ADDRESS_HINT)?;
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return value
                .refuse_with("`unix:` lacks a path", "write \"unix:/run/serin/admin.sock\"");
        }
        return Some(AdminBind::Unix(table.context.join(path)));
    }
    let address = value.parsed(address)?;
    if !address.ip().to_canonical().is_loopback() && !table.has("token_file") {
        return value.refuse_with(
            format!("`{address}` can be reached from other machines, so the API needs a token"),
            "add `token_file`, or bind to 127.0.0.1 or \"unix:/path\"",
        );
    }
    Some(AdminBind::Tcp(address))
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, BadText> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(':').unwrap_or(text);
        let port = digits.parse::<u16>().unwrap_or(8080);
        BadText::new(format!(
            "{} is not an address to listen on: write an IP address and a port, such as \"0.0.0.0:{port}\"",
            quote(text)
        ))
    })
}

fn hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let list = value.list()?;
    let names = list.iter().filter_map(|value| match value.parsed(str::parse::<HostPattern>)? {
        HostPattern::Exact(name) => Some(name),
        HostPattern::Wildcard(_) => value.refuse("the API is asked for by exact names only"),
    });
    Some(names.collect())
}

/// `[state]`, or its default.
pub(super) fn state(root: &Table<'_>) -> PathBuf {
    let table = root.table("state", &keys::STATE);
    let path = table.and_then(|table| table.read("path", Value::path));
    path.unwrap_or_else(|| root.context.join("serin-state"))
}

/// `[workers]`, or one worker per core.
pub(super) fn workers(root: &Table<'_>) -> usize {
    let table = root.table("workers", &keys::WORKERS);
    let threads = table.and_then(|table| table.read("threads", |value| value.integer(0..=1024)));
    match threads.and_then(|threads| usize::try_from(threads).ok()) {
        Some(threads) if threads > 0 => threads,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}
