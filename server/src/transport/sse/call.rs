//! One request of a session: the stateless handler, running for that request only.

use std::{
    future::ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::http::request::Parts;
use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, JsonRpcRequest, ServerJsonRpcMessage},
    service::serve_directly_with_ct,
    transport::Transport,
};
use tokio_util::sync::CancellationToken;

use super::{
    super::plain::{Peers, PlainCall},
    asks::Asks,
    registry::Sessions,
    session::{Call, Refused, Session},
    session_id::SessionTag,
    stream::{EVENT, EVENT_END, event_with_id},
};
use crate::mcp::Serves;

/// What an answer's event has as its id, for the client to go on with the session.
#[derive(Debug)]
pub enum Kept {
    /// This.
    Now(String),
    /// What is right once the request was served.
    Then(Arc<Sessions>),
}

impl Kept {
    fn id(self, session: &Session) -> Option<String> {
        match self {
            Self::Now(id) => Some(id),
            Self::Then(sessions) => {
                let client = session.client();
                sessions.keep(session.id(), Some(&client), session.heard()).ok()
            }
        }
    }
}

/// Serves `request`; its progress and its answer go to the session's stream, the answer with the event id
/// `kept`, if there is one.
///
/// # Errors
/// When the session cannot take it.
pub fn start(
    handler: impl Serves,
    session: &Arc<Session>,
    request: JsonRpcRequest<ClientRequest>,
    kept: Option<Kept>,
) -> Result<(), Refused> {
    let call = Arc::new(session.begin(request.id.clone())?);
    let client = session.client();
    let cancelled = call.token().clone();
    let transport = OneCall {
        request: Some(JsonRpcMessage::Request(request)),
        call,
        kept,
        asks: None,
        answered: CancellationToken::new(),
    };
    let running = serve_directly_with_ct(handler, transport, Some(client), cancelled);
    tokio::spawn(async move {
        if let Err(error) = running.waiting().await {
            tracing::error!(%error, "a call's task failed");
        }
    });
    Ok(())
}

/// Answers a plain call. Most are answered by the time this returns; the others go on in a task.
///
/// # Errors
/// When the session cannot take it.
pub(in crate::transport) fn start_plain(
    handler: impl Serves,
    peers: &Arc<Peers>,
    session: &Arc<Session>,
    plain: PlainCall,
    head: Parts,
) -> Result<(), Refused> {
    let call = session.begin(plain.id().clone())?;
    let tag = SessionTag(session.id().session);
    let (peers, client) = (Arc::clone(peers), session.client());
    let mut answered: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        let peer = peers.of(client);
        let answer = plain
            .answer(&handler, peer.clone(), |context| {
                context.ct = call.token().clone();
                context.extensions.insert(head);
                context.extensions.insert(tag);
            })
            .await;
        peers.give_back(peer);
        match answer.write(EVENT, EVENT_END) {
            Ok(event) => {
                call.send(event).await;
            }
            Err(error) => tracing::error!(%error, "an answer could not be written"),
        }
        call.answered();
    });
    // Who waits is polled again, by its own task, and then leaves a waker where it waits.
    let first = answered.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if first == Poll::Pending {
        tokio::spawn(answered);
    }
    Ok(())
}

/// A transport with one message in it, which closes behind the answer. Besides, it takes the client's answers to what
/// the call asks.
struct OneCall {
    request: Option<ClientJsonRpcMessage>,
    call: Arc<Call>,
    kept: Option<Kept>,
    /// Made when the call asks something, which hardly any does.
    asks: Option<Asks>,
    answered: CancellationToken,
}

/// The stream is gone, or the call was cancelled: nobody waits for the message.
#[derive(Debug, thiserror::Error)]
#[error("nobody waits for this message")]
struct Unwanted;

impl Transport<RoleServer> for OneCall {
    type Error = Unwanted;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Unwanted>> + Send + 'static {
        if matches!(message, JsonRpcMessage::Request(_)) {
            self.asks
                .get_or_insert_with(|| Asks::new(Arc::clone(self.call.session())));
        }
        if let Some(asks) = &mut self.asks {
            asks.number(&mut message);
        }
        let answers = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        // Written out at once: what waits for a slow reader is bytes, not trees of values.
        let kept = self
            .kept
            .take_if(|_| answers)
            .and_then(|kept| kept.id(self.call.session()));
        let written =
            serde_json::to_string(&message).map(|json| event_with_id("message", &json, kept.as_deref()));
        let (call, answered) = (Arc::clone(&self.call), self.answered.clone());
        async move {
            let sent = match written {
                Ok(event) => call.send(event).await,
                Err(error) => {
                    tracing::error!(%error, "a message could not be written");
                    false
                }
            };
            if answers {
                call.answered();
                // Sent or not, nothing follows; the service must not wait for more.
                answered.cancel();
            }
            // Whoever asked a cancelled call has been told all there is; that is no failure.
            if sent || call.token().is_cancelled() {
                Ok(())
            } else {
                Err(Unwanted)
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(request) = self.request.take() {
            return Some(request);
        }
        let Some(asks) = &mut self.asks else {
            self.answered.cancelled().await;
            return None;
        };
        tokio::select! {
            () = self.answered.cancelled() => None,
            answer = asks.next() => answer,
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Unwanted>> + Send {
        ready(Ok(()))
    }
}
