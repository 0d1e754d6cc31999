//! The log's level, which can be changed while the process runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Serialize;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::{Error, filter};

/// The level in force. Clones share it.
#[derive(Debug, Clone)]
pub struct LogLevel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: reload::Handle<EnvFilter, Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: String,
    /// What comes back after a change for a time.
    lasting: String,
    until: Option<Instant>,
    /// Counts changes, so that an older one's end does not undo a newer one.
    change: u64,
}

/// What the level is, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The level or filter in force, as it was given.
    pub level: String,
    /// What will be in force again, where this one has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts_to: Option<String>,
    /// In how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts_in_seconds: Option<u64>,
}

impl LogLevel {
    pub(super) fn new(level: &str, handle: reload::Handle<EnvFilter, Registry>) -> Self {
        let state = State {
            now: level.to_owned(),
            lasting: level.to_owned(),
            until: None,
            change: 0,
        };
        Self(Arc::new(Inner {
            handle,
            state: Mutex::new(state),
        }))
    }

    /// What is in force.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let state = self.0.state.lock();
        Shown {
            level: state.now.clone(),
            reverts_to: state.until.map(|_| state.lasting.clone()),
            reverts_in_seconds: state
                .until
                .map(|until| until.saturating_duration_since(Instant::now()).as_secs()),
        }
    }

    /// Changes the level: for good, or for a time, after which the last level that was set for good is back.
    ///
    /// Needs a running tokio runtime for a time.
    ///
    /// # Errors
    /// [`Error::Level`] for what [`init`](super::init) would not take; then nothing is changed. [`Error::NoLog`] if
    /// the log is gone.
    pub fn set(&self, level: &str, time: Option<Duration>) -> Result<(), Error> {
        let filter = filter(level)?;
        let mut state = self.0.state.lock();
        self.switch(filter, level)?;
        level.clone_into(&mut state.now);
        state.change += 1;
        state.until = time.map(|time| Instant::now() + time);
        match time {
            None => level.clone_into(&mut state.lasting),
            Some(time) => {
                let (this, change) = (self.clone(), state.change);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    this.revert(change);
                });
            }
        }
        Ok(())
    }

    fn revert(&self, change: u64) {
        let state = &mut *self.0.state.lock();
        if state.change != change {
            return;
        }
        let reverted = filter(&state.lasting).and_then(|filter| self.switch(filter, &state.lasting));
        if reverted.is_ok() {
            state.now.clone_from(&state.lasting);
            state.until = None;
        }
    }

    /// Says so while either of the two filters shows it.
    fn switch(&self, filter: EnvFilter, level: &str) -> Result<(), Error> {
        let shown = tracing::enabled!(tracing::Level::INFO);
        if shown {
            tracing::info!(filter = level, "the log level changes");
        }
        self.0.handle.reload(filter).map_err(|_| Error::NoLog)?;
        if !shown {
            tracing::info!(filter = level, "the log level has changed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    /// A level and the subscriber that it is the level of.
    fn level(start: &str) -> (LogLevel, impl tracing::Subscriber + Send + Sync) {
        use tracing_subscriber::Layer as _;
        let (filter, handle) = reload::Layer::new(filter(start).expect("a level"));
        let lines = fmt::layer().with_writer(std::io::sink).with_filter(filter);
        (
            LogLevel::new(start, handle),
            tracing_subscriber::registry().with(lines),
        )
    }

    #[test]
    fn a_change_is_in_force_at_once_and_a_bad_one_changes_nothing() {
        let (level, subscriber) = level("WARNING");
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            level.set("debug", None).expect("a level");
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            assert!(level.set("loud", None).is_err());
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            assert_eq!(level.shown().level, "debug");
        });
    }

    #[test]
    fn without_its_log_nothing_is_changed() {
        let (level, subscriber) = level("info");
        drop(subscriber);
        assert!(matches!(level.set("debug", None), Err(Error::NoLog)));
        assert_eq!(level.shown().level, "info");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_for_a_time_ends_and_a_newer_one_outlives_it() {
        let (level, _subscriber) = level("info");
        let minute = Duration::from_mins(1);
        level.set("warn", None).expect("a level");
        level.set("debug", Some(minute)).expect("a level");
        let shown = level.shown();
        assert_eq!(
            (shown.level.as_str(), shown.reverts_to.as_deref()),
            ("debug", Some("warn"))
        );
        tokio::time::sleep(minute / 2).await;
        level.set("trace", Some(minute)).expect("a level");
        tokio::time::sleep(minute * 3 / 4).await;
        assert_eq!(level.shown().level, "trace", "the first one's end is not its own");
        tokio::time::sleep(minute / 2).await;
        let back = Shown {
            level: "warn".to_owned(),
            reverts_to: None,
            reverts_in_seconds: None,
        };
        assert_eq!(level.shown(), back);
    }
}
