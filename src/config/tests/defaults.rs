//! What is not written is what DESIGN says.

use super::*;
use crate::rollout::plan::{OnInconclusive, Strategy, default_steps};

const SMALLEST: &str = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n\
                        [services.shop.pools.blue]\nendpoints = [\"app:3000\"]\n";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_smallest_file_is_all_defaults() {
    let config = accepted(SMALLEST);
    assert_eq!(config.warnings, []);
    assert_eq!(
        config.admin,
        Admin {
            bind: AdminBind::Tcp("127.0.0.1:9900".parse().unwrap()),
            token_file: None,
            read_token_file: None,
            metrics_bind: None,
            hosts: Vec::new(),
        }
    );
    assert_eq!(config.state, Path::new("/etc/serin/serin-state"));
    assert!(config.workers >= 1);
    assert_eq!(
        config.listeners["web"],
        Listener {
            bind: "127.0.0.1:0".parse().unwrap(),
            protocols: Protocols { http1: true, h2: true },
            tls: Vec::new(),
            trusted_proxies: Vec::new(),
            via: true,
            limits: ListenerLimits {
                connections: 10_000,
                connections_per_ip: 1_000,
                headers: 100,
                header_bytes: 32 * 1024,
                target_bytes: 8 * 1024,
                body_bytes: 10 * 1024 * 1024,
                h2_streams: 100,
            },
            timeouts: ListenerTimeouts {
                first_byte: seconds(10),
                head: seconds(10),
                body_idle: seconds(30),
                idle: seconds(60),
                stream_idle: seconds(300),
            },
        }
    );
    let pool = Pool {
        endpoints: vec![Target { host: "app".into(), port: 3000 }],
        balance: Balance::LeastRequest,
        health: Health {
            probe: Probe::Http("/health".into()),
            every: seconds(2),
            timeout: seconds(1),
            rise: 2,
            fall: 3,
        },
        timeouts: PoolTimeouts { connect: seconds(1), first_byte: seconds(15), total: seconds(60) },
        resources: None,
    };
    let want = Service {
        name: "shop".into(),
        hosts: Vec::new(),
        paths: vec!["/".into()],
        matches: Vec::new(),
        stable: "blue".into(),
        canary: None,
        weight: Weight::ZERO,
        sticky: Vec::new(),
        issue: None,
        force: Vec::new(),
        pools: [("blue".to_owned(), pool)].into(),
        rollout: Rollout {
            plan: Plan {
                strategy: Strategy::Canary,
                steps: default_steps(Strategy::Canary),
                guard: seconds(5 * 60),
                retire_after: seconds(15 * 60),
                deadline: seconds(60 * 60),
                on_inconclusive: OnInconclusive::Hold,
                irreversible_from: None,
            },
            stateful: false,
            hooks: Hooks::default(),
            notify: Vec::new(),
        },
        gates: Vec::new(),
        judge: Judge::default(),
    };
    assert_eq!(config.services["shop"], want);
}

#[test]
fn the_steps_depend_on_the_strategy() {
    let plan = shop(&with("[services.shop.rollout]\nstrategy = \"blue-green\"")).rollout.plan;
    assert_eq!(plan, Plan::default_of(Strategy::BlueGreen));
    let plan = shop(&with("[services.shop.rollout]\nsteps = [{ weight = \"2.5%\" }]")).rollout.plan;
    let [step] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((step.weight.basis_points(), step.requests), (250, 100));
    assert_eq!((step.hold, step.approval), (seconds(60), false));
}

#[test]
fn an_issued_cookie_has_a_name_and_a_life() {
    let issue = shop(&with_service("sticky = [\"issue\"]")).issue.unwrap();
    assert_eq!((issue.cookie.as_str(), issue.key_file), ("serin_id", None));
    assert_eq!(issue.max_age, seconds(30 * 24 * 60 * 60));
}

#[test]
fn the_file_that_comes_with_serin_is_good_and_says_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.toml");
    let text = std::fs::read_to_string(&path).expect("it lies beside Cargo.toml");
    let config = accepted(&text);
    assert_eq!(config.warnings, []);
    let shop = &config.services["shop"];
    assert_eq!(shop.hosts, []);
    assert_eq!(shop.rollout.plan, Plan::default_of(Strategy::Canary));
    assert_eq!(shop.judge.settings, Settings::default());
    assert!(text.lines().count() < 90, "a file to read in two minutes");

    // What it shows as a comment works, too.
    let code = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if code.contains(" = ") && !code.starts_with(char::is_uppercase) => code,
        _ => line,
    });
    let shown: String = code.map(|line| format!("{line}\n")).collect();
    let config = parse_in(&shown, &[("CANARY_SECRET", "a secret of the tests")]);
    let shop = &config.unwrap_or_else(|errors| panic!("{errors}")).services["shop"];
    assert_eq!((shop.hosts.len(), shop.force.len()), (2, 1));
}
