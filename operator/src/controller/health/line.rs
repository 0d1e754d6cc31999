//! A connection to one server, for messages of MCP over Streamable HTTP: bounded in size, no TLS, no proxy, no
//! redirects.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use iam_mcp_runtime::telemetry::otlp;
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    CONNECT_LIMIT, Endpoint, Failure,
    answer::{self, EventStream, NoAnswer},
    tools::readable,
};

/// Longest answer that is read, in bytes. A hundred tools with rich schemas have some 200 kB.
pub const ANSWER_MAX: usize = 512 * 1024;
/// Longest text of an error that is repeated, in bytes.
const MESSAGE_BYTES: usize = 200;

/// Most of a stream that is read for its first event, in bytes.
const STREAM_BEGIN: usize = 8 * 1024;
/// Who asks.
const AGENT: &str = concat!("iam-mcp-operator/", env!("CARGO_PKG_VERSION"));

/// The version of MCP that a message is in, and what else its headers say.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// `MCP-Protocol-Version`.
    pub version: Option<String>,
    /// Whether the era is the one of 2026-07-28, in which a header names the method too.
    pub modern: bool,
    /// `Mcp-Session-Id`.
    pub session: Option<HeaderValue>,
}

/// The connection. It is made when it is needed, and again when the server ended it.
pub struct Line<'a> {
    endpoint: &'a Endpoint,
    open: Option<Open>,
    last_id: u64,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl<'a> Line<'a> {
    /// To `endpoint`.
    #[must_use]
    pub const fn new(endpoint: &'a Endpoint) -> Self {
        Self {
            endpoint,
            open: None,
            last_id: 0,
        }
    }

    /// Sends the request `method` and gives its result, and the session that the answer names.
    ///
    /// # Errors
    /// When there is no answer, or it is no result.
    pub async fn request<T: for<'de> Deserialize<'de>>(
        &mut self,
        method: &'static str,
        params: Value,
        headers: &Headers,
    ) -> Result<(T, Option<HeaderValue>), Failure> {
        self.last_id += 1;
        let id = self.last_id;
        let message = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let answer = self.send(Method::POST, method, Some(message), headers).await?;
        let session = answer.headers().get("mcp-session-id").cloned();
        let status = answer.status();
        let text = self.read(answer, id).await?;
        match answer::result(&text, id) {
            Ok(result) if status.is_success() => Ok((result, session)),
            _ if status == StatusCode::UNAUTHORIZED => {
                Err(Failure::NotAuthorized((&self.endpoint.credential).into()))
            }
            Err(NoAnswer::Refused(error)) => Err(Failure::Refused {
                method,
                code: error.code,
                message: readable(&error.message, MESSAGE_BYTES),
            }),
            _ if !status.is_success() => Err(Failure::Status { method, status }),
            _ => Err(Failure::NotMcp { method }),
        }
    }

    /// Sends a message to which there is no answer. What the server says to it does not matter.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn tell(&mut self, method: &'static str, headers: &Headers) -> Result<(), Failure> {
        let message = serde_json::json!({"jsonrpc": "2.0", "method": method});
        let answer = self.send(Method::POST, method, Some(message), headers).await?;
        self.read(answer, 0).await.map(drop)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn end(&mut self, headers: &Headers) -> Result<(), Failure> {
        let answer = self.send(Method::DELETE, "", None, headers).await?;
        self.read(answer, 0).await.map(drop)
    }

    /// Sees to it that `GET path` opens a stream of the older HTTP+SSE transport, and closes it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn opens_stream(&self, path: &str) -> Result<(), Failure> {
        let request = Request::get(path)
            .header(HOST, self.endpoint.host.as_str())
            .header(ACCEPT, "text/event-stream")
            .header(USER_AGENT, AGENT);
        let request = match self.endpoint.credential.header() {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let request = request
            .body(Full::new(Bytes::new()))
            .map_err(|_| Failure::Broken)?;
        let none = || Failure::NoStream {
            path: path.to_owned(),
        };
        // A connection of its own: the stream ends with it.
        let mut open = connect(self.endpoint.address).await?;
        let answer = open
            .sender
            .send_request(request)
            .await
            .map_err(|_| Failure::Broken)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(Failure::NotAuthorized((&self.endpoint.credential).into()));
        }
        if answer.status() != StatusCode::OK || !is_event_stream(&answer) {
            return Err(none());
        }
        let mut body = answer.into_body();
        let mut begin = Vec::new();
        while begin.len() < STREAM_BEGIN {
            let frame = body.frame().await.ok_or_else(none)?;
            let frame = frame.map_err(|_| Failure::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            begin.extend_from_slice(&data);
            if answer::names_endpoint(&begin) {
                return Ok(());
            }
        }
        Err(none())
    }

    async fn send(
        &mut self,
        verb: Method,
        method: &'static str,
        message: Option<Value>,
        headers: &Headers,
    ) -> Result<Response<Incoming>, Failure> {
        let body = message
            .map(|message| Bytes::from(message.to_string()))
            .unwrap_or_default();
        let build = || {
            let mut request = Request::builder()
                .method(verb.clone())
                .uri(self.endpoint.path.as_str())
                .header(HOST, self.endpoint.host.as_str())
                .header(ACCEPT, "application/json, text/event-stream")
                .header(USER_AGENT, AGENT);
            if let Some(headers) = request.headers_mut() {
                otlp::inject(headers);
            }
            if verb == Method::POST {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            if let Some(token) = self.endpoint.credential.header() {
                request = request.header(AUTHORIZATION, token);
            }
            if let Some(version) = &headers.version {
                request = request.header("MCP-Protocol-Version", version.as_str());
            }
            if headers.modern {
                request = request.header("Mcp-Method", method);
            }
            if let Some(session) = &headers.session {
                request = request.header("Mcp-Session-Id", session);
            }
            request.body(Full::new(body.clone())).map_err(|_| Failure::Broken)
        };
        if let Some(mut open) = self.open.take()
            && open.sender.ready().await.is_ok()
            && let Ok(answer) = open.sender.send_request(build()?).await
        {
            self.open = Some(open);
            return Ok(answer);
        }
        // None was open, or the server ended it between two messages, as it may.
        let request = build()?;
        let mut open = connect(self.endpoint.address).await?;
        let answer = open
            .sender
            .send_request(request)
            .await
            .map_err(|_| Failure::Broken)?;
        self.open = Some(open);
        Ok(answer)
    }

    /// The text that answers the request `id`, from a body that may be a stream without an end.
    async fn read(&mut self, answer: Response<Incoming>, id: u64) -> Result<Vec<u8>, Failure> {
        let mut stream = is_event_stream(&answer).then(EventStream::default);
        if id == 0 && stream.is_some() {
            // Nothing in it is waited for.
            self.open = None;
            return Ok(Vec::new());
        }
        let mut body = answer.into_body();
        let (mut text, mut length) = (Vec::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            length = length.saturating_add(data.len());
            if length > ANSWER_MAX {
                self.open = None;
                return Err(Failure::TooLong);
            }
            match &mut stream {
                None => text.extend_from_slice(&data),
                Some(stream) => {
                    if let Some(found) = stream.feed(&data, id) {
                        // The rest of it is not waited for.
                        self.open = None;
                        return Ok(found);
                    }
                }
            }
        }
        Ok(text)
    }
}

fn is_event_stream(answer: &Response<Incoming>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

async fn connect(address: SocketAddr) -> Result<Open, Failure> {
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::Timeout)?
        .map_err(|_| Failure::Unreachable)?;
    // A request is one write, and nothing is gained by waiting for a second.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::Broken)?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Open {
        sender,
        _driver: AbortOnDropHandle::new(driver),
    })
}
