//! The sessions of this process.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use rmcp::model::InitializeRequestParams;
use tokio::time::Instant;

use super::{
    departed::Departed,
    resumption::Resumption,
    sealed::NoRandom,
    session::{End, Ended, Session},
    session_id::{self, Owner, SessionId, SessionKey, SessionTag},
    stream::EventStream,
};
use crate::{
    http::principal::Principal,
    keyring::{Key, KeyRing},
    mcp::resources::subscriptions::Hears,
    metrics::Metrics,
};

/// A process that is younger may have taken the place of one that was killed, in the same pod: a session that it
/// does not know may be of that one.
const YOUNG: Duration = Duration::from_mins(1);

/// All open sessions, by their key.
#[derive(Debug)]
pub struct Sessions {
    owner: Owner,
    keys: KeyRing,
    table: Mutex<Table>,
    departed: Departed,
    started: Instant,
    limit: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<SessionKey, Arc<Session>>,
    /// Let go of, but with calls in flight.
    leaving: Vec<Weak<Session>>,
    closed: bool,
}

/// Who opens a session, and with what.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The path that the client came by, before ours: empty, or such as `/jobs`.
    pub base: &'a str,
    /// Whose session it will be.
    pub principal: Principal,
    /// What the client said of itself, where it is known already.
    pub client: Option<InitializeRequestParams>,
    /// What it wants to hear of, where that is known.
    pub hears: Option<Hears>,
    /// Whether it goes on with a session that it had.
    pub returns: bool,
}

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its stream.
    pub stream: EventStream,
    /// Its id, sealed.
    pub id: String,
    /// Itself.
    pub session: Weak<Session>,
    /// What stands for it where people look.
    pub tag: SessionTag,
}

/// Where a session is.
#[derive(Debug)]
pub enum Place {
    /// In this process, or it was.
    Here(SessionKey),
    /// On another replica, which sealed its id with that key.
    There(SessionId, Arc<Key>),
}

impl Place {
    /// What stands for the session where people look.
    #[must_use]
    pub fn tag(&self) -> SessionTag {
        SessionTag(match self {
            Self::Here(session) => *session,
            Self::There(id, _) => id.session,
        })
    }
}

/// A session of this process, or what became of it.
#[derive(Debug)]
pub enum Found {
    /// It is open.
    Session(Arc<Session>),
    /// It takes nothing new, but a call of it waits for an answer of the client.
    Asking(Arc<Session>),
    /// Its client has gone on with it, under this id.
    WentOn(Arc<str>),
}

/// Why no session could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There are as many as may be.
    #[error("all sessions of this server are taken; try again later, or use /mcp, which needs none")]
    Full,
    /// The server is stopping.
    #[error("this server is stopping; try again, and another one will answer")]
    Closed,
    /// The system has no random numbers.
    #[error("no session id could be made; try again")]
    Random,
}

impl OpenError {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Closed => "stopping",
            Self::Random => "random",
        }
    }
}

impl From<NoRandom> for OpenError {
    fn from(_: NoRandom) -> Self {
        Self::Random
    }
}

/// Why no session has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// It is not an id of ours, or too old.
    #[error(transparent)]
    Id(#[from] session_id::Error),
    /// It is somebody else's. Whoever holds it learns no more than of a made-up one.
    #[error("no session has this id: open a stream with GET /sse and use the address it names")]
    Principal,
    /// It is of a process that cannot be reached from here.
    #[error("this session lives on another replica, or has ended with it: open a new stream with GET /sse")]
    Foreign,
    /// It is, and its stream has ended.
    #[error("this session has ended with its stream: open a new one with GET /sse")]
    Ended,
}

impl FindError {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Id(session_id::Error::Forged) => "forged",
            Self::Id(session_id::Error::Expired) => "expired",
            Self::Principal => "principal",
            Self::Foreign => "foreign",
            Self::Ended => "ended",
        }
    }
}

impl Sessions {
    /// No session yet, and `limit` at most. Their ids say that `owner` has them.
    #[must_use]
    pub fn new(owner: Owner, keys: KeyRing, limit: usize, metrics: Metrics) -> Self {
        Self {
            owner,
            keys,
            table: Mutex::default(),
            departed: Departed::default(),
            started: Instant::now(),
            limit,
            metrics,
        }
    }

    /// Who this process is.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What clients' ids are sealed with.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Opens a session; it ends with its stream, whose first event names its address.
    ///
    /// # Errors
    /// When there is no room, or the server is stopping.
    pub fn open(self: &Arc<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let id = SessionId::new(self.owner, opening.principal)?;
        let sealed = id.seal(&self.keys)?;
        let kept = self.keep(&id, opening.client.as_ref(), opening.hears)?;
        let end = Arc::<End>::default();
        let (opened, events) = Session::new(id, opening.client, Arc::clone(&end), self.metrics.clone());
        {
            let mut table = self.table.lock();
            if table.closed {
                return Err(OpenError::Closed);
            }
            if table.open.len() >= self.limit {
                return Err(OpenError::Full);
            }
            table.open.insert(id.session, Arc::clone(&opened));
        }
        self.metrics.sse.opened.inc();
        self.metrics.sse.streams.inc();
        if opening.returns {
            self.metrics.sse.resumed.inc();
        }
        let lease = Lease {
            sessions: Arc::clone(self),
            id,
            end,
        };
        let endpoint = format!("{}/messages/?session_id={sealed}", opening.base);
        Ok(Opened {
            stream: EventStream::new(&endpoint, &kept, events, lease),
            id: sealed,
            session: Arc::downgrade(&opened),
            tag: SessionTag(id.session),
        })
    }

    /// What the client of a session keeps, to go on with it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn keep(
        &self,
        id: &SessionId,
        client: Option<&InitializeRequestParams>,
        hears: Option<Hears>,
    ) -> Result<String, NoRandom> {
        Resumption {
            before: *id,
            client: client.cloned(),
            hears,
        }
        .seal(&self.keys)
    }

    /// Where the session called `id` is, if it is `principal`'s.
    ///
    /// # Errors
    /// When there is none; counted by cause.
    pub fn locate(&self, id: &str, principal: Principal) -> Result<Place, FindError> {
        let located = SessionId::open(&self.keys.keys(), id)
            .map_err(FindError::from)
            .and_then(|(key, id)| {
                if id.principal != principal {
                    Err(FindError::Principal)
                } else if id.owner.uid == self.owner.uid {
                    Ok(Place::Here(id.session))
                } else {
                    Ok(Place::There(id, key))
                }
            });
        located.inspect_err(|error| self.refused(*error))
    }

    /// A session of this process; of one that has just left, where its client went on, which takes a moment.
    ///
    /// # Errors
    /// When there is none; counted by cause.
    pub async fn find(&self, session: &SessionKey, principal: Principal) -> Result<Found, FindError> {
        let (open, asking) = {
            let table = self.table.lock();
            let open = table.open.get(session).cloned();
            let asking = table.leaving.iter().filter_map(Weak::upgrade).find(|leaving| {
                let id = leaving.id();
                id.session == *session && id.principal == principal && !leaving.waiting().is_empty()
            });
            (open, asking)
        };
        if let Some(open) = open.filter(|open| open.id().principal == principal) {
            if !open.end().token().is_cancelled() {
                return Ok(Found::Session(open));
            }
            // Its connection may still be there, with nobody who reads it.
            let cause = open.end().cause();
            self.release(&[*session], cause);
        } else if let Some(asking) = asking {
            return Ok(Found::Asking(asking));
        }
        self.follow(session, principal).await
    }

    /// Where the client of a session of this process went on, which takes a moment.
    ///
    /// # Errors
    /// When it did not; counted by cause.
    pub async fn follow(&self, session: &SessionKey, principal: Principal) -> Result<Found, FindError> {
        if self.started.elapsed() < YOUNG {
            self.departed.left(session, principal);
        }
        self.departed
            .follow(session, principal)
            .await
            .map(Found::WentOn)
            .ok_or(FindError::Ended)
            .inspect_err(|error| self.refused(*error))
    }

    /// Where the client of a session went on whose replica is gone, which takes a moment.
    pub async fn orphan(&self, session: &SessionKey, principal: Principal) -> Option<Arc<str>> {
        self.departed.left(session, principal);
        self.departed.follow(session, principal).await
    }

    /// Counts a message for a session that is not here.
    pub fn refused(&self, error: FindError) {
        self.metrics
            .sse
            .refused
            .get_or_create(&vec![("cause", error.category())])
            .inc();
    }

    /// The client of a session of ours has gone on with it elsewhere, as `now`; whether we had it lately.
    pub fn went_on(&self, session: &SessionKey, principal: Principal, now: &str) -> bool {
        // Its old stream may seem open still, where a connection broke without a word.
        if self
            .table
            .lock()
            .open
            .get(session)
            .is_some_and(|open| open.id().principal == principal)
        {
            self.release(&[*session], Ended::Resumed);
        }
        self.departed.went_on(session, principal, now)
    }

    /// Opens no more.
    pub fn refuse_new(&self) {
        self.table.lock().closed = true;
    }

    /// Lets go of these: each stream ends when its calls in flight are answered.
    pub fn release(&self, sessions: &[SessionKey], cause: Ended) {
        let mut released = Vec::with_capacity(sessions.len());
        {
            let mut table = self.table.lock();
            table.leaving.retain(|session| session.strong_count() > 0);
            for session in sessions
                .iter()
                .filter_map(|key| table.open.remove(key))
                .collect::<Vec<_>>()
            {
                session.end().because(cause);
                self.departed.left(&session.id().session, session.id().principal);
                table.leaving.push(Arc::downgrade(&session));
                released.push(session);
            }
        }
        // Dropped outside the lock: the last holder's own drop takes time.
        drop(released);
    }

    /// Lets go of those without a call for `limit`.
    pub fn release_idle(&self, limit: Duration) {
        let idle: Vec<_> = {
            let table = self.table.lock();
            let idle = table
                .open
                .values()
                .filter(|session| session.idle().is_some_and(|idle| idle >= limit));
            idle.map(|session| session.id().session).collect()
        };
        self.release(&idle, Ended::Idle);
    }

    /// Gives up the calls that are still in flight in sessions that were let go of.
    pub fn give_up(&self) {
        let leaving = std::mem::take(&mut self.table.lock().leaving);
        for session in leaving.iter().filter_map(Weak::upgrade) {
            session.give_up();
        }
    }

    /// The sessions that are open.
    #[must_use]
    pub fn open_now(&self) -> Vec<SessionKey> {
        self.table.lock().open.keys().copied().collect()
    }

    /// How many streams are open, those included whose last calls are being answered.
    #[must_use]
    pub fn streams(&self) -> i64 {
        self.metrics.sse.streams.get()
    }
}

/// What a stream holds of its session: dropping it, as a broken connection does, ends the session.
#[derive(Debug)]
pub struct Lease {
    sessions: Arc<Sessions>,
    id: SessionId,
    end: Arc<End>,
}

impl Lease {
    /// The session's end.
    #[must_use]
    pub fn end(&self) -> &End {
        &self.end
    }

    /// Ends the session if its client has not said `initialize`.
    pub fn give_up_waiting(&self) {
        let session = self.sessions.table.lock().open.get(&self.id.session).cloned();
        if session.is_some_and(|session| !session.is_initialized()) {
            self.sessions.release(&[self.id.session], Ended::Uninitialized);
        }
    }

    /// Ends the session if it is as old as one may be.
    pub fn grow_old(&self) {
        if self.id.expired() {
            self.sessions.release(&[self.id.session], Ended::Expired);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock: the last holder's own drop takes time.
        let removed = self.sessions.table.lock().open.remove(&self.id.session);
        if removed.is_some() {
            self.sessions.departed.left(&self.id.session, self.id.principal);
        }
        drop(removed);
        let cause = self.end.cause();
        self.end.now(cause);
        self.sessions.metrics.sse.streams.dec();
        self.sessions
            .metrics
            .sse
            .ended
            .get_or_create(&vec![("cause", cause.category())])
            .inc();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const OTHER: Principal = Principal::from_bytes([9; 16]);

    pub(in super::super) fn sessions(limit: usize) -> Arc<Sessions> {
        let owner = Owner {
            uid: [1; 16],
            address: None,
        };
        let keys = KeyRing::random().expect("a key");
        Arc::new(Sessions::new(owner, keys, limit, Metrics::new().0))
    }

    pub(in super::super) fn anybody() -> Opening<'static> {
        Opening {
            base: "",
            principal: Principal::ANONYMOUS,
            client: None,
            hears: None,
            returns: false,
        }
    }

    fn here(place: &Place) -> SessionKey {
        match place {
            Place::Here(key) => *key,
            Place::There(..) => panic!("it is ours"),
        }
    }

    #[tokio::test]
    async fn the_cap_holds_and_an_ended_stream_makes_room() {
        let sessions = sessions(1);
        let first = sessions.open(anybody()).expect("room");
        assert_eq!(sessions.open(anybody()).err(), Some(OpenError::Full));
        drop(first);
        assert_eq!(sessions.streams(), 0);
        assert!(sessions.open(anybody()).is_ok());
    }

    #[tokio::test]
    async fn a_closed_table_opens_nothing_and_keeps_what_is_open() {
        let sessions = sessions(10);
        let opened = sessions.open(anybody()).expect("room");
        sessions.refuse_new();
        assert_eq!(sessions.open(anybody()).err(), Some(OpenError::Closed));
        let key = here(&sessions.locate(&opened.id, Principal::ANONYMOUS).expect("ours"));
        assert!(matches!(
            sessions.find(&key, Principal::ANONYMOUS).await,
            Ok(Found::Session(_))
        ));
    }

    #[tokio::test]
    async fn a_session_is_there_for_its_principal_alone() {
        let sessions = sessions(10);
        let opened = sessions.open(anybody()).expect("room");
        let key = here(&sessions.locate(&opened.id, Principal::ANONYMOUS).expect("ours"));
        assert_eq!(
            sessions.locate(&opened.id, OTHER).err(),
            Some(FindError::Principal)
        );
        assert!(sessions.find(&key, OTHER).await.is_err());
        assert_eq!(
            FindError::Principal.to_string(),
            FindError::Id(session_id::Error::Forged).to_string(),
            "nothing is told apart"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_session_says_so_unless_its_client_goes_on() {
        let sessions = sessions(10);
        let opened = sessions.open(anybody()).expect("room");
        let key = here(&sessions.locate(&opened.id, Principal::ANONYMOUS).expect("ours"));
        drop(opened);
        let found = sessions.find(&key, Principal::ANONYMOUS).await;
        assert_eq!(found.err(), Some(FindError::Ended));
        assert!(sessions.went_on(&key, Principal::ANONYMOUS, "there"));
        assert!(matches!(
            sessions.find(&key, Principal::ANONYMOUS).await,
            Ok(Found::WentOn(id)) if &*id == "there"
        ));
    }

    #[tokio::test]
    async fn idle_sessions_can_be_let_go_of_and_busy_ones_stay() {
        let sessions = sessions(10);
        let opened = sessions.open(anybody()).expect("room");
        sessions.release_idle(Duration::from_hours(1));
        assert_eq!(sessions.open_now().len(), 1);
        let key = here(&sessions.locate(&opened.id, Principal::ANONYMOUS).expect("ours"));
        let Ok(Found::Session(session)) = sessions.find(&key, Principal::ANONYMOUS).await else {
            panic!("it is open")
        };
        let call = session.begin(rmcp::model::RequestId::Number(1)).expect("room");
        sessions.release_idle(Duration::ZERO);
        assert_eq!(sessions.open_now().len(), 1, "a call is in flight");
        drop(call);
        sessions.release_idle(Duration::ZERO);
        assert_eq!(sessions.open_now().len(), 0);
        assert_eq!(session.end().cause(), Ended::Idle);
    }
}
