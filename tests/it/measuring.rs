//! What is measured of a request, and for whom it counts.

use std::sync::Arc;
use std::time::Duration;

use serin::measure::routes::Routes;
use serin::split::{Bucket, Role, Salt, Split, Weight};
use serin::table::Placebo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::support::{Behaviour, Client, Measured, Stack, Upstream, eventually, slot};

const STICKY: &str = "sticky = [\"header:x-user-id\"]";
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

fn half() -> Weight {
    "50%".parse().unwrap()
}

/// The split of a stack whose weight is half.
fn split() -> Split {
    Split { weight: half(), salt: Salt(7) }
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
        let mut stack = Stack::start(&[&blue], &[&green], "", |_| {}).await;
        stack.drain.limit(slot(0), Some(LIMIT));
        blue.does(Behaviour::Big);
        let mut download = TcpStream::connect(stack.address).await.unwrap();
        download.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(download.read_u8().await.unwrap(), b'H');

        // Whatever began before one that hangs would be counted when that one is.
        blue.does(Behaviour::Hang);
        let mut client = Client::connect(stack.address).await;
        let asking = tokio::spawn(async move { client.send("GET /", &[], "").await });
        let all = measures(&mut stack, "one hangs", |all| all[0].inflight_slow > 0).await;
        assert_eq!((all[0].inflight_slow, all[0].n), (1, 0));
        asking.abort();
        drop(download);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn who_serves_after_the_canary_could_not_is_charged_for_nothing() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let names = Routes::new(["/".to_owned()]);
        let mut stack = Stack::start(&[&blue], &[&green], STICKY, |shop| {
            shop.split.weight = half();
            shop.routes = Arc::new(names);
        })
        .await;
        green.stop().await;
        blue.does(Behaviour::Hang);
        let user = |wanted: Role| {
            let is_there = |user: &String| split().side_of(user.as_bytes()) == wanted;
            (0..).map(|n| format!("user-{n}")).find(is_there).unwrap()
        };
        let (on_canary, on_stable) = (user(Role::Canary), user(Role::Stable));
        let key = Bucket::of(on_canary.as_bytes(), split().salt).position();
        let ask = |user: String, mut client: Client| {
            tokio::spawn(async move { client.get_as(&user).await })
        };
        let fell_back = ask(on_canary, Client::connect(stack.address).await);
        eventually("stable has it", || async { blue.hits() == 1 }).await;
        stack.drain.limit(slot(0), Some(LIMIT));
        stack.drain.limit(slot(1), Some(LIMIT));
        // When one that came later is counted, the one before would have been.
        let clock = ask(on_stable, Client::connect(stack.address).await);
        let all = measures(&mut stack, "one hangs", |all| all[0].inflight_slow > 0).await;
        assert_eq!((all[0].inflight_slow, all[0].n), (1, 0));
        assert_eq!((all[1].inflight_slow, all[1].n, all[1].errors), (0, 1, 1));
        assert_eq!(all[1].routes[0], (1, 1));
        assert_eq!(all[1].error_keys, [(key, 1)].into());
        fell_back.abort();
        clock.abort();
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn errors_are_counted_by_route_and_by_the_key_that_chose_the_pool() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let keys = format!(
            "{STICKY}\nforce = [{{ header = \"x-tester\", value = \"let-me-in\", to = \"stable\" }}]"
        );
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
        let of = |user: &str| Bucket::of(user.as_bytes(), Salt(7)).position();
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
        let keys = format!(
            "{STICKY}\nforce = [{{ header = \"x-tester\", value = \"let-me-in\", to = \"stable\" }}]"
        );
        let mut stack = Stack::start(&[&blue], &[&green], &keys, |shop| {
            shop.split.weight = half();
            shop.placebo = Some(Placebo { salt: Salt(99), slot: slot(2) });
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
        let user = (0..).map(|n| format!("user-{n}"));
        let on_stable = |user: &String| {
            Bucket::of(user.as_bytes(), Salt(7)).fraction() >= 0.5
                && Bucket::of(user.as_bytes(), Salt(99)).fraction() < 0.5
        };
        let user = user.into_iter().find(on_stable).unwrap();
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
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn some_paths_of_stable_are_remembered() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let keys = "sticky = []\nforce = [{ header = \"x-tester\", value = \"let-me-in\", to = \"canary\" }]";
        let stack = Stack::start(&[&blue], &[&green], keys, |_| {}).await;
        let mut client = Client::connect(stack.address).await;
        for n in 0..1_000 {
            client.send(&format!("GET /users/{n}/cart"), &[], "").await.unwrap();
        }
        let samples = stack.drain.take_samples(slot(0));
        assert_eq!(samples.len(), 1, "{samples:?}");
        assert_eq!(samples[0].0, "/users");
        assert!((6..=30).contains(&samples[0].1), "{} of 1000, not one in 64", samples[0].1);
        for _ in 0..300 {
            client.send("GET /testers", &[("x-tester", "let-me-in")], "").await.unwrap();
        }
        assert_eq!(stack.drain.take_samples(slot(0)), samples, "a tester's path");
        assert_eq!(stack.drain.take_samples(slot(1)), []);
    };
    LocalSet::new().run_until(test).await;
}
