//! Which routes are reported, and which one a path is on.

use super::super::routes::{Routes, choose, sampled};
use super::*;

fn routes(names: &[&str]) -> Routes {
    Routes::new(names.iter().map(|&name| name.to_owned()))
}

#[test]
fn the_longest_prefix_at_the_border_of_a_segment_is_the_route() {
    let table = routes(&["/api", "/api/users", "/", "/shop/"]);
    for (path, want) in [
        ("/api", Some(0)),
        ("/api/", Some(0)),
        ("/api/orders/7", Some(0)),
        ("/api/users", Some(1)),
        ("/api/users/7", Some(1)),
        ("/api/usersettings", Some(0)),
        ("/apis", Some(2)),
        ("/", Some(2)),
        ("/shop", Some(2)),
        ("/shop/cart", Some(3)),
        ("*", None),
        ("", None),
    ] {
        assert_eq!(table.find(path), want, "{path}");
    }
    assert_eq!(routes(&["/api"]).find("/"), None);
    assert_eq!(Routes::default().find("/"), None);
    assert!(Routes::default().is_empty() && !table.is_empty());
}

#[test]
fn there_are_no_more_routes_than_there_are_counters() {
    let names: Vec<String> = (0..20).map(|n| format!("/r{n}")).collect();
    let table = Routes::new(names.clone());
    assert_eq!(table.names(), &names[..ROUTES_MAX]);
    assert_eq!(table.find("/r7/x"), Some(7));
    assert_eq!(table.find("/r8"), None);
}

#[test]
fn what_is_sampled_of_a_path_ends_before_an_id() {
    let long = "x".repeat(60);
    let two_long = format!("/{long}/{long}");
    for (path, want) in [
        ("/", "/"),
        ("", "/"),
        ("*", "/"),
        ("//evil", "/"),
        ("/api/", "/api"),
        ("/api/v1/users/settings", "/api/v1/users"),
        ("/users/1234/orders", "/users"),
        ("/u/6f1e9a52-3c51-4f5e-9a53-0123456789ab", "/u"),
        ("/u/6f1e9a52-3c51-4f5e-9a53-0123456789xy", "/u/6f1e9a52-3c51-4f5e-9a53-0123456789xy"),
        ("/blob/0123456789abcdef", "/blob"),
        ("/blob/0123456789abcde", "/blob/0123456789abcde"),
        ("/decade/facade", "/decade/facade"),
        (&two_long, &two_long[..61]),
        ("/caf\u{e9}/1", "/caf\u{e9}"),
    ] {
        assert_eq!(sampled(path), want, "{path}");
    }
}

/// Paths with their counts, and the names that are chosen.
type Case = (&'static str, Vec<(String, u64)>, Vec<&'static str>);

#[test]
fn the_routes_that_are_chosen_say_more_than_the_whole() {
    let some = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    };
    let many = |prefix: &str, n: usize| -> Vec<(String, u64)> {
        (0..n).map(|i| (format!("{prefix}word-{i}"), 2)).collect()
    };
    let cases: Vec<Case> = vec![
        ("nothing was asked for", vec![], vec![]),
        ("only the root", some(&[("/", 9)]), vec!["/"]),
        (
            "first segments by count, equal ones by name",
            some(&[("/b/x", 30), ("/a", 30), ("/c", 40), ("/", 1)]),
            vec!["/c", "/a", "/b", "/"],
        ),
        (
            "more than half is divided; what is light stays with the parent",
            some(&[
                ("/api/users", 40),
                ("/api/orders", 30),
                ("/api/rare", 2),
                ("/api", 3),
                ("/static/app.js", 25),
            ]),
            vec!["/api/users", "/api/orders", "/static", "/api"],
        ),
        (
            "half is not more than half",
            some(&[("/api/users", 25), ("/api/orders", 25), ("/web", 50)]),
            vec!["/api", "/web"],
        ),
        (
            "a lone child is gone into, down to the third segment",
            some(&[("/api/v1/users/me", 60), ("/api/v1/orders/all", 40)]),
            vec!["/api/v1/users", "/api/v1/orders"],
        ),
        (
            "ids are no names",
            some(&[("/users/1", 20), ("/users/2", 20), ("/users/me", 20), ("/users", 10)]),
            vec!["/users", "/users/me"],
        ),
        (
            "ids at the root are everything else",
            some(&[("/123", 60), ("/about", 40)]),
            vec!["/", "/about"],
        ),
        (
            "many siblings are taken for ids",
            [many("/u/", 17), some(&[("/u/settings", 50), ("/web", 10)])].concat(),
            vec!["/u", "/web"],
        ),
        (
            "sixteen are not too many, but each is light here",
            [many("/u/", 16), some(&[("/web", 20)])].concat(),
            vec![
                "/web",
                "/u/word-0",
                "/u/word-1",
                "/u/word-10",
                "/u/word-11",
                "/u/word-12",
                "/u/word-13",
                "/u/word-14",
            ],
        ),
        (
            "of many first segments only the heavy ones",
            [many("/", 40), some(&[("/cart", 30), ("/list", 50)])].concat(),
            vec!["/", "/list", "/cart"],
        ),
    ];
    for (what, samples, want) in cases {
        assert_eq!(choose(&samples, ROUTES_MAX), want, "{what}");
        let reversed: Vec<_> = samples.iter().rev().cloned().collect();
        assert_eq!(choose(&reversed, ROUTES_MAX), want, "{what}, in another order");
    }
    let samples: Vec<(String, u64)> = many("/", 12);
    assert_eq!(choose(&samples, 3), ["/word-0", "/word-1", "/word-10"]);
    assert!(choose(&samples, 0).is_empty());
}

proptest! {
    /// Whatever was sampled, names are few, distinct, and each of them is asked for.
    #[test]
    fn chosen_names_are_asked_for(
        samples in proptest::collection::vec(("(/[a-c1]{0,2}){0,4}", 0..50_u64), 0..40),
        max in 0..=ROUTES_MAX,
    ) {
        let names = choose(&samples, max);
        prop_assert!(names.len() <= max);
        let table = Routes::new(names.clone());
        for (number, name) in (0..).zip(&names) {
            prop_assert_eq!(table.find(name), Some(number), "{} twice", name);
            let asked = samples.iter().any(|(path, n)| {
                *n > 0 && (table.find(path) == Some(number) || sampled(path) == "/")
            });
            prop_assert!(asked, "{} of {:?}", name, samples);
        }
    }
}

#[test]
fn samples_are_bounded_and_merged_over_the_workers() {
    let (writers, drain) = Recorder::split(2);
    let of = |path: &str| {
        drain.take_samples(slot(1)).into_iter().find(|known| known.0 == path).map(|known| known.1)
    };
    assert!(drain.take_samples(slot(1)).is_empty());
    for writer in &writers {
        for _ in 0..4 {
            writer.sample(slot(1), "/users/17/orders");
        }
        writer.sample(slot(1), "/once");
        writer.sample(slot(2), "/elsewhere");
    }
    assert_eq!(drain.take_samples(slot(1)), [("/once".to_owned(), 2), ("/users".to_owned(), 8)]);
    assert_eq!(of("/users"), Some(8), "taking them does not take them away");

    drain.age_samples();
    assert_eq!((of("/users"), of("/once")), (Some(4), None));
    // A flood of other paths does not grow the map, and does not push out what is asked for often.
    for n in 0..10_000 {
        writers[0].sample(slot(1), &format!("/flood/f{n}"));
        writers[0].sample(slot(1), "/users");
    }
    assert!(drain.take_samples(slot(1)).len() <= 257);
    assert!(of("/users").unwrap() > 100, "{:?}", of("/users"));
    // Among as many as there is room for, each asked for often, a new one has to come again.
    for n in 0..4 * 256 {
        writers[0].sample(slot(3), &format!("/often/f{}", n / 4));
    }
    writers[0].sample(slot(3), "/new");
    let often = drain.take_samples(slot(3));
    assert_eq!(often.len(), 256);
    assert!(often.iter().all(|(path, count)| path != "/new" && *count == 2), "{often:?}");
}
