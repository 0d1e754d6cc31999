//! The short way for nearly every request: a `tools/call` that needs nothing but its answer.
//!
//! rmcp serves a stateless request as it serves a client: with a service of its own, which is three tasks and four
//! channels, after a parse that tries each kind of message in turn. A call that is clearly nothing but a call goes
//! to the same handler without that. Only what would be accepted takes this way. Everything else goes on to rmcp,
//! whatever is wrong with it, so its rules stand in one place; `tests/plain.rs` compares the answers byte by byte.

use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use bytes::Bytes;
use parking_lot::Mutex;
use rmcp::{
    ErrorData, Peer, RoleServer, Service as _,
    model::{
        CallToolRequest, CallToolRequestMethod, CallToolRequestParams, ClientCapabilities,
        ClientJsonRpcMessage, ClientRequest, ErrorCode, Implementation, InitializeRequestParams, JsonObject,
        JsonRpcError, JsonRpcResponse, JsonRpcVersion2_0, ProtocolVersion, RequestId, RequestMetaObject,
        ServerJsonRpcMessage, ServerResult,
    },
    service::{RequestContext, serve_directly},
    transport::Transport,
};
use serde::Deserialize;

use crate::mcp::{Serves, tools::written::Outlet};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A call, and nothing else: who sends members that are not here has something else in mind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    #[serde(rename = "jsonrpc")]
    _jsonrpc: JsonRpcVersion2_0,
    id: RequestId,
    #[serde(rename = "method")]
    _method: CallToolRequestMethod,
    params: Params,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    name: String,
    arguments: Option<JsonObject>,
    #[serde(rename = "_meta")]
    meta: Option<RequestMetaObject>,
}

/// A call that can take the short way.
#[derive(Debug)]
pub(super) struct PlainCall {
    id: RequestId,
    params: CallToolRequestParams,
    meta: RequestMetaObject,
}

impl PlainCall {
    /// The call in `body`, if `handler` answers it without a word to the client before.
    pub(super) fn read(handler: &impl Serves, body: &[u8]) -> Option<Self> {
        let Message { id, params, .. } = serde_json::from_slice(body).ok()?;
        let meta = params.meta.unwrap_or_default();
        if meta.contains_key("progressToken") {
            return None;
        }
        let mut call = CallToolRequestParams::new(params.name);
        call.arguments = params.arguments;
        handler.answers_alone(&call).then_some(Self {
            id,
            params: call,
            meta,
        })
    }

    /// The version that the headers of a `POST /mcp` name, if they are as they must be for this call. `None` is not
    /// a refusal: it may be another way to say the same.
    pub(super) fn version(&self, headers: &HeaderMap) -> Option<&'static ProtocolVersion> {
        if headers.get(header::CONTENT_TYPE)? != "application/json" || !accepts_both(headers) {
            return None;
        }
        let version = if headers.contains_key(PROTOCOL_VERSION) {
            let version = only(headers, &PROTOCOL_VERSION)?;
            ProtocolVersion::KNOWN_VERSIONS
                .iter()
                .find(|known| known.as_str() == version)?
        } else {
            // 2025-06-18 `basic/transports`: that is what a server SHOULD assume.
            &ProtocolVersion::V_2025_03_26
        };
        let fits = if version.has_initialize() {
            // A request that brings its version is of 2026-07-28, whatever its headers say.
            self.meta.protocol_version().is_none()
        } else {
            self.meta.protocol_version().as_ref() == Some(version)
                && self.meta.missing_required_keys(version).is_empty()
                && only(headers, &METHOD)? == "tools/call"
                && only(headers, &NAME)? == self.params.name
        };
        fits.then_some(version)
    }

    /// Its id.
    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Calls `handler` on behalf of `peer`, as rmcp does; `head` is what the handler may ask of the request.
    pub(super) async fn answer(
        self,
        handler: &impl Serves,
        peer: Peer<RoleServer>,
        context: impl FnOnce(&mut RequestContext<RoleServer>),
    ) -> Answer {
        let Self { id, params, meta } = self;
        let mut request = RequestContext::new(id.clone(), peer);
        request.meta = meta;
        let outlet = Outlet::default();
        request.extensions.insert(outlet.clone());
        context(&mut request);
        let called = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let result = handler.handle_request(called, request).await;
        Answer { id, result, outlet }
    }
}

/// What a call is answered.
#[derive(Debug)]
pub(super) struct Answer {
    id: RequestId,
    result: Result<ServerResult, ErrorData>,
    outlet: Outlet,
}

impl Answer {
    /// The HTTP status, which tells of errors since 2026-07-28 only.
    pub(super) fn status(&self, version: &ProtocolVersion) -> StatusCode {
        match &self.result {
            Err(error) if !version.has_initialize() => match error.code {
                ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
                | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
                | ErrorCode::HEADER_MISMATCH => StatusCode::BAD_REQUEST,
                ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
                _ => StatusCode::OK,
            },
            _ => StatusCode::OK,
        }
    }

    /// The JSON-RPC message, between `before` and `after`.
    pub(super) fn write(self, before: &[u8], after: &[u8]) -> serde_json::Result<Bytes> {
        let Self { id, result, outlet } = self;
        let written = outlet.taken();
        let room = written
            .as_ref()
            .map_or(EXPECTED_BYTES, |members| members.len() + ENVELOPE_BYTES);
        let mut message = Vec::with_capacity(before.len() + room + after.len());
        message.extend_from_slice(before);
        match (result, written) {
            (Ok(ServerResult::CallToolResult(result)), Some(members)) if result.content.is_empty() => {
                message.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
                serde_json::to_writer(&mut message, &id)?;
                message.extend_from_slice(br#","result":{"#);
                // rmcp took it away where the client is of a version that does not know it.
                if let Some(kind) = &result.result_type {
                    message.extend_from_slice(br#""resultType":"#);
                    serde_json::to_writer(&mut message, kind)?;
                    message.push(b',');
                }
                message.extend_from_slice(&members);
                message.push(b'}');
            }
            (Ok(result), _) => {
                let jsonrpc = JsonRpcVersion2_0;
                serde_json::to_writer(&mut message, &JsonRpcResponse { jsonrpc, id, result })?;
            }
            (Err(error), _) => serde_json::to_writer(&mut message, &JsonRpcError::new(Some(id), error))?,
        }
        message.extend_from_slice(after);
        Ok(message.into())
    }
}

/// Room for what stands around a result, if the id is not a long one.
const ENVELOPE_BYTES: usize = 128;

/// Room for an answer of five postings; what is longer is moved.
const EXPECTED_BYTES: usize = 6 * 1024;

/// Both types, spelt out and without weights.
fn accepts_both(headers: &HeaderMap) -> bool {
    let Some(accept) = only(headers, &header::ACCEPT) else {
        return false;
    };
    let has = |kind| accept.split(',').any(|entry| entry.trim_matches(' ') == kind);
    !accept.contains([';', '"']) && has("application/json") && has("text/event-stream")
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Who calls, for handlers: one that says what is known of the client, and through which nothing can be sent.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Clients of whom no more is known than their version.
    unknown: [OnceLock<Peer<RoleServer>>; ProtocolVersion::KNOWN_VERSIONS.len()],
    /// Those that nobody is using.
    idle: Mutex<Vec<Peer<RoleServer>>>,
}

/// The most that are kept for later. One takes about 30 kB.
const IDLE_PEERS: usize = 64;

impl Peers {
    /// A client of which no more is known than the version it speaks.
    pub(super) fn of_version(&self, version: &ProtocolVersion) -> Peer<RoleServer> {
        let client = || {
            InitializeRequestParams::new(ClientCapabilities::default(), Implementation::default())
                .with_protocol_version(version.clone())
        };
        let number = ProtocolVersion::KNOWN_VERSIONS
            .iter()
            .position(|known| known == version);
        match number.and_then(|number| self.unknown.get(number)) {
            Some(peer) => peer.get_or_init(|| closed_peer(client())).clone(),
            None => closed_peer(client()),
        }
    }

    /// A client that said something of itself. Give it back afterwards.
    pub(super) fn of(&self, client: InitializeRequestParams) -> Peer<RoleServer> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(peer) => {
                peer.set_peer_info(client);
                peer
            }
            None => closed_peer(client),
        }
    }

    /// Takes back what [`of`](Self::of) gave, once nobody else has it.
    pub(super) fn give_back(&self, peer: Peer<RoleServer>) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_PEERS {
            idle.push(peer);
        }
    }
}

/// rmcp makes peers for its services only: this is the peer of one that has ended.
fn closed_peer(client: InitializeRequestParams) -> Peer<RoleServer> {
    serve_directly(Nobody, Closed, Some(client)).peer().clone()
}

/// A handler that is never asked.
struct Nobody;

impl rmcp::ServerHandler for Nobody {}

/// A transport that has ended.
struct Closed;

impl Transport<RoleServer> for Closed {
    type Error = std::convert::Infallible;

    fn send(
        &mut self,
        _: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        std::future::ready(Ok(()))
    }

    fn receive(&mut self) -> impl Future<Output = Option<ClientJsonRpcMessage>> + Send {
        std::future::ready(None)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Settings,
        jobs::Jobs,
        mcp::{Eras, Handler},
        metrics::Metrics,
    };

    fn handler() -> Handler {
        let settings = Settings::read(|_| None).expect("defaults");
        let metrics = Metrics::new().0;
        Handler::new(
            &settings.names,
            Jobs::new(&settings.jobs, metrics.clone()),
            None,
            metrics,
        )
        .serving(Eras::All)
    }

    fn call(params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    }

    fn headers(version: &'static str) -> HeaderMap {
        [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", version),
            ("mcp-method", "tools/call"),
            ("mcp-name", "search_jobs"),
        ]
        .into_iter()
        .map(|(name, value)| {
            let value = axum::http::HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        })
        .collect()
    }

    /// Else a server that is slow would pass every other test.
    #[test]
    fn what_clients_send_takes_the_short_way() {
        let handler = handler();
        let legacy = call(r#"{"name":"search_jobs","arguments":{"query":"rust","num_pages":1}}"#);
        let legacy = PlainCall::read(&handler, legacy.as_bytes()).expect("a plain call");
        assert_eq!(
            legacy.version(&headers("2025-11-25")),
            Some(&ProtocolVersion::V_2025_11_25)
        );
        let modern = call(
            r#"{"name":"search_jobs","arguments":{"role":"rust"},"_meta":{
            "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#,
        );
        let modern = PlainCall::read(&handler, modern.as_bytes()).expect("a plain call");
        assert_eq!(
            modern.version(&headers("2026-07-28")),
            Some(&ProtocolVersion::V_2026_07_28)
        );
        assert_eq!(modern.version(&headers("2025-11-25")), None);
        assert_eq!(legacy.version(&headers("2026-07-28")), None);
    }

    /// They ask for more than an answer, or may be asked something.
    #[test]
    fn what_needs_more_than_an_answer_does_not() {
        let handler = handler();
        for params in [
            r#"{"name":"search_jobs","arguments":{"role":"rust"},"_meta":{"progressToken":1}}"#,
            r#"{"name":"search_jobs","arguments":{"city":"Berlin"}}"#,
            r#"{"name":"search_jobs","arguments":{"role":" "}}"#,
            r#"{"name":"search_jobs","arguments":{"role":"rust"},"inputResponses":{}}"#,
            r#"{"name":"no_tool","arguments":{"role":"rust"}}"#,
        ] {
            assert!(
                PlainCall::read(&handler, call(params).as_bytes()).is_none(),
                "{params}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_can_be_sent_to_a_peer_and_it_says_what_is_known() {
        let peers = Peers::default();
        for version in ProtocolVersion::KNOWN_VERSIONS {
            let peer = peers.of_version(version);
            let known = peer.peer_info().expect("a client");
            assert_eq!(known.protocol_version, *version);
        }
        let named = |name: &str| {
            InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new(name, "1"))
        };
        let first = peers.of(named("first"));
        peers.give_back(first);
        let second = peers.of(named("second"));
        assert_eq!(second.peer_info().expect("a client").client_info.name, "second");
        let params = rmcp::model::ProgressNotificationParam::new(
            rmcp::model::ProgressToken(RequestId::Number(1)),
            1.0,
        );
        assert!(second.notify_progress(params).await.is_err());
    }
}
