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
fn the_judges_own_false_alarms_are_told() {
    let mut view = fixture::service();
    assert!(!one(&view).contains("placebo"), "before the first trial there is nothing to tell");
    view.placebo = Some(PlaceboView { runs: 200, fired: 1, log_e: None, since: None });
    let want = "  placebo   1 of 200 trials on equal halves of stable found a difference\n";
    assert!(one(&view).contains(want), "{}", one(&view));
}

#[test]
fn an_alarm_says_what_can_be_done() {
    let mut view = fixture::service();
    view.verdict.as_mut().unwrap().alarm = true;
    let text = one(&view);
    let want = "  ALARM     nothing is decided now: mend pool blue, or give the canary all users with `serin promote shop --full`\n";
    assert!(text.contains(want), "{text}");
    view.rollout = None;
    let text = one(&view);
    assert!(text.contains("all users with `serin weight shop 100%`\n"), "{text}");
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

#[test]
fn who_holds_what_and_why_is_told() {
    let mut view = fixture::service();
    view.state = "paused".into();
    view.frozen = serde_json::from_value(serde_json::json!({
        "since": "2026-01-01T00:00:00Z", "until": null, "actor": "bo", "why": "incident 7",
    }))
    .unwrap();
    let rollout = view.rollout.as_mut().unwrap();
    rollout.state = "paused".into();
    let mut paused = rollout.decisions[0].clone();
    paused.decision = "paused".into();
    rollout.decisions.push(paused);
    let text = one(&view);
    let held = "  held      by anna: ticket 12, since 2026-01-01 00:00:00Z; `serin resume shop` lets it go on\n";
    assert!(text.contains(held), "{text}");
    assert!(text.contains("  frozen    until `serin thaw` by bo: incident 7\n"), "{text}");
}

#[test]
fn gates_and_the_rehearsal_of_a_release_are_shown_while_they_matter() {
    let mut view = fixture::service();
    let rollout = view.rollout.as_mut().unwrap();
    rollout.gates = fixture::gates();
    rollout.rehearsal = fixture::rehearsal(true);
    view.rehearsal = fixture::rehearsal(false);
    let text = one(&view);
    for line in [
        "  gate      passed checkout on canary in 35ms: 200 from 2 endpoints\n",
        "  gate      FAILED schema on stable in 1s200ms: exit status 1\n",
        "  rehearsal rollback armed, 3 ms (2026-01-01 00:00:04Z)\n",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    let rollout = view.rollout.as_mut().unwrap();
    rollout.ended = Some("2026-01-01T00:10:00Z".into());
    rollout.state = "rolled_back".into();
    let text = one(&view);
    assert!(!text.contains("  gate "), "{text}");
    assert!(text.contains("  rehearsal NOT ARMED: stable gave no answer"), "{text}");
}
