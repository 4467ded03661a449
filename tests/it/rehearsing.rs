//! Requests of a rehearsal, and those of strangers who would like to be taken for one.

use serin::split::Role;
use serin::table::Rehearsal;
use tokio::task::LocalSet;

use crate::support::{Client, Measured, Stack, Upstream, eventually, slot};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn rehearsal(to: Role, fail: bool) -> Rehearsal {
    Rehearsal { token: TOKEN.into(), service: 0, to, fail, stable: slot(2), canary: slot(3) }
}

/// A stack whose service matches one host only.
async fn stack(blue: &Upstream, green: &Upstream) -> Stack {
    let keys = "hosts = [\"shop.example\"]\nsticky = [\"header:x-user-id\"]";
    Stack::start(&[blue], &[green], keys, |_| {}).await
}

/// Waits until the slots have counted so many answers.
async fn answers(stack: &mut Stack, want: [u64; 4]) -> [Measured; 4] {
    let stack = std::cell::RefCell::new(stack);
    eventually("the answers are counted", || async {
        stack.borrow_mut().measured().each_ref().map(|slot| slot.answers) == want
    })
    .await;
    stack.into_inner().measured().clone()
}

#[tokio::test]
async fn a_rehearsal_reaches_either_side_and_is_measured_apart() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let mut stack = stack(&blue, &green).await;
        stack.publish(|table| table.rehearsals = vec![rehearsal(Role::Canary, false)]);
        let mut client = Client::connect(stack.address).await;
        let token = ("x-serin-rehearsal", TOKEN);
        let side = ("x-serin-rehearsal-side", "stable");

        // The host is none that the service matches.
        let answer = client.send("GET /anything", &[token, ("x-user-id", "u")], "").await.unwrap();
        assert_eq!(
            (answer.body.as_str(), &answer.fields["x-serin-pool"]),
            ("green", &"green".parse().unwrap())
        );
        let fields = green.last().1;
        assert!(!fields.contains_key("x-serin-rehearsal"), "{fields:?}");
        assert_eq!(fields["x-user-id"], "u");
        assert!(!answer.fields.contains_key("set-cookie"));

        let answer = client.send("GET /anything", &[token, side], "").await.unwrap();
        assert_eq!(
            (answer.body.as_str(), &answer.fields["x-serin-pool"]),
            ("blue", &"blue".parse().unwrap())
        );
        assert!(!blue.last().1.contains_key("x-serin-rehearsal-side"));

        let all = answers(&mut stack, [0, 0, 1, 1]).await;
        assert_eq!(
            all.each_ref().map(|slot| (slot.n, slot.errors)),
            [(0, 0), (0, 0), (1, 0), (1, 0)]
        );
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_failure_that_is_played_does_not_reach_the_canary() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let mut stack = stack(&blue, &green).await;
        stack.publish(|table| table.rehearsals = vec![rehearsal(Role::Canary, true)]);
        let mut client = Client::connect(stack.address).await;
        let token = ("x-serin-rehearsal", TOKEN);
        for _ in 0..3 {
            let answer = client.send("POST /order", &[token], "a body").await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), &answer.fields["x-serin-pool"]),
                (503, &"green".parse().unwrap())
            );
        }
        let side = ("x-serin-rehearsal-side", "stable");
        assert_eq!(client.send("GET /", &[token, side], "").await.unwrap().body, "blue");
        assert_eq!((blue.hits(), green.hits()), (1, 0));
        let all = answers(&mut stack, [0, 0, 1, 3]).await;
        assert_eq!(
            all.each_ref().map(|slot| (slot.n, slot.errors)),
            [(0, 0), (0, 0), (1, 0), (3, 3)]
        );

        // A rehearsal may end on stable altogether; then nothing fails.
        stack.publish(|table| table.rehearsals = vec![rehearsal(Role::Stable, true)]);
        assert_eq!(client.send("GET /", &[token], "").await.unwrap().body, "blue");
        // And the token of one that is over is worth nothing.
        stack.publish(|table| table.rehearsals.clear());
        assert_eq!(client.send("GET /", &[token], "").await.unwrap().status.as_u16(), 404);
        answers(&mut stack, [0, 0, 2, 3]).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_rehearsal_falls_back_as_a_client_would_and_no_pool_is_charged() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let mut stack = stack(&blue, &green).await;
        stack.publish(|table| table.rehearsals = vec![rehearsal(Role::Canary, false)]);
        green.stop().await;
        let mut client = Client::connect(stack.address).await;
        let answer = client.send("GET /", &[("x-serin-rehearsal", TOKEN)], "").await.unwrap();
        assert_eq!(
            (answer.body.as_str(), &answer.fields["x-serin-pool"]),
            ("blue", &"blue".parse().unwrap())
        );
        let all = answers(&mut stack, [0, 0, 1, 0]).await;
        assert_eq!(
            all.each_ref().map(|slot| (slot.n, slot.errors)),
            [(0, 0), (0, 0), (0, 0), (1, 1)]
        );
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_strangers_token_changes_nothing_and_goes_no_further() {
    let test = async {
        let (blue, green) = (Upstream::start("blue").await, Upstream::start("green").await);
        let mut stack = stack(&blue, &green).await;
        let other =
            Rehearsal { service: 7, token: "f".repeat(32), ..rehearsal(Role::Canary, true) };
        let nameless = Rehearsal { token: String::new(), ..rehearsal(Role::Canary, true) };
        stack.publish(|table| {
            table.rehearsals = vec![nameless, rehearsal(Role::Canary, true), other]
        });
        let mut client = Client::connect(stack.address).await;
        let host = ("host", "shop.example");
        let none_there = "f".repeat(32);
        for token in ["", "guess", &TOKEN[..31], &TOKEN.to_uppercase(), &none_there] {
            let fields = [host, ("x-serin-rehearsal", token), ("x-serin-rehearsal-side", "canary")];
            let answer = client.send("GET /", &fields, "").await.unwrap();
            assert_eq!(answer.body, "blue", "{token}");
            assert!(!answer.fields.contains_key("x-serin-pool"));
            let fields = blue.last().1;
            assert!(!fields.keys().any(|name| name.as_str().starts_with("x-serin")), "{fields:?}");
        }
        let all = answers(&mut stack, [5, 0, 0, 0]).await;
        assert_eq!((all[0].n, all[0].errors), (5, 0));
        // Nor does it help past what the service matches.
        let elsewhere = [("host", "other.example"), ("x-serin-rehearsal", "guess")];
        assert_eq!(client.send("GET /", &elsewhere, "").await.unwrap().status.as_u16(), 404);
    };
    LocalSet::new().run_until(test).await;
}
