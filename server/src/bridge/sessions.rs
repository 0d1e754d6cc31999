//! The sessions of this process: bounded in number, and ended when they are silent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    child::{NotStarted, Nursery},
    session::{Cause, Session, Way},
};
use crate::{
    drain::Live,
    hex,
    http::principal::Principal,
    transport::sse::{random, session::Ended},
};

/// How long a client may take until it says `initialize`.
const INITIALIZE_WITHIN: Duration = Duration::from_secs(30);
/// How often silent sessions are looked for, at most.
const SWEEP: Duration = Duration::from_secs(5);

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error(
        "{0} sessions are open, each with a process of its own, and no more may be; try again later, or allow more with --max-sessions"
    )]
    Full(usize),
    #[error("this server is stopping: try again, and another one will answer")]
    Stopping,
    #[error("no session id can be made: the system gives no randomness")]
    NoRandom,
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
}

impl NotOpened {
    pub(super) const fn category(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Stopping => "stopping",
            Self::NoRandom => "random",
            Self::NotStarted(_) => "not_started",
        }
    }
}

/// The sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    nursery: Nursery,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<String, Arc<Session>>,
    /// Sessions that are over, whose processes are not.
    ending: usize,
    closed: bool,
}

impl Sessions {
    pub(super) fn new(nursery: Nursery, most: usize) -> Self {
        Self {
            nursery,
            most,
            table: Mutex::default(),
        }
    }

    /// Opens one, with a process of its own.
    pub(super) fn open(self: &Arc<Self>, principal: Principal, way: Way) -> Result<Arc<Session>, NotOpened> {
        self.begin(principal, way).inspect_err(|refused| {
            let labels = vec![("cause", refused.category())];
            self.nursery.metrics.refused.get_or_create(&labels).inc();
        })
    }

    fn begin(self: &Arc<Self>, principal: Principal, way: Way) -> Result<Arc<Session>, NotOpened> {
        let id = hex::encode(&random::<16>().map_err(|_| NotOpened::NoRandom)?);
        let mut table = self.table.lock();
        if table.closed {
            return Err(NotOpened::Stopping);
        }
        if table.open.len() + table.ending >= self.most {
            return Err(NotOpened::Full(self.most));
        }
        let (child, lines) = self.nursery.start(&id[..8])?;
        let session = Arc::new(Session::new(id.clone(), principal, way, child));
        table.open.insert(id, Arc::clone(&session));
        drop(table);
        self.nursery.metrics.sessions.inc();
        self.nursery
            .tasks
            .spawn(Arc::clone(self).live(Arc::clone(&session), lines));
        Ok(session)
    }

    async fn live(self: Arc<Self>, session: Arc<Session>, lines: mpsc::Receiver<Bytes>) {
        session.pass_on(lines, INITIALIZE_WITHIN).await;
        {
            let mut table = self.table.lock();
            table.open.remove(&session.id);
            table.ending += 1;
        }
        session.gone().await;
        self.table.lock().ending -= 1;
        self.nursery.metrics.sessions.dec();
        let cause = session.cause().category();
        let labels = vec![("cause", cause)];
        self.nursery.metrics.sessions_ended.get_or_create(&labels).inc();
        tracing::debug!(session = session.id.get(..8), cause, "a session ended");
    }

    /// The one called `id`, if it is `principal`'s.
    pub(super) fn find(&self, id: &str, principal: Principal, way: Way) -> Option<Arc<Session>> {
        let found = self.table.lock().open.get(id).cloned();
        found.filter(|session| {
            session.principal == principal && session.way == way && !session.over().is_cancelled()
        })
    }

    /// Ends those that are silent for `limit`, until `stop`.
    pub(super) async fn sweep(&self, limit: Duration, stop: CancellationToken) {
        let mut pace = tokio::time::interval(SWEEP.min(limit));
        while stop.run_until_cancelled(pace.tick()).await.is_some() {
            for session in self.all() {
                let silent = session.silent().is_some_and(|silent| silent >= limit);
                if session.way == Way::Streamable && silent {
                    session.end(Cause::Idle);
                }
            }
        }
    }

    /// Ends all.
    pub(super) fn end(&self) {
        self.table.lock().closed = true;
        for session in self.all() {
            session.end(Cause::Stopping);
        }
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.table.lock().open.values().cloned().collect()
    }
}

impl Live for Sessions {
    type Key = String;

    fn streams(&self) -> i64 {
        let busy = self.all().iter().filter(|session| session.is_busy()).count();
        i64::try_from(busy).unwrap_or(i64::MAX)
    }

    fn refuse_new(&self) {
        self.table.lock().closed = true;
    }

    fn release_idle(&self, limit: Duration) {
        for session in self.all() {
            if session.silent().is_some_and(|silent| silent >= limit) {
                session.leave(Cause::Stopping);
            }
        }
    }

    fn open_now(&self) -> Vec<String> {
        self.table.lock().open.keys().cloned().collect()
    }

    fn release(&self, sessions: &[String], _: Ended) {
        for id in sessions {
            let found = self.table.lock().open.get(id).cloned();
            if let Some(session) = found {
                session.leave(Cause::Stopping);
            }
        }
    }

    fn give_up(&self) {
        for session in self.all() {
            session.end(Cause::Stopping);
        }
    }
}
