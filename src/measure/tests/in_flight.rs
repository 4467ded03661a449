//! What is counted while it is in flight.

use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_millis(100);

/// What was counted as slow in flight since the last call.
fn slow(drain: &mut Drain) -> u64 {
    drained(drain).iter().map(|(_, delta)| delta.interval.inflight_slow).sum()
}

#[test]
fn what_passes_the_limit_in_flight_counts_once_and_then_as_what_it_comes_to() {
    let (writers, mut drain) = Recorder::split(1);
    let (writer, started) = (&writers[0], crate::clock::now());
    let begin = |index| {
        let ticket = writer.begin(slot(index), started);
        Attempt { ticket, ..Attempt::on(slot(index)) }
    };
    let (first, second, unlimited) = (begin(1), begin(1), begin(2));
    drain.limit(slot(1), Some(LIMIT));

    writer.overdue(started + LIMIT);
    assert_eq!(slow(&mut drain), 0, "not yet over the limit");
    writer.attempt(first, Outcome::Success, LIMIT);
    writer.overdue(started + LIMIT * 2);
    writer.overdue(started + LIMIT * 3);
    let all = drained(&mut drain);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0, all[0].1.interval.inflight_slow, all[0].1.interval.n), (slot(1), 1, 1));

    writer.attempt(second, Outcome::Timeout, LIMIT * 4);
    writer.attempt(unlimited, Outcome::Timeout, LIMIT * 4);
    let all = drained(&mut drain);
    assert!(all.iter().all(|(_, delta)| delta.interval.errors == 1), "{all:?}");
    assert_eq!(all.iter().map(|(_, delta)| delta.interval.inflight_slow).sum::<u64>(), 0);
}

#[test]
fn a_limit_holds_from_when_it_is_set_until_it_is_taken_away() {
    let (writers, mut drain) = Recorder::split(2);
    let started = crate::clock::now();
    for writer in &writers {
        writer.begin(slot(0), started);
        writer.overdue(started + LIMIT * 2);
    }
    assert_eq!(slow(&mut drain), 0, "counted without a limit");

    drain.limit(slot(0), Some(LIMIT));
    drain.limit(slot(0), Some(LIMIT * 3));
    drain.limit(slot(7), Some(LIMIT));
    drain.limit(slot(7), None);
    writers[0].overdue(started + LIMIT * 2);
    assert_eq!(slow(&mut drain), 0, "the last limit is the one that holds");
    writers[0].overdue(started + LIMIT * 4);
    assert_eq!(slow(&mut drain), 1);

    drain.limit(slot(0), None);
    drain.limit(slot(9), None);
    writers[1].overdue(started + LIMIT * 4);
    assert_eq!(slow(&mut drain), 0, "counted after the limit was taken away");
    drain.limit(slot(0), Some(Duration::ZERO));
    writers[1].overdue(started + LIMIT * 4);
    assert_eq!(slow(&mut drain), 1, "no time at all is a limit, too");
}

#[test]
fn whoever_asks_is_told_whether_it_was_counted() {
    let (writers, drain) = Recorder::split(1);
    let (writer, started) = (&writers[0], crate::clock::now());
    drain.limit(slot(0), Some(LIMIT));
    let (early, late) = (writer.begin(slot(0), started), writer.begin(slot(0), started));
    assert!(!writer.end(early));
    writer.overdue(started + LIMIT * 2);
    assert!(writer.end(late));
    assert!(!writer.end(late), "ended twice");
    assert!(!writer.end(Ticket::NONE));
}

#[test]
fn more_than_can_be_watched_are_counted_only_when_they_end() {
    let (writers, mut drain) = Recorder::split(1);
    let (writer, started) = (&writers[0], crate::clock::now());
    drain.limit(slot(0), Some(LIMIT));
    let begin = |_| writer.begin(slot(0), started);
    let tickets: Vec<Ticket> = (0..=1 << 16).map(begin).collect();
    assert_eq!(tickets.iter().filter(|ticket| **ticket == Ticket::NONE).count(), 1);
    assert_ne!(tickets[0], Ticket::NONE);
    writer.end(tickets[3]);
    assert_ne!(begin(0), Ticket::NONE, "room was made");
    writer.overdue(started + LIMIT * 2);
    assert_eq!(slow(&mut drain), 1 << 16);
}

proptest! {
    /// The list behaves like a map of what is in flight.
    #[test]
    fn each_attempt_is_counted_for_itself(
        steps in proptest::collection::vec((0..4_u8, 0..8_usize, 0..3_usize), 0..200)
    ) {
        let (writers, mut drain) = Recorder::split(1);
        let writer = &writers[0];
        drain.limit(slot(1), Some(LIMIT));
        drain.limit(slot(2), Some(LIMIT * 2));
        let limits = [None, Some(LIMIT), Some(LIMIT * 2)];
        let mut now = crate::clock::now();
        let mut live: Vec<(Ticket, usize, Instant, bool)> = Vec::new();
        for (step, nth, index) in steps {
            match step {
                0 | 1 => {
                    let ticket = writer.begin(slot(index), now);
                    prop_assert!(live.iter().all(|known| known.0 != ticket), "given out twice");
                    live.push((ticket, index, now, false));
                }
                2 if !live.is_empty() => {
                    let (ticket, _, _, counted) = live.remove(nth % live.len());
                    prop_assert_eq!(writer.end(ticket), counted);
                }
                _ => {
                    now += Duration::from_millis(40);
                    writer.overdue(now);
                    let mut want = 0;
                    for (_, index, started, counted) in &mut live {
                        let over = limits[*index].is_some_and(|limit| now - *started > limit);
                        want += u64::from(over && !*counted);
                        *counted |= over;
                    }
                    prop_assert_eq!(slow(&mut drain), want);
                }
            }
        }
    }
}
