//! The cookie that serin issues: a random id and its signature, never a pool's name.
//!
//! The id is hashed like any other key, so a rollback needs no cookie change and a client gains
//! nothing by keeping an old one. The signature (HMAC-SHA-256, RFC 2104, cut to 128 bits) keeps a
//! client from choosing its side by trying ids.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

const ID_HEX: usize = 32;
const TAG_BYTES: usize = 16;

/// Signs and verifies the ids of one service.
#[derive(Clone)]
pub struct Issuer {
    cookie: String,
    key: hmac::Key,
    max_age: Duration,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Issues cookies named `cookie` that live for `max_age`, signed with `key`.
    pub fn new(cookie: String, key: &[u8], max_age: Duration) -> Self {
        Self { cookie, key: hmac::Key::new(hmac::HMAC_SHA256, key), max_age }
    }

    /// The cookie's name.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Returns the id in `value` if we signed it.
    pub fn verify<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        if value.len() != ID_HEX + 1 + 2 * TAG_BYTES || value[ID_HEX] != b'.' {
            return None;
        }
        let (id, tag) = (&value[..ID_HEX], &value[ID_HEX + 1..]);
        constant_time::verify_slices_are_equal(self.tag(id).as_bytes(), tag).ok()?;
        Some(id)
    }

    /// Makes the id of the random draw `random`, and its `Set-Cookie` value.
    pub fn issue(&self, random: u128, secure: bool) -> (String, String) {
        let id = format!("{random:032x}");
        let tag = self.tag(id.as_bytes());
        let secure = if secure { "; Secure" } else { "" };
        let header = format!(
            "{}={id}.{tag}; Max-Age={}; Path=/; HttpOnly; SameSite=Lax{secure}",
            self.cookie,
            self.max_age.as_secs()
        );
        (id, header)
    }

    fn tag(&self, id: &[u8]) -> String {
        let tag = hmac::sign(&self.key, id);
        tag.as_ref()[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
