//! The older HTTP+SSE transport (2024-11-05 `basic/transports`): a stream by `GET /sse`, whose first event
//! names the address for messages; each message is answered 202, and its answer comes on the stream.
//!
//! A [`session`](session::Session) is not a running service. It is the way to the stream, what the client said
//! in `initialize`, and the calls in flight; each request is served by the stateless handler in a short task
//! ([`call`]). Its id is sealed ([`session_id`]) and says which replica has the stream: a message that comes to
//! another one is passed on ([`crate::peer`]). A client whose stream ended goes on over a new one
//! ([`resumption`]), on any replica, and what it sent in between goes after it ([`departed`]).

mod asks;
pub mod call;
pub mod departed;
pub mod registry;
pub mod resumption;
mod sealed;
pub mod session;
pub mod session_id;
pub mod stream;

use std::sync::{Arc, Weak};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use iam_mcp_runtime::endless::Endless;
use rmcp::model::{
    ClientCapabilities, ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions as _,
    Implementation, InitializeRequestParams, ProtocolVersion,
};

pub use self::sealed::NoRandom;
pub(crate) use self::sealed::random;
use self::{
    call::Kept,
    registry::{FindError, Found, Opening, Place, Sessions},
    resumption::Resumption,
    session::{Refused, Session},
    session_id::{SessionKey, SessionTag},
};
use super::{
    plain::{self, PlainCall},
    streamable_http::not_a_message,
};
use crate::{
    http::{
        body,
        principal::Principal,
        refusal::{Refusal, RefusalCode},
        request_id::SESSION_ID,
    },
    mcp::{
        Eras, Handler, Serves,
        conversation::{Client, Conversation},
    },
    metrics::Metrics,
    peer::pool::{Error, Forwarded, Peers},
};

/// Tells nginx and its like to pass events on as they come.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// What an `EventSource` sends when it connects again: the id of the last event that had one.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the TypeScript SDK sends in its place when it connects again: the version that was negotiated. It puts
/// headers of its own where those of its `EventSource` were.
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Has a client that connects again try once more, and soon: elsewhere there is room. Its `EventSource` would take a 503
/// for the end.
const COME_AGAIN: &str = "retry: 300\n: not now\n\n";

/// Places that a message may be sent on to: its session may have moved once since.
const MOVES: usize = 2;

/// The transport's routes. Clones share its sessions.
#[derive(Debug, Clone)]
pub struct Sse<H = Handler> {
    handler: H,
    sessions: Arc<Sessions>,
    peers: Option<Arc<Peers>>,
    callers: Arc<plain::Peers>,
    metrics: Metrics,
}

/// What became of a message for a session of this process.
#[derive(Debug)]
pub enum Delivered {
    /// It was taken, or refused.
    Answer(Response),
    /// The session's client has gone on with it, under this id.
    WentOn(Arc<str>),
}

impl<H: Serves> Sse<H> {
    /// The transport, on top of `handler`; with `peers`, if other replicas can be reached.
    #[must_use]
    pub fn new(handler: &H, sessions: Arc<Sessions>, peers: Option<Arc<Peers>>, metrics: Metrics) -> Self {
        // Clients that know 2026-07-28 must not negotiate it here: it has no such transport.
        Self {
            handler: handler.clone().serving(Eras::Initialize),
            sessions,
            peers,
            callers: Arc::default(),
            metrics,
        }
    }

    /// The sessions of this process.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Counts a connection of somebody who is no replica.
    pub fn stranger(&self, cause: &'static str) {
        self.metrics
            .sse
            .strangers
            .get_or_create(&vec![("cause", cause)])
            .inc();
    }

    /// `GET`: opens a session and its stream, for a client that came by a path below `base`.
    #[must_use]
    pub fn open(&self, base: &str, request: &Request) -> Response {
        let principal = principal(request.extensions());
        let header = |name| request.headers().get(name)?.to_str().ok();
        let version = match request.headers().get(PROTOCOL_VERSION).map(version_of) {
            None => None,
            Some(Some(version)) => Some(version),
            Some(None) => return not_carried().into(),
        };
        let kept = header(LAST_EVENT_ID)
            .and_then(|kept| Resumption::open(self.sessions.keys(), kept))
            .filter(|(_, resumption)| resumption.before.principal == principal);
        let before = kept.as_ref().map(|(key, kept)| (Arc::clone(key), kept.before));
        let (client, hears) = match kept {
            Some((_, kept)) => (kept.client, kept.hears),
            None => (version.map(client_of), None),
        };
        let returns = before.is_some() || client.is_some();
        let opening = Opening {
            base,
            principal,
            client,
            hears: hears.clone(),
            returns,
        };
        let opened = match self.sessions.open(opening) {
            Ok(opened) => opened,
            Err(_) if returns => return event_stream(Body::from(COME_AGAIN)),
            Err(error) => {
                return Refusal::unavailable(error.to_string())
                    .because(error.category())
                    .into();
            }
        };
        if let Some((hears, session)) = hears.zip(opened.session.upgrade()) {
            let handler = self.handler.clone();
            tokio::spawn(async move {
                let client: Arc<dyn Client> = session;
                handler.resubscribe(principal, &client, &hears).await;
            });
        }
        if let Some((key, before)) = before {
            let (sessions, peers, now) = (Arc::clone(&self.sessions), self.peers.clone(), opened.id);
            // Beside the answer: the replica may be gone.
            tokio::spawn(async move {
                let was_here = before.owner.uid == sessions.owner().uid;
                let told = match &peers {
                    _ if was_here => sessions.went_on(&before.session, principal, &now),
                    Some(peers) => peers.tell_owner(&before, &key, &now).await,
                    None => false,
                };
                if let Some(peers) = peers.filter(|_| !told) {
                    peers.tell_all(&before, &key, &now).await;
                }
            });
        }
        let endless = Endless(opened.stream.ended().clone());
        let mut answer = event_stream(Body::new(opened.stream));
        answer.extensions_mut().insert(endless);
        tagged(answer, opened.tag)
    }

    /// `HEAD`: what `GET` would say, without a session.
    #[must_use]
    pub fn head() -> Response {
        event_stream(Body::empty())
    }

    /// `POST`: takes one message for the session called `id`, wherever it is.
    pub async fn post(&self, id: &str, request: Request) -> Response {
        let principal = principal(request.extensions());
        // Before a byte of the body is read.
        let place = match self.sessions.locate(id, principal) {
            Ok(place) => place,
            Err(error) => return not_here(error).into(),
        };
        let tag = place.tag();
        tagged(self.pass_on(place, principal, request).await, tag)
    }

    /// Takes one message to where its session is, and after it if it moves.
    async fn pass_on(&self, mut place: Place, principal: Principal, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = match body::read(&head.headers, body).await {
            Ok(body) => body,
            Err(error) => return Refusal::from(error).into(),
        };
        for _ in 0..MOVES {
            let now = match (place, &self.peers) {
                (Place::Here(session), _) => match self.deliver(&session, principal, &head, &body).await {
                    Delivered::Answer(response) => return response,
                    Delivered::WentOn(now) => now,
                },
                (Place::There(id, key), Some(peers)) => {
                    match peers.forward(&id, &key, &head, body.clone()).await {
                        Ok(Forwarded::Answer(response)) => return response,
                        Ok(Forwarded::WentOn(now)) => now.into(),
                        // Its client may be on the way to another replica.
                        Err(Error::Gone) => match self.sessions.orphan(&id.session, principal).await {
                            Some(now) => now,
                            None => return Refusal::from(Error::Gone).into(),
                        },
                        Err(error) => return Refusal::from(error).into(),
                    }
                }
                (Place::There(..), None) => {
                    self.sessions.refused(FindError::Foreign);
                    return not_here(FindError::Foreign).into();
                }
            };
            place = match self.sessions.locate(&now, principal) {
                Ok(place) => place,
                Err(error) => return not_here(error).into(),
            };
        }
        not_here(FindError::Ended).into()
    }

    /// Takes one message for a session of this process.
    pub async fn deliver(
        &self,
        session: &SessionKey,
        principal: Principal,
        head: &Parts,
        body: &Bytes,
    ) -> Delivered {
        let mut found = self.sessions.find(session, principal).await;
        if let Ok(Found::Asking(asking)) = &found {
            if serde_json::from_slice(body).is_ok_and(|message| asking.waiting().answer(message)) {
                return Delivered::Answer(accepted());
            }
            found = self.sessions.follow(session, principal).await;
        }
        match found {
            // Taken care of above.
            Ok(Found::Asking(_)) => Delivered::Answer(not_here(FindError::Ended).into()),
            Ok(Found::Session(session)) => Delivered::Answer(self.take(&session, head, body)),
            Ok(Found::WentOn(now)) => Delivered::WentOn(now),
            Err(error) => Delivered::Answer(not_here(error).into()),
        }
    }

    fn take(&self, session: &Arc<Session>, head: &Parts, body: &Bytes) -> Response {
        if let Some(call) = PlainCall::read(&self.handler, body) {
            let id = call.id().clone();
            let handler = self.handler.clone();
            let head = head.clone();
            return match call::start_plain(handler, &self.callers, session, call, head) {
                Ok(()) => accepted(),
                Err(refused) => refuse(refused).with_id(id).into(),
            };
        }
        let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(body) else {
            return not_a_message(body).into();
        };
        match message {
            ClientJsonRpcMessage::Request(mut request) => {
                let mut kept = None;
                if let ClientRequest::InitializeRequest(initialize) = &request.request {
                    session.initialize(&self.handler, initialize.params.clone());
                    // From here on the client need not say it again.
                    let client = session.client();
                    let id = self.sessions.keep(session.id(), Some(&client), session.heard());
                    kept = id.ok().map(Kept::Now);
                }
                let id = request.id.clone();
                let extensions = request.request.extensions_mut();
                extensions.insert(head.clone());
                extensions.insert(SessionTag(session.id().session));
                if subscribes(&request.request) {
                    kept = Some(Kept::Then(Arc::clone(&self.sessions)));
                    let client: Weak<dyn Client> = Arc::downgrade(session) as _;
                    request.request.extensions_mut().insert(Conversation(client));
                }
                match call::start(self.handler.clone(), session, request, kept) {
                    Ok(()) => accepted(),
                    Err(refused) => refuse(refused).with_id(id).into(),
                }
            }
            ClientJsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    session.cancel(id);
                }
                accepted()
            }
            answer @ (ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_)) => {
                // Where nobody waits for it, it is late, or to nothing that we asked: older clients send such.
                session.waiting().answer(answer);
                accepted()
            }
        }
    }
}

/// The version that a client says it has negotiated; `None` if it cannot have done so here.
fn version_of(said: &HeaderValue) -> Option<ProtocolVersion> {
    ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE)
        .iter()
        .find(|known| known.as_str().as_bytes() == said.as_bytes())
        .cloned()
}

/// A client of which no more is known than the version that it negotiated.
fn client_of(version: ProtocolVersion) -> InitializeRequestParams {
    let client = InitializeRequestParams::new(ClientCapabilities::default(), Implementation::default());
    client.with_protocol_version(version)
}

/// The protocol asks for a 400 where a version is not supported.
fn not_carried() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        RefusalCode::InvalidRequest,
        format!(
            "streams are for protocol versions up to {}; later ones are at /mcp",
            ProtocolVersion::LATEST_WITH_INITIALIZE.as_str()
        ),
    )
}

/// Whether the client may be told something later on account of this request.
fn subscribes(request: &ClientRequest) -> bool {
    matches!(
        request,
        ClientRequest::ListResourcesRequest(_)
            | ClientRequest::SubscribeRequest(_)
            | ClientRequest::UnsubscribeRequest(_)
    )
}

/// On whose behalf a request comes; nobody's in particular, where nobody has to say.
fn principal(extensions: &axum::http::Extensions) -> Principal {
    extensions.get().copied().unwrap_or(Principal::ANONYMOUS)
}

fn not_here(error: FindError) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        RefusalCode::InvalidRequest,
        error.to_string(),
    )
    .because(error.category())
}

fn refuse(refused: Refused) -> Refusal {
    match refused {
        Refused::SameId => Refusal::new(
            StatusCode::BAD_REQUEST,
            RefusalCode::InvalidRequest,
            refused.to_string(),
        ),
        Refused::TooMany | Refused::Unread => Refusal::unavailable(refused.to_string()),
    }
    .because(refused.category())
}

/// The word is part of the older transport's habits: clients and the deployment guide show it.
fn accepted() -> Response {
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

/// Says which session an answer belongs to, by what stands for it.
fn tagged(mut answer: Response, tag: SessionTag) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&tag.to_string()) {
        answer.headers_mut().insert(SESSION_ID, tag);
    }
    answer
}

fn event_stream(body: Body) -> Response {
    let kind = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    let fresh = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The connection ends with the stream. A client that kept it would connect again over it, to this same replica.
    let last = (header::CONNECTION, HeaderValue::from_static("close"));
    ([kind, fresh, last, UNBUFFERED], body).into_response()
}
