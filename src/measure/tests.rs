use std::time::Duration;

use proptest::prelude::*;

use super::histogram::{BUCKETS, bucket, edges_ms, lower_edge_us};
use super::*;

fn drained(drain: &mut Drain) -> Vec<(SlotId, Delta)> {
    let mut all = Vec::new();
    drain.drain(|slot, delta| all.push((slot, delta)));
    all
}

fn slot(index: usize) -> SlotId {
    SlotId::new(index).unwrap()
}

proptest! {
    #[test]
    fn a_bucket_holds_its_value_within_two_per_cent(us in 0u64..66_000_000) {
        let index = bucket(Duration::from_micros(us));
        let (low, high) = (lower_edge_us(index), lower_edge_us(index + 1));
        prop_assert!(low <= us && us < high, "{us} in {low}..{high}");
        prop_assert!(high - low <= 1 + us / 60, "{us}: {low}..{high}");
    }
}

#[test]
fn edges_rise_and_what_is_slower_counts_in_the_last_bucket() {
    let edges = edges_ms();
    assert_eq!(edges.len(), BUCKETS + 1);
    assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(bucket(Duration::from_secs(3600)), BUCKETS - 1);
    assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
}

#[test]
fn every_count_is_drained_once_over_all_workers() {
    let (writers, mut drain) = Recorder::split(2);
    let ms = Duration::from_millis;
    writers[0].attempt(Attempt::on(slot(3)), Outcome::Success, ms(5));
    writers[1].attempt(Attempt::on(slot(3)), Outcome::Success, ms(5));
    writers[1].attempt(Attempt::on(slot(3)), Outcome::ServerError, ms(1));
    writers[1].answer(slot(3), Outcome::ServerError);
    writers[0].attempt(Attempt::on(slot(70)), Outcome::Timeout, ms(9));

    let first = drained(&mut drain);
    assert_eq!(first.iter().map(|d| d.0).collect::<Vec<_>>(), [slot(3), slot(70)]);
    let Delta { interval, outcomes, .. } = &first[0].1;
    assert_eq!((interval.n, interval.errors), (3, 1));
    assert_eq!(interval.successes, [(u32::try_from(bucket(ms(5))).unwrap(), 2)]);
    assert_eq!(outcomes[Outcome::ServerError.index()], 1);
    assert!(drained(&mut drain).is_empty(), "counted twice");

    writers[0].attempt(Attempt::on(slot(3)), Outcome::ClientError, ms(5));
    assert_eq!(drained(&mut drain)[0].1.interval.n, 1);
}

#[test]
fn only_the_upstreams_faults_are_errors() {
    for outcome in Outcome::ALL {
        let (writers, mut drain) = Recorder::split(1);
        writers[0].attempt(Attempt::on(slot(0)), outcome, Duration::from_millis(2));
        let drained = drained(&mut drain);
        let interval = drained.first().map(|d| d.1.interval.clone()).unwrap_or_default();
        match outcome.fault() {
            None => assert_eq!((interval.n, interval.errors), (1, 0), "{outcome:?}"),
            Some(Fault::Upstream) => {
                assert_eq!((interval.n, interval.errors), (1, 1), "{outcome:?}");
            }
            Some(_) => assert_eq!((interval.n, interval.errors), (0, 0), "{outcome:?}"),
        }
        let abandoned = outcome == Outcome::Abandoned;
        assert_eq!(!interval.aborts.is_empty(), abandoned, "{outcome:?}");
    }
}

#[test]
fn workers_that_write_while_control_reads_lose_nothing() {
    const EACH: u64 = 50_000;
    let (writers, mut drain) = Recorder::split(2);
    let mut total = 0;
    let mut count = |drain: &mut Drain| {
        for (_, delta) in drained(drain) {
            assert_eq!(delta.interval.errors, 0);
            total += delta.interval.successes.iter().map(|b| b.1).sum::<u64>();
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = writers
            .into_iter()
            .map(|writer| {
                scope.spawn(move || {
                    for n in 0..EACH {
                        writer.attempt(
                            Attempt::on(slot(1)),
                            Outcome::Success,
                            Duration::from_micros(n),
                        );
                    }
                })
            })
            .collect();
        while handles.iter().any(|handle| !handle.is_finished()) {
            count(&mut drain);
        }
    });
    count(&mut drain);
    assert_eq!(total, 2 * EACH);
}

#[test]
fn outcomes_are_numbered_in_order() {
    for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
        assert_eq!(outcome.index(), index);
    }
    for (status, want) in [(200, "2xx"), (304, "3xx"), (404, "4xx"), (500, "5xx"), (599, "5xx")] {
        assert_eq!(Outcome::of_status(status).name(), want);
    }
}
