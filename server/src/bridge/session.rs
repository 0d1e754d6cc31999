//! One session: a client, and a process of the program for it alone. Messages pass between them as they are.
//!
//! Over Streamable HTTP an answer goes to the POST that asked, and so does its progress. What belongs to no request goes
//! to the stream that the client opened by GET; where there is none, to a request in flight; where there is none either,
//! it waits for one of them. Over HTTP+SSE everything goes to the stream.

use std::{
    collections::{HashMap, VecDeque},
    sync::OnceLock,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rmcp::model::RequestId;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    child::{Busy, Child},
    message::{self, Kind, Message, SERVER_ERROR, written},
};
use crate::{
    http::principal::Principal,
    transport::sse::session::{STALL_LIMIT, retry_error},
};

/// Requests in flight.
const MAX_CALLS: usize = 64;
/// Messages for a request's stream, beside its answer, that may wait to be read.
pub(super) const EVENTS: usize = 32;
/// Messages for no request that wait for a stream, and as many that wait to be read from it.
const KEPT: usize = 64;
/// Room in a stream.
pub(super) const STREAM: usize = 2 * KEPT;
/// A session over Streamable HTTP that has no stream and was silent for so long does not hold up the end of the server.
const QUIET: Duration = Duration::from_mins(1);

/// How its client gets messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Streamable HTTP of 2025.
    Streamable,
    /// HTTP+SSE of 2024.
    Sse,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// Its client ended it, or its stream.
    Client,
    /// Its process ended.
    Program,
    /// It was silent for too long.
    Idle,
    /// Its client did not read.
    Stalled,
    /// It never said `initialize`, or was refused.
    Uninitialized,
    /// The server stops.
    Stopping,
}

impl Cause {
    pub(super) const fn category(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Program => "program",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Uninitialized => "uninitialized",
            Self::Stopping => "stopping",
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("a request with this id is still being answered")]
    SameId,
    #[error("{MAX_CALLS} requests of this session are still being answered; wait for some of them")]
    TooMany,
    #[error("the session has ended; begin a new one with initialize")]
    Over,
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl Refused {
    pub(super) const fn category(&self) -> &'static str {
        match self {
            Self::SameId => "same_id",
            Self::TooMany => "too_many",
            Self::Over => "ended",
            Self::Busy(_) => "busy",
        }
    }
}

/// Where the answer to a request is waited for.
#[derive(Debug)]
pub(super) struct Waiter {
    /// What is said before it.
    pub(super) events: mpsc::Sender<Bytes>,
    /// The answer.
    pub(super) answer: oneshot::Sender<Bytes>,
}

#[derive(Debug)]
struct Call {
    number: u64,
    progress: Option<RequestId>,
    /// `None` where the stream gets it.
    waiter: Option<Waiter>,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) principal: Principal,
    pub(super) way: Way,
    child: Child,
    state: Mutex<State>,
    over: CancellationToken,
    cause: OnceLock<Cause>,
}

#[derive(Debug)]
struct State {
    calls: HashMap<RequestId, Call>,
    last: u64,
    stream: Option<mpsc::Sender<Bytes>>,
    kept: VecDeque<Bytes>,
    initialized: bool,
    leaving: Option<Cause>,
    active: Instant,
}

impl Session {
    pub(super) fn new(id: String, principal: Principal, way: Way, child: Child) -> Self {
        Self {
            id,
            principal,
            way,
            child,
            state: Mutex::new(State {
                calls: HashMap::new(),
                last: 0,
                stream: None,
                kept: VecDeque::new(),
                initialized: false,
                leaving: None,
                active: Instant::now(),
            }),
            over: CancellationToken::new(),
            cause: OnceLock::new(),
        }
    }

    /// Cancelled when it is over.
    pub(super) const fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Why it is.
    pub(super) fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::Client)
    }

    /// Ends it now.
    pub(super) fn end(&self, cause: Cause) {
        let _ = self.cause.set(cause);
        self.over.cancel();
        self.child.stop();
    }

    /// Ends it when its calls in flight are answered.
    pub(super) fn leave(&self, cause: Cause) {
        let mut state = self.state.lock();
        state.leaving = Some(cause);
        let idle = state.calls.is_empty();
        drop(state);
        if idle {
            self.end(cause);
        }
    }

    /// Waits until its process is gone.
    pub(super) async fn gone(&self) {
        self.child.stop();
        self.child.gone().await;
    }

    /// How long it has been silent; `None` while a call is in flight or, over Streamable HTTP, a stream is open.
    pub(super) fn silent(&self) -> Option<Duration> {
        let state = self.state.lock();
        let streams = self.way == Way::Streamable && state.stream.as_ref().is_some_and(|s| !s.is_closed());
        (state.calls.is_empty() && !streams).then(|| state.active.elapsed())
    }

    /// Whether the end of the server waits for it.
    pub(super) fn is_busy(&self) -> bool {
        self.way == Way::Sse || self.silent().is_none_or(|silent| silent < QUIET)
    }

    /// Whether its client has said `initialize`.
    pub(super) fn is_initialized(&self) -> bool {
        self.state.lock().initialized
    }

    /// Opens its stream, which ends the one before; gives what waited for one.
    pub(super) fn open_stream(&self) -> mpsc::Receiver<Bytes> {
        let (stream, messages) = mpsc::channel(STREAM);
        let mut state = self.state.lock();
        for message in state.kept.drain(..) {
            // As many as fit.
            let _ = stream.try_send(message);
        }
        state.stream = Some(stream);
        state.active = Instant::now();
        messages
    }

    /// Hands the program a request.
    pub(super) fn request(
        &self,
        id: &RequestId,
        asked: &Message,
        body: &[u8],
        waiter: Option<Waiter>,
    ) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if self.over.is_cancelled() || state.leaving.is_some() {
            return Err(Refused::Over);
        }
        if state.calls.contains_key(id) {
            return Err(Refused::SameId);
        }
        if state.calls.len() >= MAX_CALLS {
            return Err(Refused::TooMany);
        }
        self.child.send(message::line(body))?;
        state.initialized |= asked.method == "initialize";
        state.last += 1;
        let call = Call {
            number: state.last,
            progress: asked.progress.clone(),
            waiter,
        };
        state.calls.insert(id.clone(), call);
        state.active = Instant::now();
        Ok(())
    }

    /// Hands the program what wants no answer.
    pub(super) fn tell(&self, told: &Message, body: &[u8]) -> Result<(), Refused> {
        if self.over.is_cancelled() {
            return Err(Refused::Over);
        }
        let mut state = self.state.lock();
        state.active = Instant::now();
        // Its answer need not come. Over Streamable HTTP the client ends the POST that waits for it.
        if let (Some(id), Way::Sse) = (&told.cancels, self.way) {
            state.calls.remove(id);
        }
        drop(state);
        Ok(self.child.send(message::line(body))?)
    }

    /// Forgets a request whose client has left.
    pub(super) fn forget(&self, id: &RequestId) {
        let leaving = {
            let mut state = self.state.lock();
            state.calls.remove(id);
            state.leaving.filter(|_| state.calls.is_empty())
        };
        if let Some(cause) = leaving {
            self.end(cause);
        }
    }

    /// Passes on what the program says, until either is over.
    pub(super) async fn pass_on(&self, mut lines: mpsc::Receiver<Bytes>, initialize_within: Duration) {
        let late = tokio::time::sleep(initialize_within);
        tokio::pin!(late);
        let mut watched = true;
        loop {
            let line = tokio::select! {
                biased;
                () = self.over.cancelled() => break,
                line = lines.recv() => line,
                () = &mut late, if watched => {
                    watched = false;
                    if !self.is_initialized() {
                        self.end(Cause::Uninitialized);
                    }
                    continue;
                }
            };
            let Some(line) = line else {
                self.end(Cause::Program);
                break;
            };
            let Some(message) = message::read(&line) else {
                tracing::warn!(
                    session = self.id.get(..8),
                    line = %String::from_utf8_lossy(&line[..line.len().min(200)]),
                    "the program wrote something on stdout that is no message of JSON-RPC; logs belong on stderr"
                );
                continue;
            };
            self.dispatch(&message, line).await;
        }
        self.close().await;
    }

    async fn dispatch(&self, said: &Message, line: Bytes) {
        match &said.kind {
            Kind::Response { id, .. } => {
                let (call, leaving) = {
                    let mut state = self.state.lock();
                    let call = state.calls.remove(id);
                    state.active = Instant::now();
                    (call, state.leaving.filter(|_| state.calls.is_empty()))
                };
                match call.map(|call| call.waiter) {
                    Some(Some(waiter)) => {
                        // Who has left needs none.
                        let _ = waiter.answer.send(line);
                    }
                    Some(None) => self.to_stream(line).await,
                    None => tracing::debug!(session = self.id.get(..8), "an answer that nobody waits for"),
                }
                if let Some(cause) = leaving {
                    self.end(cause);
                }
            }
            Kind::Notification | Kind::Request(_) if self.way == Way::Sse => self.to_stream(line).await,
            Kind::Notification | Kind::Request(_) => self.route(said, line),
        }
    }

    /// Puts a message on the stream of HTTP+SSE; a client that does not read it loses its session.
    async fn to_stream(&self, line: Bytes) {
        let stream = self.state.lock().stream.clone();
        let Some(stream) = stream else { return };
        if !matches!(timeout(STALL_LIMIT, stream.send(line)).await, Ok(Ok(()))) {
            self.end(if stream.is_closed() {
                Cause::Client
            } else {
                Cause::Stalled
            });
        }
    }

    /// Finds the way of what the program says unasked, over Streamable HTTP.
    fn route(&self, said: &Message, line: Bytes) {
        let mut state = self.state.lock();
        let of_progress = said.progress.as_ref().filter(|_| said.kind == Kind::Notification);
        if let Some(token) = of_progress {
            let mut calls = state.calls.values();
            let waiter = calls.find(|call| call.progress.as_ref() == Some(token));
            if let Some(waiter) = waiter.and_then(|call| call.waiter.as_ref()) {
                // Progress that nobody reads in time is old news.
                let _ = waiter.events.try_send(line);
                return;
            }
        }
        let line = match state.stream.as_ref().map(|stream| stream.try_send(line.clone())) {
            Some(Ok(())) => return,
            Some(Err(_)) => {
                // It is gone, or is not read: the client opens another.
                state.stream = None;
                line
            }
            None => line,
        };
        let mut waiting: Vec<_> = state
            .calls
            .values()
            .filter_map(|call| Some((call.number, &call.waiter.as_ref()?.events)))
            .collect();
        waiting.sort_unstable_by_key(|(number, _)| *number);
        if waiting
            .iter()
            .any(|(_, events)| events.try_send(line.clone()).is_ok())
        {
            return;
        }
        if state.kept.len() < KEPT {
            state.kept.push_back(line);
            return;
        }
        drop(state);
        if let Kind::Request(id) = &said.kind {
            let refused = message::error(
                &written(id),
                SERVER_ERROR,
                "the client has no stream open, and too much waits for one",
                None,
            );
            let _ = self.child.send(message::line(&refused));
        }
    }

    /// Answers what is still in flight.
    async fn close(&self) {
        let calls: Vec<_> = self.state.lock().calls.drain().collect();
        let stream = self.state.lock().stream.take();
        if calls.is_empty() {
            return;
        }
        let stopping = self.cause() == Cause::Stopping;
        let why = if self.cause() == Cause::Program {
            format!(
                "the server's program ended before it answered: {}",
                self.child.ended().await
            )
        } else {
            "the session ended before the request was answered".to_owned()
        };
        for (id, call) in calls {
            let answer = if stopping {
                let retry = retry_error();
                message::error(&written(&id), i64::from(retry.code.0), &retry.message, retry.data)
            } else {
                message::error(&written(&id), SERVER_ERROR, &why, None)
            };
            match (call.waiter, &stream) {
                (Some(waiter), _) => {
                    let _ = waiter.answer.send(answer);
                }
                (None, Some(stream)) => {
                    let _ = stream.try_send(answer);
                }
                (None, None) => {}
            }
        }
    }
}
