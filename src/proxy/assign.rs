//! Which side of its service's split a request falls on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;

use rand::RngExt;

use crate::split::sticky::{self, Carrier, Key, Source};
use crate::split::{self, Bucket, Role};
use crate::table::matching::Matched;
use crate::table::{self, Placebo};
use crate::wire;

/// The side that a request falls on, and what is known of why.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) role: Role,
    /// Whether a tester chose it.
    pub(super) forced: bool,
    /// The hash of the key that chose it.
    pub(super) key: Option<u64>,
    /// Whether it is in the half of stable that is measured on its own.
    pub(super) placebo: bool,
    /// The cookie to set.
    pub(super) cookie: Option<String>,
}

impl Assigned {
    pub(super) const fn to(role: Role) -> Self {
        Self { role, forced: false, key: None, placebo: false, cookie: None }
    }
}

/// The side of `service` that `asked` falls on.
pub(super) fn assign(
    service: &table::Service,
    asked: &Asked<'_>,
    secure: bool,
    random: &RefCell<impl RngExt>,
) -> Assigned {
    for rule in &service.force {
        if asked.holds(&rule.source, rule.value.as_bytes()) {
            return Assigned { forced: true, ..Assigned::to(rule.to) };
        }
    }
    let split = service.split;
    let by_key = |key: &[u8]| {
        let bucket = Bucket::of(key, split.salt);
        Assigned {
            key: Some(bucket.position()),
            placebo: service.placebo.is_some_and(|half| Placebo::holds(half.bucket(key))),
            ..Assigned::to(split::assign(bucket, split.weight))
        }
    };
    let by_chance = || {
        let draw = || Bucket::from_uniform(random.borrow_mut().random());
        let role = match split.weight.is_zero() {
            true => Role::Stable,
            false => split::assign(draw(), split.weight),
        };
        let placebo = service.placebo.is_some() && Placebo::holds(draw());
        Assigned { placebo, ..Assigned::to(role) }
    };
    match sticky::find(&service.sticky, service.issuer.as_ref(), asked) {
        Key::Carried { bytes, .. } => by_key(&bytes),
        Key::Issue => match &service.issuer {
            // Without a canary there is nothing to keep a user on.
            Some(issuer) if service.canary.is_some() => {
                let (id, cookie) = issuer.issue(random.borrow_mut().random(), secure);
                Assigned { cookie: Some(cookie), ..by_key(id.as_bytes()) }
            }
            _ => Assigned { role: Role::Stable, ..by_chance() },
        },
        Key::Nothing => by_chance(),
    }
}

/// A request as matching and stickiness see it.
pub(super) struct Asked<'a> {
    pub(super) head: &'a wire::Head,
    pub(super) ip: IpAddr,
}

impl Asked<'_> {
    /// Whether the request carries `secret` at `source`. The time this takes tells nothing of how
    /// much of a guess was right.
    fn holds(&self, source: &Source, secret: &[u8]) -> bool {
        let value = match source {
            Source::Header(name) => self.head.field(name).map(Cow::Borrowed),
            Source::Cookie(name) => self.cookie(name).map(Cow::Borrowed),
            Source::Query(name) => Carrier::query(self)
                .and_then(|q| sticky::query(q, name))
                .map(|v| v.as_bytes().into()),
            Source::Ip | Source::Issue => None,
        };
        value.is_some_and(|value| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&value, secret).is_ok()
        })
    }
}

impl Carrier for Asked<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.head.values(&wire::Field::COOKIE)
    }

    fn query(&self) -> Option<&str> {
        self.head.query()
    }

    fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl Matched for Asked<'_> {
    fn host(&self) -> &str {
        self.head.host()
    }

    fn path(&self) -> &str {
        self.head.path()
    }

    fn method(&self) -> &str {
        self.head.method()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }
}
