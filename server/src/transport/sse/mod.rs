//! The older HTTP+SSE transport (2024-11-05 `basic/transports`): a stream by `GET /sse`, whose first event
//! names the address for messages; each message is answered 202, and its answer comes on the stream.
//!
//! A [`session`](session::Session) is not a running service. It is the way to the stream, what the client said
//! in `initialize`, and the calls in flight; each request is served by the stateless handler in a short task
//! ([`call`]). Its id is sealed ([`session_id`]), so that a forged one never reaches the table of sessions.

pub mod call;
pub mod registry;
pub mod session;
pub mod session_id;
pub mod stream;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions as _};

use self::{
    registry::{FindError, Sessions},
    session::Refused,
};
use super::streamable_http::not_a_message;
use crate::{
    http::{
        body,
        refusal::{Refusal, RefusalCode},
    },
    mcp::{Eras, Handler},
};

/// Tells nginx and its like to pass events on as they come.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// The transport's routes. Clones share its sessions.
#[derive(Debug, Clone)]
pub struct Sse {
    handler: Handler,
    sessions: Arc<Sessions>,
}

impl Sse {
    /// The transport, on top of `handler`.
    #[must_use]
    pub fn new(handler: &Handler, sessions: Arc<Sessions>) -> Self {
        // Clients that know 2026-07-28 must not negotiate it here: it has no such transport.
        Self {
            handler: handler.clone().serving(Eras::Initialize),
            sessions,
        }
    }

    /// `GET`: opens a session and its stream, for a client that came by a path below `base`.
    #[must_use]
    pub fn open(&self, base: &str) -> Response {
        match self.sessions.open(base) {
            Ok(stream) => event_stream(Body::new(stream)),
            Err(error) => Refusal::unavailable(error.to_string()).into(),
        }
    }

    /// `HEAD`: what `GET` would say, without a session.
    #[must_use]
    pub fn head() -> Response {
        event_stream(Body::empty())
    }

    /// `POST`: takes one message for the session called `id`.
    pub async fn post(&self, id: &str, request: Request) -> Response {
        // Before a byte of the body is read; and not held while it is, since a session ends with its last
        // holder.
        if let Err(error) = self.sessions.find(id) {
            return not_here(error).into();
        }
        let (head, body) = request.into_parts();
        let body = match body::read(&head.headers, body).await {
            Ok(body) => body,
            Err(error) => return Refusal::from(error).into(),
        };
        let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(&body) else {
            return not_a_message(&body).into();
        };
        let session = match self.sessions.find(id) {
            Ok(session) => session,
            Err(error) => return not_here(error).into(),
        };
        match message {
            ClientJsonRpcMessage::Request(mut request) => {
                if let ClientRequest::InitializeRequest(initialize) = &request.request {
                    session.initialize(&self.handler, initialize.params.clone());
                }
                let id = request.id.clone();
                request.request.extensions_mut().insert(head);
                match call::start(self.handler.clone(), &session, request) {
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
            // We ask clients nothing, so there is nothing to answer; older clients send some all the same.
            ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_) => accepted(),
        }
    }
}

fn not_here(error: FindError) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        RefusalCode::InvalidRequest,
        error.to_string(),
    )
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
}

/// The word is part of the older transport's habits: clients and the deployment guide show it.
fn accepted() -> Response {
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

fn event_stream(body: Body) -> Response {
    let kind = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    let fresh = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([kind, fresh, UNBUFFERED], body).into_response()
}
