//! Tokens that were found good, for a while.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moka::sync::Cache;
use ring::digest::{self, SHA256, SHA256_OUTPUT_LEN};

use super::keys::KeySet;
use crate::http::principal::Principal;

/// Tokens that are remembered; about a megabyte and a half.
const MAX: u64 = 8192;

/// How long one that nobody uses is remembered.
const IDLE: Duration = Duration::from_mins(5);

/// What is known again of a token: nothing that it could be made from.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// What is known of a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verified {
    /// Whose it is.
    pub(super) owner: Principal,
    /// Whether it has the scopes that are needed.
    pub(super) allowed: bool,
    /// Its end, in seconds since 1970.
    pub(super) expires: u64,
    /// The keys that it was checked with.
    pub(super) keys: u64,
}

/// The tokens.
#[derive(Debug)]
pub(super) struct Remembered(Cache<Digest, Verified>);

impl Remembered {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MAX).time_to_idle(IDLE).build())
    }

    /// What is known of a token, unless it has ended or the keys are others by now.
    pub(super) fn find(&self, token: &Digest, keys: &KeySet) -> Option<Verified> {
        let known = self.0.get(token)?;
        (known.keys == keys.number() && now() < known.expires).then_some(known)
    }

    pub(super) fn keep(&self, token: Digest, verified: Verified) {
        self.0.insert(token, verified);
    }
}

pub(super) fn digest(token: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(u64::MAX, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_beyond_its_end_or_its_keys() {
        let (remembered, keys) = (Remembered::new(), KeySet::numbered(7));
        let good = Verified {
            owner: Principal::named("alice"),
            allowed: true,
            expires: now() + 60,
            keys: 7,
        };
        remembered.keep(digest("good"), good);
        remembered.keep(
            digest("ended"),
            Verified {
                expires: now(),
                ..good
            },
        );
        assert_eq!(remembered.find(&digest("good"), &keys), Some(good));
        assert_eq!(remembered.find(&digest("ended"), &keys), None);
        assert_eq!(remembered.find(&digest("goo"), &keys), None);
        assert_eq!(remembered.find(&digest("good"), &KeySet::numbered(8)), None);
    }

    #[test]
    fn there_is_a_cap() {
        let remembered = Remembered::new();
        for number in 0..3 * MAX {
            let verified = Verified {
                owner: Principal::ANONYMOUS,
                allowed: true,
                expires: u64::MAX,
                keys: 0,
            };
            remembered.keep(digest(&number.to_string()), verified);
        }
        remembered.0.run_pending_tasks();
        assert!(remembered.0.entry_count() <= MAX);
    }
}
