use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

use super::issued::Issuer;
use super::sticky::{Carrier, Key, Source, cookie, find, query};
use super::*;

fn percent(percent: u16) -> Weight {
    Weight::from_basis_points(percent * 100).unwrap()
}

#[test]
fn zero_reaches_nobody_and_full_reaches_everybody() {
    for draw in [0, 1, u64::MAX / 2, u64::MAX] {
        let bucket = Bucket::from_uniform(draw);
        assert_eq!(assign(bucket, Weight::ZERO), Role::Stable);
        assert_eq!(assign(bucket, Weight::FULL), Role::Canary);
    }
}

/// The value is that of the reference implementation, so any xxhash recomputes a bucket.
#[test]
fn a_bucket_is_plain_xxh3_seeded_with_the_salt() {
    assert_eq!(Bucket::of(b"", Salt(0)).0, 0x2d06_8005_38d3_94c2);
    assert_ne!(Bucket::of(b"user-1", Salt(1)), Bucket::of(b"user-1", Salt(2)));
}

#[test]
fn the_border_is_exact() {
    // 25 % of 2^64 is 2^62: the last bucket inside and the first outside.
    assert_eq!(assign(Bucket::from_uniform((1 << 62) - 1), percent(25)), Role::Canary);
    assert_eq!(assign(Bucket::from_uniform(1 << 62), percent(25)), Role::Stable);
}

proptest! {
    /// Raising the weight only ever moves keys from stable to canary.
    #[test]
    fn growing_the_weight_sends_nobody_back(draw: u64, low in 0u16..=10_000, high in 0u16..=10_000) {
        let (low, high) = (low.min(high), low.max(high));
        let side = |bp| assign(Bucket::from_uniform(draw), Weight::from_basis_points(bp).unwrap());
        prop_assert!(side(low) == Role::Stable || side(high) == Role::Canary);
    }

    #[test]
    fn a_weight_is_read_as_it_is_written(bp in 0u16..=10_000) {
        let weight = Weight::from_basis_points(bp).unwrap();
        prop_assert_eq!(weight.to_string().parse::<Weight>().unwrap(), weight);
    }

    #[test]
    fn nothing_that_is_sent_as_a_weight_panics(text in "\\PC{0,12}%?") {
        let _ = text.parse::<Weight>();
    }
}

#[test]
fn the_share_equals_the_weight() {
    for weight in [percent(1), percent(5), percent(25)] {
        let split = Split { weight, salt: Salt(7) };
        let users = 200_000_u32;
        let canary = (0..users).filter(|u| split.side_of(&u.to_le_bytes()) == Role::Canary).count();
        let (want, n) = (weight.fraction(), f64::from(users));
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let off = (canary as f64 / n - want).abs() / (want * (1.0 - want) / n).sqrt();
        assert!(off < 4.5, "{canary} of {users} at {weight}: {off:.1} standard errors off");
    }
}

#[test]
fn two_salts_draw_two_crowds() {
    let crowd = |salt| {
        let split = Split { weight: percent(1), salt: Salt(salt) };
        (0..20_000_u32)
            .filter(|u| split.side_of(&u.to_le_bytes()) == Role::Canary)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (first, second) = (crowd(1), crowd(2));
    assert!((120..=280).contains(&first.len()), "{}", first.len());
    assert!(first.intersection(&second).count() < 20);
}

#[test]
fn weights_are_written_as_people_write_them() {
    for (text, bp) in [("0%", 0), ("1%", 100), ("2.5%", 250), ("0.05%", 5), ("100%", 10_000)] {
        assert_eq!(text.parse::<Weight>().unwrap().basis_points(), bp, "{text}");
        assert_eq!(Weight::from_basis_points(bp).unwrap().to_string(), text);
    }
    for text in ["", "%", "5", "150%", "100.01%", "-1%", "1.234%", "1e1%", "٣%", "99999%", ".5%"] {
        assert!(text.parse::<Weight>().is_err(), "{text}");
    }
}

struct Request {
    headers: Vec<(&'static str, &'static str)>,
    query: Option<&'static str>,
}

impl Carrier for Request {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_bytes())
    }
    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(|h| h.0 == "cookie").map(|h| h.1.as_bytes())
    }
    fn query(&self) -> Option<&str> {
        self.query
    }
    fn ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))
    }
}

#[test]
fn the_first_source_that_is_there_wins() {
    let sources = [
        Source::Cookie("sid".into()),
        Source::Header("x-user-id".into()),
        Source::Query("user".into()),
        Source::Ip,
    ];
    let request = |headers, query| Request { headers, query };
    #[rustfmt::skip]
    let table: [(Request, &str); 5] = [
        (request(vec![("cookie", "a=1; sid=c7"), ("x-user-id", "u1")], Some("user=q")), "c7"),
        (request(vec![("cookie", "xsid=1"), ("x-user-id", "u1")], Some("user=q")), "u1"),
        (request(vec![], Some("a=b&user=q")), "q"),
        (request(vec![("cookie", "sid="), ("x-user-id", "")], Some("user=")), "192.0.2.7"),
        (request(vec![], None), "192.0.2.7"),
    ];
    for (request, want) in table {
        let Key::Carried { bytes, .. } = find(&sources, None, &request) else { panic!("{want}") };
        assert_eq!(bytes.as_ref(), want.as_bytes());
    }
    assert_eq!(find(&[], None, &request(vec![], None)), Key::Nothing);
}

#[test]
fn an_issued_cookie_that_verifies_always_wins() {
    let issuer = Issuer::new("serin_id".into(), b"secret", Duration::from_secs(60));
    let (id, header) = issuer.issue(42, true);
    assert!(header.ends_with("; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"), "{header}");
    let value = header.split(';').next().unwrap().to_owned();
    let cookie: &'static str = value.leak();
    let sources = [Source::Header("x-user-id".into()), Source::Issue];

    let logged_in = Request { headers: vec![("cookie", cookie), ("x-user-id", "u")], query: None };
    let Key::Carried { bytes, source } = find(&sources, Some(&issuer), &logged_in) else {
        panic!("no key")
    };
    assert_eq!((bytes.as_ref(), source), (id.as_bytes(), &Source::Issue));

    // One byte changed, or another key: not ours, so a new one is issued.
    let forged: &'static str = cookie.replacen("=0", "=1", 1).leak();
    let other = Issuer::new("serin_id".into(), b"other", Duration::from_secs(60));
    for (issuer, cookie) in [(&issuer, forged), (&other, cookie)] {
        let request = Request { headers: vec![("cookie", cookie)], query: None };
        assert_eq!(find(&sources, Some(issuer), &request), Key::Issue, "{cookie}");
    }
}

#[test]
fn cookies_and_queries_are_found_whole() {
    for (header, want) in [
        ("sid=a", Some("a")),
        ("x=1; sid=a b ;y", Some("a b")),
        ("sid=\"q\"", Some("q")),
        ("xsid=1; sidx=2", None),
        ("sid", None),
        ("", None),
    ] {
        assert_eq!(cookie(header.as_bytes(), b"sid"), want.map(str::as_bytes), "{header}");
    }
    for (text, want) in
        [("u=1", Some("1")), ("a&u=1=2", Some("1=2")), ("uu=1&xu=2", None), ("u", None)]
    {
        assert_eq!(query(text, "u"), want, "{text}");
    }
}
