//! Which request leads where: the paths are those of this project's server.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
    routing::any,
};
use rmcp::model::{ProtocolVersion, RequestId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    Protocol,
    message::{self, Kind, Message, SERVER_ERROR, written},
    modern,
    respond::{self, Answering, Failed},
    session::{Cause, EVENTS, Refused, Session, Waiter, Way},
    sessions::{NotOpened, Sessions},
    shared::{Asked, NotAsked, Shared},
};
use crate::{
    drain::Drain,
    http::{
        body,
        principal::Principal,
        refusal::{Refusal, RefusalCode},
        router::{base, not_allowed, nothing_here, session_id, wants_stream},
    },
    transport::{last_word, streamable_http::not_a_message},
};

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// What the routes serve.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) protocol: Protocol,
    pub(super) sessions: Arc<Sessions>,
    pub(super) shared: Arc<Shared>,
    pub(super) drain: Drain,
}

pub(super) fn router(bridge: Bridge) -> Router {
    Router::new()
        .route("/", any(mcp))
        .route("/mcp", any(mcp))
        .route("/mcp/", any(mcp))
        .route("/sse", any(sse))
        .route("/sse/", any(sse))
        .route("/messages", any(messages))
        .route("/messages/", any(messages))
        .fallback(nothing_here)
        .with_state(Arc::new(bridge))
}

/// A session that ends when its client leaves.
struct Leaving(Option<Arc<Session>>);

impl Leaving {
    /// It stays.
    fn stays(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.end(Cause::Client);
        }
    }
}

/// A request that nobody waits for once its client has left.
struct Waiting(Arc<Session>, RequestId);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.forget(&self.1);
    }
}

async fn mcp(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    let has_session = request.headers().contains_key(SESSION);
    match *request.method() {
        Method::POST => bridge.post(request).await,
        Method::GET if has_session => bridge.stream(&request),
        Method::DELETE if has_session => bridge.delete(&request),
        _ => not_allowed(
            if has_session { "GET, POST, DELETE" } else { "POST" },
            "this address takes MCP messages by POST, and with Mcp-Session-Id gives a session's stream by GET; the older transport's stream opens at /sse",
        ),
    }
}

async fn sse(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    match *request.method() {
        Method::GET => bridge.open(&request),
        _ => not_allowed(
            "GET",
            "this address opens a stream by GET; messages go to the address it names",
        ),
    }
}

async fn messages(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    match (request.method(), session_id(request.uri().query())) {
        (&Method::POST, Some(id)) => bridge.message(&id, request).await,
        (&Method::POST, None) => bridge.post(request).await,
        (&Method::GET, _) if wants_stream(&request) => bridge.open(&request),
        _ => not_allowed(
            "GET, POST",
            "send messages by POST, or ask for a stream with Accept: text/event-stream",
        ),
    }
}

impl Bridge {
    /// One message over Streamable HTTP.
    async fn post(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = match body::read(&head.headers, body).await {
            Ok(body) => body,
            Err(error) => return Refusal::from(error).into(),
        };
        let Some(message) = message::read(&body) else {
            return not_a_message(&body).into();
        };
        let give_up = self.drain.give_up();
        tokio::select! {
            biased;
            answer = self.answer(&head, &message, &body) => last_word::append(answer, &give_up, &body),
            () = give_up.cancelled() => last_word::instead(&body),
        }
    }

    async fn answer(&self, head: &Parts, message: &Message, body: &Bytes) -> Response {
        let version = head.headers.get(VERSION).map(HeaderValue::as_bytes);
        if message.version.is_some() || version == Some(modern::VERSION.as_bytes()) {
            return self.alone(&head.headers, message, body).await;
        }
        let known = |version: &[u8]| {
            let known = ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE);
            known.iter().any(|known| known.as_str().as_bytes() == version)
        };
        if version.is_some_and(|version| !known(version)) {
            return bad("the protocol version of the header MCP-Protocol-Version is not supported").into();
        }
        match &message.kind {
            Kind::Request(id) if message.method == "initialize" => {
                self.begin(principal(head), id, message, body).await
            }
            _ => match self.session(head) {
                Err(refusal) => refusal.into(),
                Ok(session) => match &message.kind {
                    Kind::Request(id) => ask(session, id, message, body).await,
                    Kind::Notification | Kind::Response { .. } => match session.tell(message, body) {
                        Ok(()) => StatusCode::ACCEPTED.into_response(),
                        Err(refused) => refuse(&refused).into(),
                    },
                },
            },
        }
    }

    /// A request that stands alone.
    async fn alone(&self, headers: &HeaderMap, message: &Message, body: &Bytes) -> Response {
        let Kind::Request(id) = &message.kind else {
            // No notification of 2026-07-28 is for a server over HTTP: a client that wants no answer leaves.
            return StatusCode::ACCEPTED.into_response();
        };
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return not_a_message(body).into();
        };
        if let Err(wrong) = modern::check(headers, &request) {
            let text = message::error(&written(id), wrong.code, &wrong.message, wrong.data);
            return respond::json(wrong.status, text);
        }
        let status = |answer: &[u8]| {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            modern::status(&answer)
        };
        let (events, told) = mpsc::channel(EVENTS);
        let (answers, answer) = oneshot::channel();
        let waiter = Waiter {
            events,
            answer: answers,
        };
        match self.shared.ask(request, waiter).await {
            Err(error) => not_asked(&error).with_id(id.clone()).into(),
            Ok(Asked::Answer(said)) => {
                let said = said.to_string();
                respond::json(status(said.as_bytes()), said.into())
            }
            Ok(Asked::InFlight(guard)) => {
                let answering = Answering {
                    events: told,
                    answer,
                    guard,
                    status,
                    lost: lost(id),
                };
                answering.respond().await
            }
        }
    }

    /// `initialize` over Streamable HTTP: a session begins.
    async fn begin(&self, principal: Principal, id: &RequestId, message: &Message, body: &Bytes) -> Response {
        if let Some(refused) = self.only_stateless(id) {
            return refused;
        }
        let session = match self.sessions.open(principal, Way::Streamable) {
            Ok(session) => session,
            Err(refused) => return not_opened(&refused).with_id(id.clone()).into(),
        };
        let leaving = Leaving(Some(Arc::clone(&session)));
        let mut answer = ask(Arc::clone(&session), id, message, body).await;
        leaving.stays();
        if session.over().is_cancelled() {
            return answer;
        }
        if answer.extensions_mut().remove::<Failed>().is_some() {
            // The program would have none of it, so there is no session.
            session.end(Cause::Uninitialized);
        } else if let Ok(id) = HeaderValue::from_str(&session.id) {
            answer.headers_mut().insert(SESSION, id);
        }
        answer
    }

    /// `GET` with a session: its stream.
    fn stream(&self, request: &Request) -> Response {
        if !wants_stream(request) {
            return bad("a stream needs Accept: text/event-stream").into();
        }
        let id = request.headers().get(SESSION).and_then(|id| id.to_str().ok());
        let principal = whose(request.extensions());
        let found = id.and_then(|id| self.sessions.find(id, principal, Way::Streamable));
        match found {
            Some(session) => {
                let messages = session.open_stream();
                respond::stream(None, messages, session.over().clone(), ())
            }
            None => no_session().into(),
        }
    }

    fn delete(&self, request: &Request) -> Response {
        let id = request.headers().get(SESSION).and_then(|id| id.to_str().ok());
        let principal = whose(request.extensions());
        match id.and_then(|id| self.sessions.find(id, principal, Way::Streamable)) {
            Some(session) => {
                session.end(Cause::Client);
                StatusCode::NO_CONTENT.into_response()
            }
            None => no_session().into(),
        }
    }

    /// `GET /sse`: a session and its stream.
    fn open(&self, request: &Request) -> Response {
        if let Some(refused) = self.only_stateless(&RequestId::Number(0)) {
            return refused;
        }
        let session = match self.sessions.open(whose(request.extensions()), Way::Sse) {
            Ok(session) => session,
            Err(refused) => return not_opened(&refused).into(),
        };
        let messages = session.open_stream();
        let (base, id) = (base(request), &session.id);
        let first = format!("event: endpoint\ndata: {base}/messages/?session_id={id}\n\n");
        let over = session.over().clone();
        respond::stream(Some(first.into()), messages, over, Leaving(Some(session)))
    }

    /// One message for a session of the older transport.
    async fn message(&self, id: &str, request: Request) -> Response {
        let principal = whose(request.extensions());
        // Before a byte of the body is read.
        let Some(session) = self.sessions.find(id, principal, Way::Sse) else {
            return no_session().into();
        };
        let (head, body) = request.into_parts();
        let body = match body::read(&head.headers, body).await {
            Ok(body) => body,
            Err(error) => return Refusal::from(error).into(),
        };
        let Some(message) = message::read(&body) else {
            return not_a_message(&body).into();
        };
        let taken = match &message.kind {
            Kind::Request(id) => session.request(id, &message, &body, None),
            Kind::Notification | Kind::Response { .. } => session.tell(&message, &body),
        };
        match taken {
            Ok(()) => (StatusCode::ACCEPTED, "Accepted").into_response(),
            Err(refused) => refuse(&refused).into(),
        }
    }

    fn session(&self, head: &Parts) -> Result<Arc<Session>, Refusal> {
        let Some(id) = head.headers.get(SESSION) else {
            return Err(bad(
                "the header Mcp-Session-Id is needed: begin with initialize, whose answer has it, or send messages of 2026-07-28",
            )
            .because("no_session_id"));
        };
        let id = id.to_str().unwrap_or_default();
        self.sessions
            .find(id, principal(head), Way::Streamable)
            .ok_or_else(no_session)
    }

    /// The refusal of a session, where the program is said to know none.
    fn only_stateless(&self, id: &RequestId) -> Option<Response> {
        (self.protocol == Protocol::Stateless).then(|| {
            let data = serde_json::json!({ "supported": [modern::VERSION] });
            let message = format!("this server speaks {} only", modern::VERSION);
            let text = message::error(&written(id), -32022, &message, Some(data));
            respond::json(StatusCode::BAD_REQUEST, text)
        })
    }
}

/// A request of a session over Streamable HTTP.
async fn ask(session: Arc<Session>, id: &RequestId, message: &Message, body: &Bytes) -> Response {
    let (events, told) = mpsc::channel(EVENTS);
    let (answers, answer) = oneshot::channel();
    let waiter = Waiter {
        events,
        answer: answers,
    };
    if let Err(refused) = session.request(id, message, body, Some(waiter)) {
        return refuse(&refused).with_id(id.clone()).into();
    }
    let answering = Answering {
        events: told,
        answer,
        guard: Waiting(session, id.clone()),
        status: |_| StatusCode::OK,
        lost: lost(id),
    };
    answering.respond().await
}

fn principal(head: &Parts) -> Principal {
    whose(&head.extensions)
}

fn whose(extensions: &axum::http::Extensions) -> Principal {
    extensions.get().copied().unwrap_or(Principal::ANONYMOUS)
}

fn lost(id: &RequestId) -> Bytes {
    message::error(
        &written(id),
        SERVER_ERROR,
        "the session ended before the request was answered",
        None,
    )
}

fn bad(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, RefusalCode::InvalidRequest, message)
}

fn no_session() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        RefusalCode::InvalidRequest,
        "there is no such session, or not any more; begin a new one with initialize",
    )
    .because("no_session")
}

fn refuse(refused: &Refused) -> Refusal {
    let text = refused.to_string();
    match refused {
        Refused::SameId => Refusal::new(StatusCode::BAD_REQUEST, RefusalCode::InvalidRequest, text),
        Refused::Over => Refusal::new(StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, text),
        Refused::TooMany | Refused::Busy(_) => Refusal::unavailable(text),
    }
    .because(refused.category())
}

fn not_opened(refused: &NotOpened) -> Refusal {
    tracing::warn!(%refused, "a session was refused");
    Refusal::unavailable(refused.to_string()).because(refused.category())
}

fn not_asked(error: &NotAsked) -> Refusal {
    tracing::warn!(%error, "a request was refused");
    Refusal::unavailable(error.to_string()).because(error.category())
}
