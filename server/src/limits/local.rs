//! What this process counts by itself: GCRA (governor) over a table that cannot grow without bound.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use governor::{
    RateLimiter,
    clock::{Clock as _, MonotonicClock},
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use parking_lot::Mutex;

use super::quota::Quota;
use crate::http::client::Client;

/// The table's parts, each with a lock of its own, so that clients seldom wait for each other. A power of two.
const SHARDS: usize = 16;

/// The most clients that each part remembers, 32,768 in all: about two megabytes.
const SHARD_MAX: usize = 2048;

/// Clients in a part before those at rest are looked for the first time.
const SWEEP_FROM: usize = 64;

/// One quota, and what each client has left of it.
#[derive(Debug)]
pub(super) struct Local(RateLimiter<Client, Table, MonotonicClock>);

impl Local {
    pub(super) fn new(quota: Quota) -> Option<Self> {
        let limiter = RateLimiter::new(quota.governed()?, Table::default(), MonotonicClock);
        Some(Self(limiter))
    }

    /// Counts one.
    ///
    /// # Errors
    /// How long to wait, when it is one too many.
    pub(super) fn check(&self, client: &Client) -> Result<(), Duration> {
        self.0
            .check_key(client)
            .map_err(|early| early.wait_time_from(self.0.clock().now()))
    }
}

/// What each client has used. One that is at rest, which is as good as unknown, is forgotten when room is
/// needed. Where none is, newcomers share what is left of one quota: who is known keeps their own.
#[derive(Debug, Default)]
struct Table {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug)]
struct Shard {
    known: HashMap<Client, Nanos>,
    /// How many newcomers there may be before those at rest are looked for.
    until_sweep: usize,
    newcomers: Option<Nanos>,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            until_sweep: SWEEP_FROM,
            newcomers: None,
        }
    }
}

impl Shard {
    /// Forgets clients at rest. As many newcomers as are left, at least, come before it is done again, which makes
    /// its cost small for each.
    fn sweep<T, E>(&mut self, measure: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>) {
        let Ok((_, fresh)) = measure(None) else { return };
        // At rest is who has no less left than somebody new.
        self.known.retain(|_, used| match measure(Some(*used)) {
            Ok((_, next)) => next > fresh,
            Err(_) => true,
        });
        self.until_sweep = self.known.len().max(SWEEP_FROM);
        self.known.shrink_to(self.known.len() + self.until_sweep);
    }
}

impl StateStore for Table {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hasher.hash_one(client).to_ne_bytes();
        let shard = &mut *self.shards[usize::from(hash[0]) % SHARDS].lock();
        if let Some(used) = shard.known.get_mut(client) {
            let (outcome, next) = measure(Some(*used))?;
            *used = next;
            return Ok(outcome);
        }
        match shard.until_sweep.checked_sub(1) {
            Some(left) => shard.until_sweep = left,
            None => shard.sweep(&measure),
        }
        if shard.known.len() >= SHARD_MAX {
            let (outcome, next) = measure(shard.newcomers)?;
            shard.newcomers = Some(next);
            return Ok(outcome);
        }
        let (outcome, next) = measure(None)?;
        shard.known.insert(*client, next);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Client> for Table {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            shard.lock().known.retain(|_, used| *used > drop_below);
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().known.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn local(quota: &str) -> Local {
        Local::new(quota.parse().expect("a quota")).expect("a limit")
    }

    fn client(number: u32) -> Client {
        Client::at(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn each_client_has_the_quota_for_itself() {
        let local = local("10/minute");
        assert_eq!((0..20).filter(|_| local.check(&client(1)).is_ok()).count(), 10);
        let wait = local.check(&client(1)).expect_err("spent");
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        assert_eq!(local.check(&client(2)), Ok(()));
    }

    #[test]
    fn clients_at_rest_are_forgotten() {
        // One is at rest again after a microsecond.
        let local = local("1000000/s");
        for number in 0..200_000 {
            let _ = local.check(&client(number));
        }
        assert!(local.0.len() < 2 * SWEEP_FROM * SHARDS, "{}", local.0.len());
    }

    #[test]
    fn beyond_the_cap_newcomers_share_and_the_known_keep_their_own() {
        let local = local("2/hour");
        assert_eq!(local.check(&client(u32::MAX)), Ok(()));
        let newcomers = u32::try_from(SHARDS * SHARD_MAX * 2).expect("fits");
        let served = (0..newcomers)
            .filter(|number| local.check(&client(*number)).is_ok())
            .count();
        assert!(local.0.len() <= SHARDS * SHARD_MAX, "{}", local.0.len());
        assert!(served <= SHARDS * (SHARD_MAX + 2), "{served}");
        assert_eq!(local.check(&client(u32::MAX)), Ok(()), "its second");
        assert!(local.check(&client(u32::MAX)).is_err(), "its third");
    }
}
