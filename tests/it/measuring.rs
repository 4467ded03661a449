//! What is measured of a request, and for whom it counts.

use std::sync::Arc;
use std::time::Duration;

use serin::measure::routes::Routes;
use serin::split::{Bucket, Role, Salt, Split, Weight};
use serin::table::{Placebo, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet};

use crate::support::{Behaviour, Client, Measured, Stack, Upstream, eventually, slot};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";
const TESTER: &str = "force = [{ header = \"x-tester\", value = \"let-me-in\", to = \"stable\" }]";
const LIMIT: Duration = Duration::from_millis(50);

/// Waits until `is` holds for what the slots have measured.
async fn measures(
    stack: &mut Stack,
    what: &'static str,
    is: impl Fn(&[Measured; 4]) -> bool,
) -> [Measured; 4] {
    let stack = std::cell::RefCell::new(stack);
    eventually(what, || async { is(stack.borrow_mut().measured()) }).await;
    stack.into_inner().measured().clone()
}

const SPLIT: Salt = Salt(7);

fn placebo() -> Placebo {
    Placebo { salt: Salt(99), slot: slot(2) }
}

fn half() -> Weight {
    "50%".parse().unwrap()
}

/// Whether `user` is on that side while the weight is half.
fn on(role: Role, user: &str) -> bool {
    Split { weight: half(), salt: SPLIT }.side_of(user.as_bytes()) == role
}

fn in_placebo(user: &str) -> bool {
    Placebo::holds(placebo().bucket(user.as_bytes()))
}

/// The first user who is so.
fn user(is: impl Fn(&str) -> bool) -> String {
    (0..).map(|n| format!("user-{n}")).find(|user| is(user)).unwrap()
}

/// Asks as the first user who is so, and waits for no answer.
async fn ask(stack: &Stack, is: impl Fn(&str) -> bool) -> JoinHandle<()> {
    let (user, mut client) = (user(is), Client::connect(stack.address).await);
    tokio::spawn(async move { drop(client.get_as(&user).await) })
}

#[tokio::test]
async fn a_canary_that_hangs_is_seen_long_before_its_time_out() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let mut stack =
            Stack::start(&[&blue], &[&green], "", |shop| shop.split.weight = Weight::FULL).await;
        stack.drain.limit(slot(0), Some(LIMIT));
        stack.drain.limit(slot(1), Some(LIMIT));
        green.does(Behaviour::Hang);
        let mut client = Client::connect(stack.address).await;
        let asking = tokio::spawn(async move { client.send("GET /", &[], "").await });

        let [blue, green, ..] =
            measures(&mut stack, "it is counted", |all| all[1].inflight_slow > 0).await;
        assert_eq!((green.inflight_slow, green.n, green.aborts), (1, 0, 0));
        assert_eq!(blue, Measured::default());
        asking.abort();
        let all = measures(&mut stack, "it is given up", |all| all[1].aborts > 0).await;
        assert_eq!((all[1].inflight_slow, all[1].n, all[1].aborts), (1, 0, 1));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_late_however_long_its_body_takes() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let weight = |shop: &mut Service| shop.split.weight = half();
        let mut stack = Stack::start(&[&blue], &[&green], STICKY, weight).await;
        blue.does(Behaviour::Big);
        green.does(Behaviour::Hang);
        let mut download = TcpStream::connect(stack.address).await.unwrap();
        let user = user(|user| on(Role::Stable, user));
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {user}\r\n\r\n");
        download.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(download.read_u8().await.unwrap(), b'H');
        stack.drain.limit(slot(0), Some(LIMIT));
        stack.drain.limit(slot(1), Some(LIMIT));

        // When one that began later is counted, the one before would have been.
        let clock = ask(&stack, |user| on(Role::Canary, user)).await;
        let all = measures(&mut stack, "one hangs", |all| all[1].inflight_slow > 0).await;
        assert_eq!((all[0].inflight_slow, all[0].n), (0, 0));
        clock.abort();
        drop(download);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn who_serves_after_the_canary_could_not_is_charged_for_nothing() {
    let test = async {
        let blue = Upstream::start("blue").await;
        let gone = Upstream::start("green").await;
        let edit = |shop: &mut Service| {
            shop.split.weight = half();
            shop.routes = Arc::new(Routes::new(["/".to_owned()]));
            shop.placebo = Some(placebo());
        };
        // One canary cannot be reached; of the other one it is not known yet whether it can be.
        let mut stack = Stack::start(&[&blue], &[&gone], STICKY, edit).await;
        let mut unknown = Stack::start(&[&blue], &[], STICKY, edit).await;
        gone.stop().await;
        blue.does(Behaviour::Hang);
        for (stack, charged) in [(&mut stack, 1), (&mut unknown, 0)] {
            let before = blue.hits();
            let of_canary = |user: &str| on(Role::Canary, user);
            let fell_back = ask(stack, of_canary).await;
            eventually("stable has it", || async { blue.hits() > before }).await;
            for number in 0..3 {
                stack.drain.limit(slot(number), Some(LIMIT));
            }
            let clock = ask(stack, |user| on(Role::Stable, user) && in_placebo(user)).await;
            let all = measures(stack, "one hangs", |all| all[2].inflight_slow > 0).await;
            assert_eq!((all[0].inflight_slow, all[0].n), (0, 0));
            let canary = &all[1];
            let errors = (canary.inflight_slow, canary.n, canary.errors, canary.routes[0]);
            assert_eq!(errors, (0, charged, charged, (charged, charged)));
            let key = Bucket::of(user(of_canary).as_bytes(), SPLIT).position();
            let want = if charged > 0 { [(key, 1)].into() } else { Default::default() };
            assert_eq!(canary.error_keys, want);
            fell_back.abort();
            clock.abort();
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn errors_are_counted_by_route_and_by_the_key_that_chose_the_pool() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let keys = format!("{STICKY}\n{TESTER}");
        let names = ["/shop", "/shop/cart"].map(str::to_owned);
        let mut stack = Stack::start(&[&blue], &[&green], &keys, |shop| {
            shop.routes = Arc::new(Routes::new(names))
        })
        .await;
        let mut client = Client::connect(stack.address).await;
        let robot = [("x-user-id", "robot")];
        blue.does(Behaviour::FailEvery(1));
        for _ in 0..7 {
            client.send("GET /shop/cart/1", &robot, "").await.unwrap();
        }
        client.send("GET /shop/list", &[("x-user-id", "u1")], "").await.unwrap();
        client.send("GET /shop", &[], "").await.unwrap();
        client
            .send("GET /other", &[("x-user-id", "robot"), ("x-tester", "let-me-in")], "")
            .await
            .unwrap();
        blue.does(Behaviour::Answer);
        for n in 0..100 {
            let user = format!("user-{n}");
            client.send("GET /shop?x=/shop/cart", &[("x-user-id", &user)], "").await.unwrap();
        }
        let all = measures(&mut stack, "all is counted", |all| all[0].answers == 110).await;
        assert_eq!((all[0].n, all[0].errors), (109, 9), "the tester was judged");
        assert_eq!(all[0].routes[..3], [(102, 2), (7, 7), (0, 0)]);
        let of = |user: &str| Bucket::of(user.as_bytes(), SPLIT).position();
        let mut want = vec![(of("robot"), 7), (of("u1"), 1)];
        want.sort_unstable();
        assert_eq!(all[0].error_keys.iter().map(|(k, n)| (*k, *n)).collect::<Vec<_>>(), want);
        assert!((60..=102).contains(&all[0].keys()), "{} keys", all[0].keys());
        assert_eq!(all[1], Measured::default());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn the_two_halves_of_stable_are_stable_and_a_user_stays_in_one() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let keys = format!("{STICKY}\n{TESTER}");
        let mut stack = Stack::start(&[&blue], &[&green], &keys, |shop| {
            shop.split.weight = half();
            shop.placebo = Some(placebo());
        })
        .await;
        let mut client = Client::connect(stack.address).await;
        for user in 0..400 {
            client.get_as(&format!("user-{user}")).await;
        }
        let users = measures(&mut stack, "users are counted", |all| {
            all.iter().map(|slot| slot.answers).sum::<u64>() == 400
        })
        .await;
        let [rest, canary, placebo, _] = &users;
        assert_eq!((rest.n + placebo.n, canary.n), (blue.hits() as u64, green.hits() as u64));
        assert_eq!((rest.n, placebo.n), (rest.answers, placebo.answers));
        let share = placebo.n as f64 / (rest.n + placebo.n) as f64;
        assert!((0.35..0.65).contains(&share), "{share} of stable");
        assert!(placebo.keys() > 20, "its keys are not known");

        // One user again and again is in one half only.
        let user = user(|user| on(Role::Stable, user) && in_placebo(user));
        for _ in 0..20 {
            client.get_as(&user).await;
        }
        // Chance decides without a key; a tester is in no half.
        for _ in 0..200 {
            client.send("GET /", &[], "").await.unwrap();
        }
        for _ in 0..30 {
            client.send("GET /", &[("x-tester", "let-me-in")], "").await.unwrap();
        }
        let all = measures(&mut stack, "all are counted", |all| {
            all.iter().map(|slot| slot.answers).sum::<u64>() == 650
        })
        .await;
        assert_eq!(all[0].answers - all[0].n, 30, "testers");
        assert_eq!((all[2].answers, all[3].answers), (all[2].n, 0));
        assert_eq!(all[0].answers + all[2].answers, blue.hits() as u64);
        let by_chance = all[2].n - users[2].n - 20;
        assert!((25..=75).contains(&by_chance), "{by_chance} of about 50");

        // What stable does for a canary that cannot is of neither half.
        green.stop().await;
        client.get_as(&self::user(|user| on(Role::Canary, user) && in_placebo(user))).await;
        let after = measures(&mut stack, "it is counted", |after| after[1].n > all[1].n).await;
        assert_eq!(after[0].answers - all[0].answers, 1);
        assert_eq!((after[0].n, after[2].answers), (all[0].n, all[2].answers));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn some_paths_of_stable_are_remembered() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let keys = format!("{STICKY}\n{TESTER}");
        let weight = |shop: &mut Service| shop.split.weight = half();
        let stack = Stack::start(&[&blue], &[&green], &keys, weight).await;
        let (stable, canary) = (user(|user| on(Role::Stable, user)), user(|u| on(Role::Canary, u)));
        let mut client = Client::connect(stack.address).await;
        for n in 0..1_000 {
            let target = format!("GET /users/{n}/cart");
            client.send(&target, &[("x-user-id", &stable)], "").await.unwrap();
        }
        let samples = stack.drain.take_samples(slot(0));
        assert_eq!(samples.len(), 1, "{samples:?}");
        assert_eq!(samples[0].0, "/users");
        assert!((6..=30).contains(&samples[0].1), "{} of 1000, not one in 64", samples[0].1);
        // At the latest the 127th request would be sampled.
        for _ in 0..127 {
            client.send("GET /testers", &[("x-tester", "let-me-in")], "").await.unwrap();
            client.send("GET /canary", &[("x-user-id", &canary)], "").await.unwrap();
        }
        assert_eq!(stack.drain.take_samples(slot(0)), samples);
        assert_eq!(stack.drain.take_samples(slot(1)), []);
    };
    LocalSet::new().run_until(test).await;
}
