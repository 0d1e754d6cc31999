//! Sessions that have just left this process: a message that comes a moment late is held until the client is
//! back on some replica, and then goes there.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::session_id::SessionKey;
use crate::http::principal::Principal;

/// How long a session that left is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How long a message for one waits for its client to come back: a client waits for `retry`, under a second,
/// and then connects.
pub const HOLD: Duration = Duration::from_secs(2);

/// Sessions that are remembered.
const MOST: usize = 50_000;

/// Messages that may wait at a time.
const HELD: usize = 1024;

/// Sessions that left.
#[derive(Debug, Default)]
pub(super) struct Departed {
    table: Mutex<Table>,
    news: Notify,
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    gone: HashMap<SessionKey, Gone>,
    order: VecDeque<(Instant, SessionKey)>,
}

#[derive(Debug)]
struct Gone {
    principal: Principal,
    now: Option<Arc<str>>,
}

impl Departed {
    /// Notes that a session left.
    pub(super) fn left(&self, session: &SessionKey, principal: Principal) {
        self.table.lock().entry(session, principal);
    }

    /// Notes that the client of a session went on as `now`; says whether that session was known to have left. It is
    /// noted in any case: a message for it may be on its way here.
    pub(super) fn went_on(&self, session: &SessionKey, principal: Principal, now: &str) -> bool {
        let known = {
            let mut table = self.table.lock();
            let known = table.gone.contains_key(session);
            let gone = table.entry(session, principal);
            if gone.principal == principal {
                gone.now = Some(now.into());
            }
            known
        };
        self.news.notify_waiters();
        known
    }

    /// The session's id now, as soon as its client is back; `None` for a session that did not leave lately, and
    /// for a client that does not come.
    pub(super) async fn follow(&self, session: &SessionKey, principal: Principal) -> Option<Arc<str>> {
        let _place = Place::take(&self.held)?;
        tokio::time::timeout(HOLD, async {
            loop {
                // Before the look: news between look and wait must wake us.
                let news = self.news.notified();
                match self.look(session, principal) {
                    None => return None,
                    Some(Some(now)) => return Some(now),
                    Some(None) => news.await,
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    #[expect(
        clippy::option_option,
        reason = "a session that left, and where it is now, if its client is back"
    )]
    fn look(&self, session: &SessionKey, principal: Principal) -> Option<Option<Arc<str>>> {
        let table = self.table.lock();
        let gone = table
            .gone
            .get(session)
            .filter(|gone| gone.principal == principal)?;
        Some(gone.now.clone())
    }
}

impl Table {
    /// The entry of a session, new if need be; those that are too old are forgotten.
    fn entry(&mut self, session: &SessionKey, principal: Principal) -> &mut Gone {
        let now = Instant::now();
        while let Some((at, key)) = self.order.front().copied()
            && (now.duration_since(at) > REMEMBERED || self.order.len() > MOST)
        {
            self.order.pop_front();
            self.gone.remove(&key);
        }
        self.gone.entry(*session).or_insert_with(|| {
            self.order.push_back((now, *session));
            Gone { principal, now: None }
        })
    }
}
/// A place among the messages that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(held: &'a AtomicUsize) -> Option<Self> {
        let place = Self(held);
        // Given back by its drop, also when there was none.
        (held.fetch_add(1, Ordering::Relaxed) < HELD).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::session_id::{Owner, SessionId},
        *,
    };

    fn id() -> SessionId {
        let owner = Owner {
            uid: [1; 16],
            address: None,
        };
        SessionId::new(owner, Principal::ANONYMOUS).expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_for_the_client_and_no_longer() {
        let departed = Arc::new(Departed::default());
        let id = id();
        assert_eq!(
            departed.follow(&id.session, id.principal).await,
            None,
            "never here"
        );
        departed.left(&id.session, id.principal);
        let start = Instant::now();
        assert_eq!(departed.follow(&id.session, id.principal).await, None);
        assert_eq!(start.elapsed().as_secs(), HOLD.as_secs());

        let waiting = tokio::spawn({
            let departed = Arc::clone(&departed);
            async move { departed.follow(&id.session, id.principal).await }
        });
        tokio::task::yield_now().await;
        assert!(departed.went_on(&id.session, id.principal, "there"));
        assert_eq!(waiting.await.expect("ran").as_deref(), Some("there"));
        assert_eq!(
            departed.follow(&id.session, id.principal).await.as_deref(),
            Some("there")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_else_learns_or_says_where_it_went() {
        let (departed, id, other) = (Departed::default(), id(), Principal::from_bytes([7; 16]));
        departed.left(&id.session, id.principal);
        departed.went_on(&id.session, other, "elsewhere");
        assert!(departed.went_on(&id.session, id.principal, "there"));
        assert_eq!(departed.follow(&id.session, other).await, None);
        assert_eq!(
            departed.follow(&id.session, id.principal).await.as_deref(),
            Some("there")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn news_may_come_before_the_message() {
        let (departed, id) = (Departed::default(), id());
        assert!(
            !departed.went_on(&id.session, id.principal, "there"),
            "not one of ours"
        );
        departed.left(&id.session, id.principal);
        assert_eq!(
            departed.follow(&id.session, id.principal).await.as_deref(),
            Some("there")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn old_ones_are_forgotten_and_waiting_is_bounded() {
        let departed = Departed::default();
        let first = id();
        departed.left(&first.session, first.principal);
        tokio::time::advance(REMEMBERED * 2).await;
        departed.left(&id().session, Principal::ANONYMOUS);
        assert_eq!(departed.table.lock().gone.len(), 1);
        let places: Vec<_> = (0..HELD)
            .map(|_| Place::take(&departed.held).expect("a place"))
            .collect();
        assert!(Place::take(&departed.held).is_none());
        drop(places);
        assert!(Place::take(&departed.held).is_some());
    }
}
