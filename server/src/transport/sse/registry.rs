//! The sessions of this process.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    session::{End, Ended, Session},
    session_id::{self, Sealer, SessionKey},
    stream::EventStream,
};
use crate::metrics::Metrics;

/// All open sessions, by their key.
#[derive(Debug)]
pub struct Sessions {
    sealer: Sealer,
    table: Mutex<Table>,
    limit: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<SessionKey, Arc<Session>>,
    closed: bool,
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

/// Why no session has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// It is not an id of this process.
    #[error(transparent)]
    Id(#[from] session_id::Error),
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
            Self::Id(session_id::Error::Foreign) => "foreign",
            Self::Ended => "ended",
        }
    }
}

impl Sessions {
    /// No session yet, and `limit` at most.
    #[must_use]
    pub fn new(sealer: Sealer, limit: usize, metrics: Metrics) -> Self {
        Self {
            sealer,
            table: Mutex::default(),
            limit,
            metrics,
        }
    }

    /// Opens a session; it ends with its stream, whose first event names an address below `base` (empty, or
    /// a path such as `/jobs`).
    ///
    /// # Errors
    /// When there is no room, or the server is stopping.
    pub fn open(self: &Arc<Self>, base: &str) -> Result<EventStream, OpenError> {
        let (key, id) = self.sealer.seal().map_err(|_| OpenError::Random)?;
        let end = Arc::<End>::default();
        let (session, events) = Session::new(Arc::clone(&end));
        {
            let mut table = self.table.lock();
            if table.closed {
                return Err(OpenError::Closed);
            }
            if table.open.len() >= self.limit {
                return Err(OpenError::Full);
            }
            table.open.insert(key, session);
        }
        self.metrics.sessions_opened.inc();
        self.metrics.streams_open.inc();
        Ok(EventStream::new(
            &format!("{base}/messages/?session_id={id}"),
            events,
            Lease {
                sessions: Arc::clone(self),
                key,
                end,
            },
        ))
    }

    /// The session called `id`.
    ///
    /// # Errors
    /// When there is none; counted by cause.
    pub fn find(&self, id: &str) -> Result<Arc<Session>, FindError> {
        let found = self
            .sealer
            .open(id)
            .map_err(FindError::from)
            .and_then(|key| self.table.lock().open.get(&key).cloned().ok_or(FindError::Ended));
        if let Err(error) = &found {
            self.metrics
                .sessions_refused
                .get_or_create(&vec![("cause", error.category())])
                .inc();
        }
        found
    }

    /// Opens no more, and lets go of all: each stream ends when its calls in flight are answered.
    pub fn close(&self) {
        let open = {
            let mut table = self.table.lock();
            table.closed = true;
            std::mem::take(&mut table.open)
        };
        for session in open.values() {
            session.end().because(Ended::Shutdown);
        }
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().open.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a stream holds of its session: dropping it, as a broken connection does, ends the session.
#[derive(Debug)]
pub struct Lease {
    sessions: Arc<Sessions>,
    key: SessionKey,
    end: Arc<End>,
}

impl Lease {
    /// The session's end.
    #[must_use]
    pub fn end(&self) -> &End {
        &self.end
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock: the last holder's own drop takes time.
        let removed = self.sessions.table.lock().open.remove(&self.key);
        drop(removed);
        let cause = self.end.cause();
        self.end.now(cause);
        self.sessions.metrics.streams_open.dec();
        self.sessions
            .metrics
            .sessions_ended
            .get_or_create(&vec![("cause", cause.category())])
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(limit: usize) -> Arc<Sessions> {
        let sealer = Sealer::new(None).expect("a sealer");
        Arc::new(Sessions::new(sealer, limit, Metrics::new().0))
    }

    #[tokio::test]
    async fn the_cap_holds_and_an_ended_stream_makes_room() {
        let sessions = sessions(1);
        let first = sessions.open("").expect("room");
        assert_eq!(sessions.open("").err(), Some(OpenError::Full));
        drop(first);
        assert!(sessions.is_empty());
        assert!(sessions.open("").is_ok());
    }

    #[tokio::test]
    async fn a_closed_table_opens_nothing() {
        let sessions = sessions(10);
        let _stream = sessions.open("").expect("room");
        sessions.close();
        assert!(sessions.is_empty());
        assert_eq!(sessions.open("").err(), Some(OpenError::Closed));
    }

    #[test]
    fn an_ended_session_says_so() {
        let sessions = sessions(10);
        let (_, id) = sessions.sealer.seal().expect("sealed");
        assert_eq!(sessions.find(&id).err(), Some(FindError::Ended));
        assert_eq!(
            sessions.find("made-up").err().map(FindError::category),
            Some("forged")
        );
    }
}
