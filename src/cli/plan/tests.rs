use std::collections::BTreeMap;

use super::*;
use crate::cli::fixture;

/// A service whose steps are the two of these shares.
fn config(deadline: &str) -> Config {
    let text = format!(
        "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n[services.shop]\nstable = \"blue\"\ncanary = \"green\"\n\
         [services.shop.pools.blue]\nendpoints = [\"127.0.0.1:1\"]\n\
         [services.shop.pools.green]\nendpoints = [\"127.0.0.1:2\"]\n\
         [services.shop.rollout]\nsteps = [{{ weight = \"1%\" }}, {{ weight = \"50%\" }}]\n\
         guard = \"5m\"\ndeadline = \"{deadline}\"\n"
    );
    let path = Path::new("proxy.toml");
    Config::parse(&text, path, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What the judge might say: nothing of the first step, much of the second.
fn foresee(_: &Service, traffic: Traffic) -> Vec<Foreseen> {
    let blind = Foreseen {
        lasts_s: Some(60.0),
        waits_for: "hold".into(),
        canary_requests: Some(0.01 * 60.0 * traffic.rps),
        visible_error_rate: None,
        failed_if_dead: None,
        failed_if_visible: None,
        words: "it cannot see even a canary that always fails".into(),
    };
    let seeing = Foreseen {
        lasts_s: Some(300.2),
        waits_for: "latency".into(),
        canary_requests: Some(0.5 * 300.0 * traffic.rps),
        visible_error_rate: Some(0.021),
        failed_if_dead: Some(3.7),
        failed_if_visible: Some(21.4),
        words: "sees a canary that fails 2.1%".into(),
    };
    vec![blind, seeing]
}

const TRAFFIC: Traffic = Traffic { rps: 20.0, error_rate: 0.001 };

#[test]
fn a_plan_on_one_page() {
    let config = config("1h");
    let service = &config.services["shop"];
    let want = "\
shop: canary, at 20 requests/s of which stable fails 0.10% (as given)
  STEP  SHARE  REQUESTS  TIME  WAITS FOR  SEES FROM  IF DEAD  AT WORST
     1     1%        12    1m  hold               -        -        12
     2    50%      3000  5m1s  latency         2.1%      3.7        21
  ! step 1: it cannot see even a canary that always fails
a good release takes about 11m, 5m of guard included
";
    let text = page(service, TRAFFIC, "as given", &steps(service, TRAFFIC, foresee));
    assert!(text.starts_with(want), "{text}");
}

#[test]
fn a_step_that_outlasts_its_deadline_is_warned_of() {
    let config = config("2m");
    let found = warnings(&config, 20.0, foresee);
    let (keys, words): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    assert_eq!(keys, ["services.shop.rollout", "services.shop.rollout"]);
    assert_eq!(words[1], "step 2: it takes 5m1s, longer than its deadline of 2m");
    assert!(words[0].starts_with("step 1: it cannot see"), "{words:?}");
}

#[test]
fn a_service_without_a_second_pool_has_no_plan_to_warn_of() {
    let mut config = config("2m");
    config.services.values_mut().for_each(|service| service.canary = None);
    assert_eq!(warnings(&config, 20.0, foresee), []);
}

#[test]
fn a_step_without_end_has_no_length() {
    let config = config("1h");
    let service = &config.services["shop"];
    let mut all = steps(service, TRAFFIC, foresee);
    all[1].foreseen.lasts_s = None;
    assert_eq!(lasts(service, &all), None);
    assert!(!page(service, TRAFFIC, "", &all).contains("a good release takes"));
}

#[test]
fn traffic_is_what_was_seen_in_the_last_minute() {
    let mut view = fixture::service();
    let seen = observed(&view, None).unwrap();
    assert!((seen.rps - 9010.0 / 60.0).abs() < 1e-9, "{seen:?}");
    assert!((seen.error_rate - 0.000_333).abs() < 1e-9, "{seen:?}");
    assert_eq!(observed(&view, Some(0.5)).unwrap().error_rate, 0.5);
    view.stable.requests = 0;
    assert_eq!(observed(&view, None), None);
}
