//! One session: the way to its stream, what the client said of itself, and its calls in flight.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use rmcp::{
    ServerHandler,
    model::{
        ClientCapabilities, ErrorCode, ErrorData, Implementation, InitializeRequestParams, JsonRpcError,
        ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerNotification,
    },
};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    asks::Waiting,
    session_id::{SessionId, unix_now},
    stream::event,
};
use crate::{
    mcp::{conversation::Client, resources::subscriptions::Hears},
    metrics::Metrics,
    saved::Listener,
};

/// Events waiting for the client to read.
pub(super) const BACKLOG: usize = 16;

/// Calls in flight. With the backlog this bounds what a session that is not read can hold.
pub(super) const MAX_CALLS: usize = 64;

/// How long an event may wait for room. A client that reads nothing for so long is gone, whatever TCP says.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its id is that of a call in flight.
    #[error("a request with this id is still being answered")]
    SameId,
    /// There are as many in flight as may be.
    #[error("{MAX_CALLS} requests of this session are still being answered; wait for some of them")]
    TooMany,
    /// The stream has as many events as may wait, and nobody reads them.
    #[error("the session's stream is not being read; read it, then try again")]
    Unread,
}

impl Refused {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::SameId => "same_id",
            Self::TooMany => "too_many",
            Self::Unread => "unread",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client closed the stream, or its connection broke.
    Client,
    /// The server is stopping, and its drain is over.
    Deadline,
    /// The server is stopping, and the session was silent for as long as it may be then.
    Idle,
    /// It was as old as a session may be.
    Expired,
    /// Its client went on with it over another stream.
    Resumed,
    /// The client did not read.
    Stalled,
    /// The client never said `initialize`.
    Uninitialized,
}

impl Ended {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Deadline => "deadline",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Resumed => "resumed",
            Self::Stalled => "stalled",
            Self::Uninitialized => "uninitialized",
        }
    }
}

/// A session. The stream ends when the last holder lets go: the table of sessions, then its calls in flight.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    outbox: mpsc::Sender<Bytes>,
    calls: Mutex<HashMap<RequestId, CancellationToken>>,
    waiting: Waiting,
    client: OnceLock<Box<InitializeRequestParams>>,
    end: Arc<End>,
    /// What it hears of saved jobs, once it wanted to.
    hears: OnceCell<Listener>,
    /// When a call last began or ended, in seconds since 1970.
    active: AtomicU64,
    metrics: Metrics,
}

/// The end of a session, which the stream shares without keeping the session.
#[derive(Debug, Default)]
pub struct End {
    cause: OnceLock<Ended>,
    token: CancellationToken,
}

impl End {
    /// Says why, unless that was said before.
    pub fn because(&self, cause: Ended) {
        let _ = self.cause.set(cause);
    }

    /// Ends the stream and every call at once.
    pub fn now(&self, cause: Ended) {
        self.because(cause);
        self.token.cancel();
    }

    /// Why; the client's doing, unless something else was said.
    #[must_use]
    pub fn cause(&self) -> Ended {
        self.cause.get().copied().unwrap_or(Ended::Client)
    }

    /// Cancelled at once with [`now`](Self::now).
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Session {
    /// A session, and what its stream reads. `client` is known already where a session goes on.
    #[must_use]
    pub fn new(
        id: SessionId,
        client: Option<InitializeRequestParams>,
        end: Arc<End>,
        metrics: Metrics,
    ) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (outbox, events) = mpsc::channel(BACKLOG);
        let session = Self {
            id,
            outbox,
            calls: Mutex::default(),
            waiting: Waiting::default(),
            client: client.map_or_else(OnceLock::new, |client| OnceLock::from(Box::new(client))),
            end,
            hears: OnceCell::new(),
            active: AtomicU64::new(unix_now()),
            metrics,
        };
        (Arc::new(session), events)
    }

    /// What its id says.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// How long no call of it has been in flight; `None` while one is.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        let silent = unix_now().saturating_sub(self.active.load(Ordering::Relaxed));
        self.calls
            .lock()
            .is_empty()
            .then_some(Duration::from_secs(silent))
    }

    /// Gives up the calls in flight: each is answered that it should be sent again.
    pub fn give_up(&self) {
        let calls: Vec<_> = self.calls.lock().drain().collect();
        for (id, token) in calls {
            let answer = JsonRpcError::new(Some(id), retry_error());
            if let Ok(json) = serde_json::to_string(&answer) {
                // Without room the client does not read, and would not read this either.
                let _ = self.outbox.try_send(event("message", &json));
            }
            token.cancel();
        }
    }

    /// Why and whether the session ended.
    #[must_use]
    pub fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// Notes what the client said of itself, with the version that `handler` will answer. A second
    /// `initialize` is answered too, but changes nothing.
    pub fn initialize(&self, handler: &impl ServerHandler, mut client: InitializeRequestParams) {
        if let Ok(answer) = handler.negotiate_initialize(&client) {
            client.protocol_version = answer.protocol_version;
            let _ = self.client.set(Box::new(client));
        }
    }

    /// Whether the client has said who it is, in this session or in the one that it goes on with.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.client.get().is_some()
    }

    /// What the client said of itself; until then, what every client of this transport can do.
    #[must_use]
    pub fn client(&self) -> InitializeRequestParams {
        self.client.get().map_or_else(
            || {
                InitializeRequestParams::new(ClientCapabilities::default(), Implementation::default())
                    .with_protocol_version(ProtocolVersion::V_2024_11_05)
            },
            |client| (**client).clone(),
        )
    }

    /// Takes a request on, if there is room for it and its answer.
    ///
    /// # Errors
    /// When there is not, or its id is taken.
    pub fn begin(self: &Arc<Self>, id: RequestId) -> Result<Call, Refused> {
        if self.outbox.capacity() == 0 {
            return Err(Refused::Unread);
        }
        let mut calls = self.calls.lock();
        if calls.len() >= MAX_CALLS {
            return Err(Refused::TooMany);
        }
        if calls.contains_key(&id) {
            return Err(Refused::SameId);
        }
        let token = self.end.token.child_token();
        calls.insert(id.clone(), token.clone());
        self.active.store(unix_now(), Ordering::Relaxed);
        self.metrics.sse.calls.inc();
        Ok(Call {
            session: Arc::clone(self),
            id,
            token,
            answered: AtomicBool::new(false),
        })
    }

    /// What its client wants to hear of, if anything.
    #[must_use]
    pub fn heard(&self) -> Option<Hears> {
        self.hears.get().map(|listener| listener.wants().into())
    }

    /// What its calls asked the client.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Puts an event on the stream, waiting for room if need be; false if it will never get there, because `until`
    /// came first, the stream is gone, or nobody reads it.
    async fn post(&self, event: Bytes, until: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = until.cancelled() => false,
            sent = tokio::time::timeout(STALL_LIMIT, self.outbox.send(event)) => {
                if sent.is_err() {
                    self.end.now(Ended::Stalled);
                } else if self.outbox.capacity() == 0 {
                    self.watch_reader();
                }
                matches!(sent, Ok(Ok(())))
            }
        }
    }

    /// Ends the session if its stream is full and stays so. Further requests are refused then, so no other event
    /// waits, whose time would run out.
    fn watch_reader(&self) {
        let (end, outbox) = (Arc::clone(&self.end), self.outbox.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = end.token().cancelled() => {}
                room = tokio::time::timeout(STALL_LIMIT, outbox.reserve()) => {
                    if room.is_err() {
                        end.now(Ended::Stalled);
                    }
                }
            }
        });
    }

    /// Cancels a call; the protocol asks that none of its answers follow.
    pub fn cancel(&self, id: &RequestId) {
        if let Some(token) = self.calls.lock().get(id) {
            token.cancel();
        }
    }
}

/// A call in flight; it stops being one when dropped.
#[derive(Debug)]
pub struct Call {
    session: Arc<Session>,
    id: RequestId,
    token: CancellationToken,
    answered: AtomicBool,
}

impl Call {
    /// Whose call it is.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Cancelled when the client cancels the call, or the session ends.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Its answer is on the stream: nothing more is owed.
    pub fn answered(&self) {
        // Once: its id is free afterwards, and may be that of another call by the time this one is dropped.
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.session.calls.lock().remove(&self.id);
        }
    }

    /// Puts an event on the stream, waiting for room if need be; false if it will never get there.
    pub async fn send(&self, event: Bytes) -> bool {
        self.session.post(event, &self.token).await
    }
}

impl Client for Session {
    fn tell(&self, notification: ServerNotification) -> BoxFuture<'_, bool> {
        async move {
            let message = ServerJsonRpcMessage::notification(notification);
            match serde_json::to_string(&message) {
                Ok(json) => self.post(event("message", &json), &self.end.token).await,
                Err(error) => {
                    tracing::error!(%error, "a message could not be written");
                    false
                }
            }
        }
        .boxed()
    }

    fn ended(&self) -> CancellationToken {
        self.end.token.clone()
    }

    fn hears(&self) -> &OnceCell<Listener> {
        &self.hears
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.answered();
        self.session.active.store(unix_now(), Ordering::Relaxed);
        self.session.metrics.sse.calls.dec();
    }
}

/// What a call is answered whose server stops before it is done.
#[must_use]
pub fn retry_error() -> ErrorData {
    ErrorData::new(
        ErrorCode(-32000),
        "this server is stopping, and the call was given up: send it again, and another one will answer",
        Some(serde_json::json!({ "retry": true })),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::session_id::Owner, *};
    use crate::http::principal::Principal;

    fn session() -> (Arc<Session>, mpsc::Receiver<Bytes>) {
        let owner = Owner {
            uid: [1; 16],
            address: None,
        };
        let id = SessionId::new(owner, Principal::ANONYMOUS).expect("an id");
        Session::new(id, None, Arc::default(), Metrics::new().0)
    }

    fn id(number: i64) -> RequestId {
        RequestId::Number(number)
    }

    #[test]
    fn ids_in_flight_are_unique_and_free_again_afterwards() {
        let (session, _events) = session();
        let call = session.begin(id(1)).expect("room");
        assert_eq!(session.begin(id(1)).err(), Some(Refused::SameId));
        drop(call);
        assert!(session.begin(id(1)).is_ok());
    }

    #[test]
    fn calls_in_flight_are_bounded() {
        let (session, _events) = session();
        let _calls: Vec<_> = (0..64)
            .map(|number| session.begin(id(number)).expect("room"))
            .collect();
        assert_eq!(session.begin(id(64)).err(), Some(Refused::TooMany));
    }

    #[tokio::test]
    async fn a_full_backlog_refuses_further_requests() {
        let (session, mut events) = session();
        let call = session.begin(id(1)).expect("room");
        for _ in 0..BACKLOG {
            assert!(call.send(Bytes::new()).await);
        }
        assert_eq!(session.begin(id(2)).err(), Some(Refused::Unread));
        events.recv().await.expect("an event");
        assert!(session.begin(id(2)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_loses_its_session() {
        let (session, _events) = session();
        let call = session.begin(id(1)).expect("room");
        for _ in 0..BACKLOG {
            assert!(call.send(Bytes::new()).await);
        }
        assert!(!call.send(Bytes::new()).await);
        assert_eq!(session.end().cause(), Ended::Stalled);
        assert!(session.end().token().is_cancelled());
    }

    /// Its stream is full, so nothing more is taken for it, and nothing waits.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_loses_its_session_although_nothing_waits() {
        let (session, mut events) = session();
        let call = session.begin(id(1)).expect("room");
        for _ in 0..BACKLOG {
            assert!(call.send(Bytes::new()).await);
        }
        tokio::time::sleep(STALL_LIMIT / 2).await;
        events.recv().await.expect("an event");
        tokio::time::sleep(STALL_LIMIT).await;
        assert!(!session.end().token().is_cancelled(), "it reads");
        assert!(call.send(Bytes::new()).await);
        drop(call);
        tokio::time::sleep(STALL_LIMIT / 2).await;
        assert_eq!(session.begin(id(2)).err(), Some(Refused::Unread));
        tokio::time::sleep(STALL_LIMIT).await;
        assert_eq!(session.end().cause(), Ended::Stalled);
    }

    #[tokio::test]
    async fn a_cancelled_call_sends_nothing_more() {
        let (session, mut events) = session();
        let call = session.begin(id(1)).expect("room");
        session.cancel(&id(1));
        assert!(!call.send(Bytes::from_static(b"late")).await);
        assert!(events.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_is_answered_once() {
        let (session, mut events) = session();
        let call = session.begin(id(7)).expect("room");
        session.give_up();
        let said = events.recv().await.expect("an event");
        let said = String::from_utf8(said.to_vec()).expect("text");
        assert!(
            said.contains(r#""id":7"#) && said.contains("send it again"),
            "{said}"
        );
        assert!(!call.send(Bytes::from_static(b"late")).await);
        let done = session.begin(id(8)).expect("room");
        assert!(done.send(Bytes::from_static(b"answer")).await);
        done.answered();
        session.give_up();
        assert_eq!(events.recv().await.as_deref(), Some(b"answer".as_slice()));
        assert!(events.try_recv().is_err());
    }
}
