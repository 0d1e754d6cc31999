//! Streamable HTTP, served by rmcp: stateless for both eras, so any replica answers any message.
//!
//! rmcp checks headers against bodies, versions and `_meta` (2026-07-28 `basic/transports/streamable-http`).
//! Here its input is bounded in size and time first, and its plain-text refusals become JSON-RPC errors.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use http_body_util::Full;
use rmcp::{
    model::ProtocolVersion,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    last_word,
    plain::{Peers, PlainCall},
};
use crate::{
    http::{
        body,
        refusal::{Refusal, RefusalCode},
    },
    mcp::{Eras, Handler, Serves},
};

/// What rmcp asks of a client's Accept header.
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The most that is read of a refusal's text.
const REFUSAL_BYTES: usize = 4096;

/// The service behind `POST /mcp`. Clones share it.
#[derive(Clone)]
pub struct StreamableHttp<H: Serves = Handler> {
    service: StreamableHttpService<H, NeverSessionManager>,
    handler: H,
    peers: Arc<Peers>,
    give_up: CancellationToken,
}

impl<H: Serves> std::fmt::Debug for StreamableHttp<H> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("StreamableHttp")
    }
}

impl<H: Serves> StreamableHttp<H> {
    /// `give_up` has calls that are still running answered "send it again", those included whose answers are
    /// streams; `hard` drops them.
    #[must_use]
    pub fn new(handler: &H, hard: &CancellationToken, give_up: CancellationToken) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(body::MAX_BYTES)
            .with_cancellation_token(hard.child_token())
            // `http::access` has checked both, for every route alike; two lists could disagree.
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let handler = handler.clone().serving(Eras::All);
        let serving = handler.clone();
        Self {
            service: StreamableHttpService::new(
                move || Ok(serving.clone()),
                NeverSessionManager::default().into(),
                config,
            ),
            handler,
            peers: Arc::default(),
            give_up,
        }
    }

    /// Answers one message.
    pub async fn post(&self, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let body = match body::read(&head.headers, body).await {
            Ok(body) => body,
            Err(error) => return Refusal::from(error).into(),
        };
        accept_both(&mut head.headers);
        let plain = PlainCall::read(&self.handler, &body)
            .and_then(|call| call.version(&head.headers).map(|version| (call, version)));
        let answered = async {
            match plain {
                Some((call, version)) => self.call(call, version, head).await,
                None => self.ask(head, &body).await,
            }
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            () = self.give_up.cancelled() => last_word::instead(&body),
        }
    }

    /// The answer to a plain call, as rmcp gives it.
    async fn call(&self, call: PlainCall, version: &ProtocolVersion, head: Parts) -> Response {
        let peer = self.peers.of_version(version);
        let answer = call
            .answer(&self.handler, peer, |context| {
                context.extensions.insert(head);
            })
            .await;
        let status = answer.status(version);
        match answer.write(b"", b"") {
            Ok(json) => (status, [(header::CONTENT_TYPE, JSON)], json).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Refusal::unavailable("the message could not be answered; try again").into()
            }
        }
    }

    /// rmcp's answer.
    async fn ask(&self, head: Parts, body: &Bytes) -> Response {
        let request = Request::from_parts(head, Full::new(body.clone()));
        let answer = self.service.handle(request).await;
        let answer = explain(answer.map(Body::new), body).await;
        last_word::append(answer, &self.give_up, body)
    }
}

/// A client that takes anything takes what we send. rmcp wants both types spelt out, which `curl` and most
/// plain HTTP libraries do not.
fn accept_both(headers: &mut HeaderMap) {
    let mut given = headers.get_all(header::ACCEPT).iter().peekable();
    let anything = given.peek().is_none()
        || given
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("*/*"));
    if anything {
        headers.insert(header::ACCEPT, BOTH);
    }
}

/// Gives a refusal in plain text the body that MCP clients read. Malformed JSON, which rmcp calls an
/// unsupported media type, becomes 400 with -32700 or -32600.
async fn explain(answer: Response, sent: &Bytes) -> Response {
    let refused = answer.status().is_client_error() || answer.status().is_server_error();
    let is_json = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !refused || is_json {
        return answer;
    }
    let status = answer.status();
    let text = to_bytes(answer.into_body(), REFUSAL_BYTES)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE && text.starts_with("fail to deserialize") {
        return not_a_message(sent).into();
    }
    if status.is_server_error() {
        return Refusal::unavailable("the message could not be answered; try again").into();
    }
    Refusal::new(status, RefusalCode::InvalidRequest, text).into()
}

/// What to say to a body that is no message.
pub(crate) fn not_a_message(sent: &[u8]) -> Refusal {
    let (code, message) = match serde_json::from_slice::<serde_json::Value>(sent) {
        Err(error) => (
            RefusalCode::ParseError,
            format!("the message is not JSON: {error}"),
        ),
        Ok(serde_json::Value::Array(_)) => (
            RefusalCode::InvalidRequest,
            "batches are not part of the protocol any more; send one message at a time".to_owned(),
        ),
        Ok(_) => (
            RefusalCode::InvalidRequest,
            "the message is not JSON-RPC 2.0 as MCP uses it".to_owned(),
        ),
    };
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(given: Option<&'static str>) -> HeaderValue {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(header::ACCEPT, HeaderValue::from_static(given));
        }
        accept_both(&mut headers);
        headers[header::ACCEPT].clone()
    }

    #[test]
    fn whoever_takes_anything_takes_both() {
        assert_eq!(accepted(None), BOTH);
        assert_eq!(accepted(Some("*/*")), BOTH);
        assert_eq!(accepted(Some("text/html, */*;q=0.5")), BOTH);
        assert_eq!(accepted(Some("text/html")), "text/html");
    }
}
