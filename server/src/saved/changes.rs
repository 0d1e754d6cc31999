//! Word of what changes among saved postings, for those who listen.
//!
//! What changed is seen in the files: after each save of this process, and every two seconds, since another
//! process may have saved on the same volume. Nothing is looked at while nobody listens.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    error::Error,
    key::JobKey,
    store::{MOST_JOBS, Stamp, Store},
};
use crate::http::principal::Principal;

/// How often the files are looked at.
const TICK: Duration = Duration::from_secs(2);

/// File systems write times in steps: a folder that was touched so lately may be touched again without a trace.
const COARSE: Duration = Duration::from_secs(2);

/// Those who may listen at a time.
const MOST_LISTENERS: usize = 10_000;

/// Who listens to what.
#[derive(Debug)]
pub(super) struct Changes {
    store: Arc<Store>,
    state: Mutex<State>,
    /// One look at a time, so that an older one is never taken for news.
    looking: tokio::sync::Mutex<()>,
    ending: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<Principal, Watched>,
    listeners: usize,
    ticking: bool,
}

/// One owner's files as they were seen last, and who wants to know.
#[derive(Debug, Default)]
struct Watched {
    seen: Seen,
    ears: Vec<Weak<Ear>>,
}

#[derive(Debug, Default)]
struct Seen {
    touched: Option<SystemTime>,
    stamps: BTreeMap<JobKey, Stamp>,
}

/// What is new for a listener. The same twice is one piece of news.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// A posting was added or removed.
    pub list: bool,
    /// The postings that came, went or changed, under the names that the listener gave them.
    pub jobs: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Ear {
    wants: Mutex<Wants>,
    heard: Mutex<News>,
    wake: Notify,
}

/// What a listener wants to hear of.
#[derive(Debug, Default, Clone)]
pub struct Wants {
    /// Postings that come or go.
    pub list: bool,
    /// Postings that come, go or change, under the names that news of them shall have.
    pub jobs: HashMap<String, JobKey>,
}

/// Hears what changes among one owner's postings, as far as it asked; dropping the last clone stops it.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Registered>);

#[derive(Debug)]
struct Registered {
    ear: Arc<Ear>,
    changes: Arc<Changes>,
}

/// Why somebody cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// As many do as may.
    #[error("too many clients listen for changes already; try again later")]
    TooMany,
    /// The postings cannot be looked at.
    #[error(transparent)]
    Store(#[from] Error),
}

impl ListenError {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Store(error) => error.category(),
        }
    }
}

impl Changes {
    /// Nobody listens yet. At `ending` the looking ends.
    pub(super) fn new(store: Arc<Store>, ending: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            ending,
        })
    }

    /// Cancelled when nobody can listen any more.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Listens to what happens to `owner`'s postings from now on. With `since`, what happened from then on is
    /// news too, and perhaps a little of what was before.
    pub(super) async fn listen(
        self: &Arc<Self>,
        owner: Principal,
        wants: Wants,
        since: Option<SystemTime>,
    ) -> Result<Listener, ListenError> {
        {
            let mut state = self.state.lock();
            if state.listeners >= MOST_LISTENERS {
                return Err(ListenError::TooMany);
            }
            state.listeners += 1;
        }
        // From here on its drop counts it out.
        let ear = Arc::new(Ear {
            wants: Mutex::new(wants),
            ..Ear::default()
        });
        let listener = Listener(Arc::new(Registered {
            ear: Arc::clone(&ear),
            changes: Arc::clone(self),
        }));
        let _alone = self.looking.lock().await;
        let seen = self.look(owner).await?;
        let recent = since.map(|since| seen.since(since));
        // First to those who listen already: the new one has not missed it.
        self.tell(owner, seen);
        let mut state = self.state.lock();
        state
            .watched
            .entry(owner)
            .or_default()
            .ears
            .push(Arc::downgrade(&ear));
        if !std::mem::replace(&mut state.ticking, true) {
            tokio::spawn(tick(Arc::downgrade(self), self.ending.clone()));
        }
        drop(state);
        if let Some((list, changed)) = recent {
            ear.hear(list, &changed);
        }
        Ok(listener)
    }

    /// Looks whether something changed among `owner`'s postings, if somebody listens.
    pub(super) async fn check(&self, owner: Principal) {
        if !self.state.lock().watched.contains_key(&owner) {
            return;
        }
        let _alone = self.looking.lock().await;
        match self.look(owner).await {
            Ok(now) => self.tell(owner, now),
            Err(error) => tracing::debug!(%error, "saved jobs could not be looked at"),
        }
    }

    /// Whether anything is looked at.
    #[cfg(test)]
    pub(super) fn is_watching(&self) -> bool {
        let state = self.state.lock();
        state.ticking || state.listeners > 0 || !state.watched.is_empty()
    }

    async fn look(&self, owner: Principal) -> Result<Seen, Error> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            // The time first: what happens between the two is seen again at the next look.
            let touched = store.touched(owner);
            let stamps = store.stamps(owner)?;
            Ok(Seen { touched, stamps })
        })
        .await?
    }

    fn tell(&self, owner: Principal, now: Seen) {
        let mut state = self.state.lock();
        let watched = state.watched.entry(owner).or_default();
        let (list, changed) = watched.seen.difference(&now);
        watched.seen = now;
        if changed.is_empty() {
            return;
        }
        for ear in watched.ears.iter().filter_map(Weak::upgrade) {
            ear.hear(list, &changed);
        }
    }

    /// The owners whose folders may have changed since they were seen, without those that nobody listens to;
    /// `None` when nobody listens at all.
    async fn stale(&self) -> Option<Vec<Principal>> {
        let watched: Vec<_> = {
            let mut state = self.state.lock();
            state.watched.retain(|_, watched| {
                watched.ears.retain(|ear| ear.strong_count() > 0);
                !watched.ears.is_empty()
            });
            // Under the same lock: whoever comes now sees that nobody looks around any more.
            state.ticking = !state.watched.is_empty();
            if !state.ticking {
                return None;
            }
            let owners = state.watched.iter();
            owners
                .map(|(owner, watched)| (*owner, watched.seen.touched))
                .collect()
        };
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let stale = watched.into_iter().filter(|(owner, seen)| {
                let touched = store.touched(*owner);
                touched != *seen || touched.is_some_and(|at| at.elapsed().is_ok_and(|age| age < COARSE * 2))
            });
            stale.map(|(owner, _)| owner).collect()
        })
        .await
        .ok()
    }
}

/// Looks around until nobody listens.
async fn tick(changes: Weak<Changes>, ending: CancellationToken) {
    while ending
        .run_until_cancelled(tokio::time::sleep(TICK))
        .await
        .is_some()
    {
        let Some(changes) = changes.upgrade() else { return };
        let Some(stale) = changes.stale().await else {
            return;
        };
        for owner in stale {
            changes.check(owner).await;
        }
    }
}

impl Seen {
    /// Whether postings came or went until `now`, and all that came, went or changed.
    fn difference(&self, now: &Self) -> (bool, BTreeSet<JobKey>) {
        let (before, after) = (&self.stamps, &now.stamps);
        let list = before.len() != after.len() || before.keys().any(|key| !after.contains_key(key));
        let gone = before.keys().filter(|key| !after.contains_key(key));
        let other = after
            .iter()
            .filter(|(key, stamp)| before.get(key) != Some(stamp))
            .map(|(key, _)| key);
        (list, gone.chain(other).copied().collect())
    }
}

impl Seen {
    /// What was touched at `since` or later, in the same form.
    fn since(&self, since: SystemTime) -> (bool, BTreeSet<JobKey>) {
        let recent = |at: Option<SystemTime>| at.is_some_and(|at| at >= since);
        let changed = self.stamps.iter().filter(|(_, stamp)| recent(stamp.modified()));
        (recent(self.touched), changed.map(|(key, _)| *key).collect())
    }
}

impl Ear {
    fn hear(&self, list: bool, changed: &BTreeSet<JobKey>) {
        let wants = self.wants.lock();
        let jobs = wants.jobs.iter().filter(|(_, key)| changed.contains(key));
        let mut heard = self.heard.lock();
        heard.list |= list && wants.list;
        heard.jobs.extend(jobs.map(|(name, _)| name.clone()));
        if heard.list || !heard.jobs.is_empty() {
            self.wake.notify_one();
        }
    }
}

impl Listener {
    /// Wants to hear of postings that come or go.
    pub fn want_list(&self) {
        self.0.ear.wants.lock().list = true;
    }

    /// Wants to hear of a posting; false if it wants to hear of too many already.
    #[must_use]
    pub fn want(&self, name: &str, key: JobKey) -> bool {
        let jobs = &mut self.0.ear.wants.lock().jobs;
        if jobs.len() >= MOST_JOBS && !jobs.contains_key(name) {
            return false;
        }
        jobs.insert(name.to_owned(), key);
        true
    }

    /// What it wants to hear of.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.0.ear.wants.lock().clone()
    }

    /// Wants to hear of it no more.
    pub fn unwant(&self, name: &str) {
        self.0.ear.wants.lock().jobs.remove(name);
        self.0.ear.heard.lock().jobs.remove(name);
    }

    /// The next news. Nothing is lost where the future is dropped.
    pub async fn next(&self) -> News {
        loop {
            // One permit is kept: news that came meanwhile wakes at once.
            if let Some(news) = self.0.take() {
                return news;
            }
            self.0.ear.wake.notified().await;
        }
    }
}

impl Registered {
    fn take(&self) -> Option<News> {
        let mut heard = self.ear.heard.lock();
        let some = heard.list || !heard.jobs.is_empty();
        some.then(|| std::mem::take(&mut *heard))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.changes.state.lock().listeners -= 1;
    }
}
