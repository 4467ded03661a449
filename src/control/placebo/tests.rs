use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::live::Live;
use super::super::publish::Cohort;
use super::*;
use crate::config::Config;
use crate::measure::histogram::bucket;

const TICK: Duration = Duration::from_millis(100);

fn service(keys: &str) -> Service {
    let text = format!(
        "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n[services.s]\nstable = \"blue\"\n\
         canary = \"green\"\n[services.s.pools.blue]\nendpoints = [\"127.0.0.1:1\"]\n\
         [services.s.pools.green]\nendpoints = [\"127.0.0.1:2\"]\n{keys}"
    );
    let config = Config::parse(&text, Path::new("proxy.toml"), &BTreeMap::new());
    let file = config.unwrap_or_else(|e| panic!("{e}")).services.remove("s").unwrap();
    let live = Live::of_file(&file, "boot", Salt(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Service::new(file, None, live, runtime.handle())
}

/// A plan whose holds are less than the shortest window.
const SHORT: &str = "[services.s.rollout]\nsteps = [{ weight = \"5%\", hold = \"10s\" }]";

fn delta(n: u64, errors: u64, ms: u64) -> Delta {
    let at = u32::try_from(bucket(Duration::from_millis(ms))).unwrap();
    let interval = Interval { n, errors, successes: vec![(at, n - errors)], ..Interval::default() };
    Delta { interval, ..Delta::default() }
}

/// One tick in which each half served ten requests, some of which failed.
fn tick(service: &mut Service, errors: (u64, u64)) {
    service.measured("blue", Cohort::Pool, &delta(10, errors.0, 20));
    service.measured("blue", Cohort::Half, &delta(10, errors.1, 20));
    service.placebo_tick(TICK, true);
}

#[test]
fn a_window_of_equal_halves_ends_quietly_and_another_begins() {
    let mut service = service(SHORT);
    let salt = service.live.next_salt;
    let mut ends = Vec::new();
    for number in 0..1250 {
        tick(&mut service, (0, 0));
        ends.extend(service.judging.placebo.take_ended().map(|ended| (number / 600, ended)));
    }
    assert_eq!(ends, [(1, Ended::Quiet), (2, Ended::Quiet)]);
    assert_eq!(service.live.placebo, Counts { runs: 2, fired: 0 });
    assert_eq!(service.live.next_salt, salt);
    assert!(service.judging.counts_unsaved);
    assert!(service.judging.placebo.window().is_some());
    let seen = &service.seen["blue"];
    assert_eq!(seen.interval.n, 25_000, "both halves are stable's");
}

#[test]
fn when_it_fires_the_next_release_divides_users_anew() {
    let mut service = service(SHORT);
    let salt = service.live.next_salt;
    let mut ticks = 0;
    while service.live.placebo.runs == 0 {
        tick(&mut service, (0, 5));
        ticks += 1;
        assert!(ticks < 200, "{:?}", service.judging.placebo.window());
    }
    assert_eq!(service.live.placebo, Counts { runs: 1, fired: 1 });
    assert_eq!(service.judging.placebo.take_ended(), Some(Ended::Fired));
    assert_ne!(service.live.next_salt, salt);
    assert!(service.judging.placebo.window().is_none(), "it goes on with the old window");
    let next = service.live.next_salt.unwrap();
    assert_eq!(service.draw_salt(), next, "the release has the salt that was tried");
    assert_ne!(service.live.next_salt, Some(next));
}

/// Ten requests a tick with 2 % errors and latencies that vary, the same in both halves.
#[test]
fn equal_halves_are_rarely_found_different() {
    let mut service = service(SHORT);
    let mut random = SmallRng::seed_from_u64(7);
    while service.live.placebo.runs < 60 {
        for half in [Cohort::Pool, Cohort::Half] {
            for _ in 0..10 {
                let failed = u64::from(random.random_bool(0.02));
                let ms = 10 + random.random_range(0..40);
                service.measured("blue", half, &delta(1, failed, ms));
            }
        }
        service.placebo_tick(TICK, true);
    }
    // With alpha 0.01 more than three of sixty would be a one in 400 chance at worst.
    assert!(service.live.placebo.fired <= 3, "{:?}", service.live.placebo);
}

#[test]
fn time_without_traffic_does_not_count() {
    let mut service = service(SHORT);
    for _ in 0..2000 {
        service.placebo_tick(TICK, true);
    }
    assert!(service.judging.placebo.window().is_none() && service.live.placebo.runs == 0);
    for _ in 0..590 {
        tick(&mut service, (0, 0));
        service.placebo_tick(TICK, true);
    }
    assert!(service.live.placebo.runs > 0, "a slow service has its windows too");
}

#[test]
fn nothing_is_compared_while_the_canary_has_traffic() {
    let mut service = service(SHORT);
    tick(&mut service, (0, 0));
    for _ in 0..20 {
        tick(&mut service, (0, 0));
    }
    assert!(service.judging.placebo.window().is_some());
    service.live.weight = "5%".parse().unwrap();
    tick(&mut service, (0, 9));
    assert!(service.judging.placebo.window().is_none());
    assert!(!service.is_placebo());
    service.live.weight = "0%".parse().unwrap();
    service.live.canary = None;
    assert!(!service.is_placebo(), "a service of one pool is never released");
}

#[test]
fn a_window_is_as_long_as_a_release_within_bounds() {
    let length = |keys: &str| service(keys).new_window().length;
    assert_eq!(length(SHORT), Duration::from_secs(60));
    assert_eq!(length(""), Duration::from_secs(10 + 50 + 100 + 250 + 300));
    let long = SHORT.replace("10s", "1h");
    assert_eq!(length(&long), Duration::from_secs(30 * 60));
}

#[test]
fn the_judge_looks_once_a_second_each_service_in_its_own_moment() {
    let mut moments = Vec::new();
    for salt in 0..10 {
        let mut service = service(SHORT);
        service.live.next_salt = Some(Salt(salt));
        for number in 0..40 {
            service.measured("blue", Cohort::Pool, &delta(1, 0, 20));
            service.measured("blue", Cohort::Half, &delta(1, 0, 20));
            service.placebo_tick(TICK, true);
            if service.judging.placebo.halves[0].n == 0 {
                moments.push((salt, number));
            }
        }
    }
    assert_eq!(moments.len(), 40, "{moments:?}");
    let at = |tick: i32| moments.iter().filter(|(_, number)| number % 10 == tick).count();
    assert!((0..10).all(|tick| at(tick) <= 8), "{moments:?}");
}

/// The textbook rule is compared too, with its one look at the end of the window.
#[test]
fn the_textbook_rule_is_tried_as_well() {
    let keys = format!("{SHORT}\n[services.s.judge]\nmode = \"threshold\"");
    let mut service = service(&keys);
    while service.live.placebo.runs == 0 {
        tick(&mut service, (0, 5));
    }
    assert_eq!(service.live.placebo, Counts { runs: 1, fired: 1 });
}
