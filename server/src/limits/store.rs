//! Limits that all replicas share, counted in Valkey or Redis: one round trip each, with a tight time limit.
//!
//! Nobody waits for a store that is away: a failed question puts it aside, and a task looks for it until it
//! answers again.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use redis::{AsyncConnectionConfig, Client as Redis, RedisError, Script, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::quota::Quota;
use crate::{hex, http::client::Client, metrics::Metrics};

/// What all keys in the store begin with.
const KEYS: &str = "iam-mcp:limit";

/// The longest that a request waits for the store, where nothing else is set. In a cluster it answers within one or two
/// milliseconds.
pub const ANSWER: Duration = Duration::from_millis(50);

/// The longest that the task waits for a connection and its first answer.
const CONNECT: Duration = Duration::from_secs(2);

/// Pauses between tries; they grow, and begin anew once a connection has lasted.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LASTED: Duration = Duration::from_secs(10);

/// How often the task asks something itself, so that no request has to find out that the store went away unseen.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Where the store is. The password in it shows nowhere.
#[derive(Clone)]
pub struct StoreUrl(Redis);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("StoreUrl")
    }
}

impl StoreUrl {
    /// Reads an address. The advice shows nothing of it.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = ["redis://", "rediss://", "valkey://", "valkeys://"];
        let opened = known.iter().any(|scheme| text.starts_with(scheme)) && !text.contains('#');
        match Redis::open(text) {
            Ok(redis) if opened => Ok(Self(redis)),
            _ => Err(
                "use redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS \
                (the value is not shown, as it may hold a password)"
                    .to_owned(),
            ),
        }
    }
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it does not answer in time")]
    Slow,
    #[error("it cannot be reached")]
    Unreachable,
    /// A wrong password, no right to run scripts, a replica that cannot be written, a cluster.
    #[error("it refuses: {0}")]
    Refused(String),
}

impl Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Unreachable => "unreachable",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            Self::Slow
        } else if let Some(code) = error.code() {
            // The code alone: what servers say besides can quote the question.
            Self::Refused(code.to_owned())
        } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
            Self::Unreachable
        } else {
            Self::Refused(error.category().to_owned())
        }
    }
}

/// The store, and the task that keeps it connected as long as somebody has it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

struct Shared {
    redis: Redis,
    script: Script,
    answer: Duration,
    /// What is open, with a number, so that a late failure of an old one does not end a new one.
    open: RwLock<Option<(u64, MultiplexedConnection)>>,
    lost: Notify,
    metrics: Metrics,
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.read().is_some();
        out.debug_struct("Shared")
            .field("open", &open)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to connect. Until it has, the store counts as away. A request waits for `answer`, and no longer.
    #[must_use]
    pub fn open(url: &StoreUrl, answer: Duration, metrics: Metrics) -> Self {
        // An error means that another part of the process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            redis: url.0.clone(),
            script: Script::new(include_str!("gcra.lua")),
            answer,
            open: RwLock::new(None),
            lost: Notify::new(),
            metrics,
        });
        let keeper = tokio::spawn(keep(Arc::clone(&shared)));
        Self {
            shared,
            _keeper: AbortOnDropHandle::new(keeper),
        }
    }

    /// Counts one for all replicas; `None` while the store is away.
    pub(super) async fn check(
        &self,
        name: &str,
        quota: Quota,
        client: &Client,
    ) -> Option<Result<(), Duration>> {
        let (number, connection) = self.shared.open.read().clone()?;
        let key = format!("{KEYS}:{name}:{}", hex::encode(client.as_bytes()));
        match self.shared.ask(connection, &key, quota, self.shared.answer).await {
            Ok(Duration::ZERO) => Some(Ok(())),
            Ok(wait) => Some(Err(wait)),
            Err(error) => {
                self.shared.failed(number, &error);
                None
            }
        }
    }
}

impl Shared {
    async fn ask(
        &self,
        mut connection: MultiplexedConnection,
        key: &str,
        quota: Quota,
        within: Duration,
    ) -> Result<Duration, Error> {
        let every = micros(quota.every());
        let whole = every.saturating_mul(quota.at_once().get().into());
        let mut question = self.script.key(key);
        question.arg(every).arg(whole);
        let wait: u64 = timeout(within, question.invoke_async(&mut connection))
            .await
            .map_err(|_| Error::Slow)??;
        Ok(Duration::from_micros(wait))
    }

    /// Puts a connection aside; said once for each.
    fn failed(&self, number: u64, error: &Error) {
        self.count(error);
        if self.open.write().take_if(|(open, _)| *open == number).is_some() {
            self.metrics.access.store_is(false);
            tracing::warn!(%error, "the limits' store is away; each replica counts for itself until it is back");
            self.lost.notify_one();
        }
    }

    fn count(&self, error: &Error) {
        let cause = vec![("cause", error.category())];
        self.metrics.access.store_failures.get_or_create(&cause).inc();
    }

    /// A connection on which the script runs.
    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        // The waiting is bounded here; the library's own limits would only come in between.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self.redis.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(CONNECT, connecting).await.map_err(|_| Error::Slow)??;
        self.look(&connection).await?;
        Ok(connection)
    }

    /// Whether the store does what is needed of it.
    async fn look(&self, connection: &MultiplexedConnection) -> Result<(), Error> {
        if let Some(quota) = Quota::per_second(1_000_000) {
            self.ask(connection.clone(), KEYS, quota, CONNECT).await?;
        }
        Ok(())
    }

    /// Returns when connection `number` is lost.
    async fn lost(&self, number: u64, connection: &MultiplexedConnection) {
        while timeout(LOOK_EVERY, self.lost.notified()).await.is_err() {
            if let Err(error) = self.look(connection).await {
                self.failed(number, &error);
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// Connects, and connects again.
async fn keep(store: Arc<Shared>) {
    let (mut number, mut pause, mut away) = (0_u64, FIRST_PAUSE, false);
    store.metrics.access.store_is(false);
    loop {
        match store.connect().await {
            Ok(connection) => {
                number += 1;
                *store.open.write() = Some((number, connection.clone()));
                store.metrics.access.store_is(true);
                tracing::info!("the limits' store counts for all replicas");
                let since = Instant::now();
                store.lost(number, &connection).await;
                away = true;
                if since.elapsed() > LASTED {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => {
                store.count(&error);
                if !away {
                    away = true;
                    tracing::warn!(%error, "the limits' store cannot be used; each replica counts for itself until it can");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "redis://127.0.0.1",
            "redis://:s3cret@valkey.mcp.svc:6379/3",
            "rediss://alice:s3cret@valkey.example",
            "valkey://localhost",
        ] {
            let url = StoreUrl::parse(good).expect(good);
            assert!(!format!("{url:?}").contains("s3cret"));
        }
        for bad in [
            "",
            "valkey.mcp.svc",
            "http://s3cret",
            "redis://",
            "unix:///s3cret",
            "rediss://h/#insecure",
        ] {
            let advice = StoreUrl::parse(bad).map(drop).expect_err(bad);
            assert!(
                advice.contains("rediss://") && !advice.contains("s3cret"),
                "{advice}"
            );
        }
    }
}
