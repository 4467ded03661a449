//! Delivery: over a paused clock with nothing but memory, and over sockets with a real one.

use std::sync::Mutex;

use super::*;
use crate::config::{NotifyFormat, Url};
use crate::control::live::Decision;
use crate::outbound::sink::{Reply, Seen, Sink, reply};

fn event(number: u64) -> Event {
    let decision = Decision {
        at_ms: number,
        decision: "step".into(),
        weight: "5%".parse().unwrap(),
        reason: "judge".into(),
        words: format!("event {number}"),
        actor: "serin".into(),
        why: None,
        evidence: None,
    };
    Event::of("shop", None, &decision, number)
}

/// A target in memory: what it answers to each attempt, and when it was asked for what.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<(Duration, String)>>>);

impl Memory {
    /// A task that works through `queue`, the attempts being answered by `answer`.
    fn work(
        &self,
        queue: &Arc<Queue<Event>>,
        answer: impl Fn(usize) -> Attempt + Send + 'static,
    ) -> (watch::Sender<bool>, JoinHandle<()>) {
        let (hurry, hurried) = watch::channel(false);
        let (seen, began) = (Arc::clone(&self.0), clock::now());
        let post = move |event: Event| {
            let mut seen = seen.lock().unwrap();
            seen.push((clock::now().duration_since(began), event.words));
            let attempt = answer(seen.len());
            async move { attempt }
        };
        (hurry, tokio::spawn(work(Arc::clone(queue), hurried, "x".into(), post)))
    }

    fn words(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, words)| words.clone()).collect()
    }

    fn times(&self) -> Vec<Duration> {
        self.0.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

fn again() -> Attempt {
    Attempt::Again("answered 503".into(), None)
}

#[tokio::test(start_paused = true)]
async fn events_arrive_in_order_and_what_fails_is_tried_again_first() {
    let (memory, queue) = (Memory::default(), Arc::new(Queue::new(10)));
    let (_hurry, task) =
        memory.work(&queue, |attempt| if attempt <= 3 { again() } else { Attempt::Taken });
    for number in 1..=3 {
        queue.push(event(number));
    }
    queue.close();
    task.await.unwrap();
    let words = memory.words();
    assert_eq!(words, ["event 1", "event 1", "event 1", "event 1", "event 2", "event 3"]);
    let times = memory.times();
    for (number, (pair, middle)) in times.windows(2).zip([1.0, 2.0, 4.0]).enumerate() {
        let wait = (pair[1] - pair[0]).as_secs_f64();
        assert!((middle * 0.75..=middle * 1.26).contains(&wait), "wait {number}: {wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_taken_is_given_up_after_eight_attempts() {
    let (memory, queue) = (Memory::default(), Arc::new(Queue::new(10)));
    let (_hurry, task) =
        memory.work(&queue, |attempt| if attempt <= 8 { again() } else { Attempt::Taken });
    queue.push(event(1));
    queue.push(event(2));
    queue.close();
    task.await.unwrap();
    let words = memory.words();
    assert_eq!(words.iter().filter(|words| *words == "event 1").count(), 8);
    assert_eq!(words.last().map(String::as_str), Some("event 2"));
    let last = memory.times()[7];
    assert!(last < TRIED_FOR && last > Duration::from_secs(90), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_for_more_than_ten_minutes() {
    let (memory, queue) = (Memory::default(), Arc::new(Queue::new(10)));
    let asked = Some(Duration::from_secs(3_600));
    let (_hurry, task) = memory.work(&queue, move |_| Attempt::Again("answered 429".into(), asked));
    queue.push(event(1));
    queue.close();
    task.await.unwrap();
    let seconds: Vec<_> = memory.times().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 300, 600], "as long as was asked for, within bounds");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_tried_again() {
    let (memory, queue) = (Memory::default(), Arc::new(Queue::new(10)));
    let (_hurry, task) = memory.work(&queue, |_| Attempt::Refused("answered 404".into()));
    queue.push(event(1));
    queue.push(event(2));
    queue.close();
    task.await.unwrap();
    assert_eq!(memory.words(), ["event 1", "event 2"]);
    assert_eq!(memory.times(), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn in_a_hurry_what_waits_is_tried_once_more_and_no_longer_waited_for() {
    let (memory, queue) = (Memory::default(), Arc::new(Queue::new(10)));
    let (hurry, task) = memory.work(&queue, |_| again());
    queue.push(event(1));
    queue.push(event(2));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(memory.words(), ["event 1"]);
    queue.close();
    hurry.send_replace(true);
    task.await.unwrap();
    assert_eq!(memory.words(), ["event 1", "event 1", "event 2"]);
    assert!(memory.times()[2] < Duration::from_secs(1));
}

#[tokio::test]
async fn a_full_queue_drops_its_oldest_and_counts_them() {
    let queue = Queue::new(3);
    let full: Vec<_> = (1..=5).map(|number| queue.push(number)).collect();
    assert_eq!(full, [false, false, false, true, true]);
    assert_eq!((queue.len(), queue.dropped()), (3, 2));
    queue.close();
    let mut rest = Vec::new();
    while let Some(number) = queue.next().await {
        rest.push(number);
    }
    assert_eq!(rest, [3, 4, 5]);
}

fn notify(url: Url) -> Notify {
    Notify { webhook: url, format: NotifyFormat::Json, routing_key: None }
}

#[tokio::test]
async fn everybody_is_told_and_one_that_is_silent_holds_up_nobody() {
    let (good, silent) =
        (Sink::answering(reply(204, &[], "")).await, Sink::answering(Reply::Silence).await);
    let targets = [notify(silent.url("/")), notify(good.url("/hook?key=1"))];
    let sender = Sender::new(Handle::current(), &targets);
    (1..=3).for_each(|number| sender.tell(event(number)));
    let seen = good.after(3).await;
    let words: Vec<_> = seen.iter().map(|seen| seen.json()["words"].clone()).collect();
    assert_eq!(words, ["event 1", "event 2", "event 3"]);
    let first = &seen[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/hook?key=1"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(silent.after(1).await.len(), 1);
    let began = clock::now();
    sender.flush(Duration::from_millis(100)).await;
    assert!(clock::now().duration_since(began) < Duration::from_secs(5), "the end is bounded");
}

#[tokio::test]
async fn a_target_that_fails_once_gets_the_same_event_again() {
    let sink = Sink::start(|_, before| match before {
        0 => reply(503, &[], "later"),
        _ => reply(200, &[], ""),
    })
    .await;
    let sender = Sender::new(Handle::current(), &[notify(sink.url("/"))]);
    sender.tell(event(1));
    let seen = sink.after(2).await;
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test]
async fn the_end_delivers_what_waits() {
    let sink = Sink::answering(reply(200, &[], "")).await;
    let sender = Sender::new(Handle::current(), &[notify(sink.url("/"))]);
    (1..=20).for_each(|number| sender.tell(event(number)));
    sender.flush(Duration::from_secs(10)).await;
    assert_eq!(sink.seen().len(), 20);
}

#[tokio::test]
async fn a_reload_keeps_who_stays_and_lets_go_of_the_rest() {
    let (stays, goes, comes) = (
        Sink::answering(reply(200, &[], "")).await,
        Sink::answering(reply(200, &[], "")).await,
        Sink::answering(reply(200, &[], "")).await,
    );
    let before = [notify(goes.url("/")), notify(stays.url("/"))];
    let mut sender = Sender::new(Handle::current(), &before);
    let kept = sender.targets[1].task.id();
    sender.tell(event(1));
    sender.retarget(&[notify(stays.url("/")), notify(comes.url("/"))]);
    assert_eq!(sender.targets[0].task.id(), kept);
    sender.tell(event(2));
    let words =
        |seen: Vec<Seen>| seen.iter().map(|seen| seen.json()["words"].clone()).collect::<Vec<_>>();
    assert_eq!(words(stays.after(2).await), ["event 1", "event 2"]);
    assert_eq!(words(comes.after(1).await), ["event 2"]);
    assert_eq!(words(goes.after(1).await), ["event 1"], "what waited for it is not lost");
    assert_eq!(sender.dropped(), 0);
    sender.flush(Duration::from_secs(10)).await;
    assert_eq!((goes.seen().len(), comes.seen().len()), (1, 1));
}
