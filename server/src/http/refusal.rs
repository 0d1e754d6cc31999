//! Answers to messages that never reach the handler: an HTTP status with a JSON-RPC error as its body.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rmcp::model::{ErrorCode, ErrorData, JsonRpcError, RequestId};

/// Which JSON-RPC error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// -32700: the body is not JSON.
    ParseError,
    /// -32600: it is, but no message we can take.
    InvalidRequest,
    /// -32000, of the range left to servers: right in itself, but not now.
    Unavailable,
}

/// Why a message was refused, in a word of a few. It goes with the answer, for metrics and logs.
#[derive(Debug, Clone, Copy)]
pub struct Cause(pub &'static str);

/// A refused message.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    cause: Option<Cause>,
    code: RefusalCode,
    message: Cow<'static, str>,
    id: Option<RequestId>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal; `message` is read by people.
    #[must_use]
    pub fn new(status: StatusCode, code: RefusalCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            cause: None,
            code,
            message: message.into(),
            id: None,
            retry_after: None,
        }
    }

    /// Says why, in a word of a few; without it the status does.
    #[must_use]
    pub fn because(mut self, cause: &'static str) -> Self {
        self.cause = Some(Cause(cause));
        self
    }

    /// Names the request that it answers.
    #[must_use]
    pub fn with_id(mut self, id: RequestId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says when to try again, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// For something that is true of every message for now.
    #[must_use]
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Unavailable, message)
            .with_retry_after(Duration::from_secs(1))
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        refusal.into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = match self.code {
            RefusalCode::ParseError => ErrorCode::PARSE_ERROR,
            RefusalCode::InvalidRequest => ErrorCode::INVALID_REQUEST,
            RefusalCode::Unavailable => ErrorCode(-32000),
        };
        let error = JsonRpcError::new(self.id, ErrorData::new(code, self.message, None));
        let mut response = (self.status, axum::Json(error)).into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
