use super::*;
use crate::cli::fixture;

#[test]
fn a_service_on_one_screen() {
    let want = "\
shop: step 2 of 2 (release 42, canary)
  reason    412 of 500 requests
  weight    5% wanted, 4.9% observed
  evidence  0.4 of 4.6 (err -0.2, p99 0.4)
  rejected  40
  POOL   ROLE    VERSION  UP      REQUESTS  ERRORS   RATE     P50    P99
  blue   stable  41       2 of 2      9010       3  0.03%  3.1 ms  20 ms
  green  canary  42       1 of 2         0       0      -       -      -
  ! green: 10.0.0.8:3000 is down
";
    assert_eq!(one(&fixture::service()), want);
}

#[test]
fn a_dead_pool_is_said_to_be_dead() {
    let mut view = fixture::service();
    view.stable.endpoints.iter_mut().for_each(|endpoint| endpoint.health = "down".into());
    assert!(one(&view).contains("  ! blue: every endpoint is down\n"));
    view.stable.endpoints.clear();
    assert!(one(&view).contains("  ! blue: it has no endpoint\n"));
}

#[test]
fn a_drained_endpoint_and_a_lost_name_are_told() {
    let mut view = fixture::service();
    view.stable.endpoints[0].drained = true;
    view.stable.endpoints[0].in_flight = 3;
    view.stable.endpoints[1].health = "unknown".into();
    view.stable.endpoints[1].address = None;
    let text = one(&view);
    assert!(text.contains("10.0.0.1:3000 is up, drained, 3 requests to finish\n"), "{text}");
    assert!(text.contains("10.0.0.2:3000 is unknown, its name has no address\n"), "{text}");
    assert!(text.contains("no endpoint can be given requests"), "{text}");
}

#[test]
fn services_are_parted_by_an_empty_line() {
    let text = all(&[fixture::service(), fixture::service()]);
    assert_eq!(text.matches("\n\nshop: ").count(), 1, "{text}");
}
