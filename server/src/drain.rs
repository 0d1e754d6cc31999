//! How the server goes: last, and without a word to those it serves.
//!
//! After the first signal it goes on accepting for [`ACCEPT`], since Services and proxies need a moment to
//! notice; then it takes no new streams, but those that are open live on, with their calls, until they end or
//! the drain's time is over. Then they end cleanly, spread over a few seconds, so that their clients do not all
//! come back at once. Calls in flight have [`FINISH`] more; what is not done then is answered "send it again".

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iam_mcp_runtime::shutdown::Shutdown;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    transport::sse::{departed::HOLD, registry::Sessions, session::Ended, session_id::SessionKey},
};

/// How long a server that was told to stop takes everything that comes. kube-proxy writes its rules about a
/// second after a pod leaves its Service, and a connection that was refused is sent to the same address for
/// five or six more (measured; see docs/sessions.md).
pub const ACCEPT: Duration = Duration::from_secs(10);

/// How long calls in flight may take beyond the drain's end.
pub const FINISH: Duration = Duration::from_secs(5);

/// How much later what is left is dropped, answered or not.
const DROP: Duration = Duration::from_secs(5);

/// The streams that are left at the end of a drain end within this time, or a tenth of a shorter drain.
const SPREAD: Duration = Duration::from_secs(5);

/// How often a drain looks around.
const TICK: Duration = Duration::from_millis(100);

/// What a drain is told.
#[derive(Debug, Clone, Copy)]
pub struct DrainSettings {
    /// How long everything is taken that comes, at most `limit`.
    pub accept: Duration,
    /// How long open streams may live on; zero ends them at once, behind their calls in flight.
    pub limit: Duration,
    /// The silence after which a stream is ended earlier; `None` never.
    pub idle: Option<Duration>,
    /// How long calls in flight may take beyond the end.
    pub finish: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            accept: ACCEPT,
            limit: Duration::ZERO,
            idle: None,
            finish: FINISH,
        }
    }
}

/// Sessions that live on while a server drains.
pub trait Live: std::fmt::Debug + Send + Sync + 'static {
    /// What tells one from the others.
    type Key: Clone + Send + Sync;

    /// How many are open, those included whose last calls are being answered.
    fn streams(&self) -> i64;

    /// Opens no more.
    fn refuse_new(&self);

    /// Lets go of those without a call for `limit`.
    fn release_idle(&self, limit: Duration);

    /// Those that are open.
    fn open_now(&self) -> Vec<Self::Key>;

    /// Lets go of these: each ends when its calls in flight are answered.
    fn release(&self, sessions: &[Self::Key], cause: Ended);

    /// Gives up the calls that are still in flight in sessions that were let go of.
    fn give_up(&self);
}

impl Live for Sessions {
    type Key = SessionKey;

    fn streams(&self) -> i64 {
        Self::streams(self)
    }

    fn refuse_new(&self) {
        Self::refuse_new(self);
    }

    fn release_idle(&self, limit: Duration) {
        Self::release_idle(self, limit);
    }

    fn open_now(&self) -> Vec<SessionKey> {
        Self::open_now(self)
    }

    fn release(&self, sessions: &[SessionKey], cause: Ended) {
        Self::release(self, sessions, cause);
    }

    fn give_up(&self) {
        Self::give_up(self);
    }
}

/// The drain, before it begins and while it lasts. Clones share it.
#[derive(Debug, Clone)]
pub struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: DrainSettings,
    /// Its end, when it has begun; the earliest that was asked for, before. Seconds since 1970.
    until: Mutex<Option<u64>>,
    shortened: Notify,
    give_up: CancellationToken,
    begun: OnceLock<Instant>,
    /// When a client last came, in milliseconds after the beginning.
    last_request: AtomicU64,
}

impl Drain {
    /// One that has not begun.
    #[must_use]
    pub fn new(settings: DrainSettings) -> Self {
        Self(Arc::new(Inner {
            settings,
            until: Mutex::default(),
            shortened: Notify::new(),
            give_up: CancellationToken::new(),
            begun: OnceLock::new(),
            last_request: AtomicU64::new(0),
        }))
    }

    /// Whether it has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.begun.get().is_some()
    }

    /// When its last streams end, in seconds since 1970; `None` before it has begun.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        self.is_draining().then(|| *self.0.until.lock()).flatten()
    }

    /// Ends it no later than this (seconds since 1970); never later than it would have.
    pub fn shorten(&self, until: u64) {
        let mut at = self.0.until.lock();
        *at = Some(at.map_or(until, |before| before.min(until)));
        drop(at);
        self.0.shortened.notify_one();
    }

    /// Notes that a client came; says whether the drain has begun.
    #[must_use]
    pub fn request(&self) -> bool {
        let Some(begun) = self.0.begun.get() else {
            return false;
        };
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_request.store(millis, Ordering::Relaxed);
        true
    }

    /// Cancelled when calls that are still in flight are to be answered "send it again".
    #[must_use]
    pub fn give_up(&self) -> CancellationToken {
        self.0.give_up.clone()
    }

    /// Drains. `closing` is cancelled when no more connections need be taken; `linger`
    /// says whether messages that come late could be passed on to another replica.
    pub async fn run<L: Live>(
        self,
        shutdown: Shutdown,
        sessions: Arc<L>,
        metrics: Metrics,
        closing: CancellationToken,
        linger: bool,
    ) {
        let start = Instant::now();
        self.shorten(unix(SystemTime::now() + self.0.settings.limit));
        let _ = self.0.begun.set(start);
        tokio::spawn({
            let (drain, hurry, over) = (self.clone(), shutdown.hurry(), closing.clone());
            async move {
                if over.run_until_cancelled(hurry.cancelled()).await.is_some() {
                    drain.shorten(unix(SystemTime::now()));
                }
            }
        });
        metrics.sse.draining.set(1);
        tracing::info!(
            streams = sessions.streams(),
            until = self.until(),
            "draining: open streams live on"
        );

        while start.elapsed() < self.0.settings.accept && !self.is_over(Duration::ZERO) {
            self.pause().await;
        }
        sessions.refuse_new();

        let spread = SPREAD.min(self.0.settings.limit / 10);
        while sessions.streams() > 0 && !self.is_over(spread) {
            if let Some(idle) = self.0.settings.idle {
                sessions.release_idle(idle);
            }
            self.pause().await;
        }

        let rest = sessions.open_now();
        let end = Instant::now() + self.left();
        if !rest.is_empty() {
            tracing::info!(
                streams = rest.len(),
                "the drain is over: ending the streams that are left"
            );
        }
        let ticks = usize::try_from(spread.as_millis() / TICK.as_millis())
            .unwrap_or(1)
            .max(1);
        // A hash table's order is as good as chance.
        for some in rest.chunks(rest.len().div_ceil(ticks).max(1)) {
            sessions.release(some, Ended::Deadline);
            if !spread.is_zero() {
                sleep(TICK).await;
            }
        }
        let streams_ended = async {
            while sessions.streams() > 0 {
                sleep(TICK).await;
            }
        };
        if timeout(self.0.settings.finish, streams_ended).await.is_err() {
            sessions.give_up();
        }
        if linger && !rest.is_empty() {
            sleep(HOLD).await;
        }
        // What tells whether `accept` is long enough: nobody should come near its end.
        tracing::info!(
            last_request_ms = self.0.last_request.load(Ordering::Relaxed),
            took_ms = start.elapsed().as_millis(),
            "drained"
        );
        closing.cancel();

        sleep_until(end + self.0.settings.finish).await;
        self.0.give_up.cancel();
        sleep(DROP).await;
        tracing::warn!("calls are still running at the deadline; dropping them");
        shutdown.force();
    }

    /// Whether the end is `before` away, or nearer.
    fn is_over(&self, before: Duration) -> bool {
        self.left() <= before
    }

    /// Time to the end, to the second.
    fn left(&self) -> Duration {
        let until = UNIX_EPOCH + Duration::from_secs(self.0.until.lock().unwrap_or_default());
        until.duration_since(SystemTime::now()).unwrap_or_default()
    }

    async fn pause(&self) {
        // Shortened or not, there is something to look at.
        let _ = timeout(TICK, self.0.shortened.notified()).await;
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_only_ever_shortened() {
        let drain = Drain::new(DrainSettings::default());
        drain.shorten(2000);
        drain.shorten(3000);
        assert_eq!(drain.until(), None, "it has not begun");
        drain.0.begun.set(Instant::now()).expect("not yet");
        assert_eq!(drain.until(), Some(2000));
        drain.shorten(1000);
        assert_eq!(drain.until(), Some(1000));
    }
}
