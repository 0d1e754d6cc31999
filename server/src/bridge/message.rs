//! What the bridge reads of a message; the message itself goes on as it came, byte for byte.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use rmcp::model::RequestId;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

/// The code of an error that is the server's and no part of the protocol.
pub(super) const SERVER_ERROR: i64 = -32000;
/// The code for a method that nobody knows.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;

/// What a message is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It wants an answer.
    Request(RequestId),
    /// It wants none.
    Notification,
    /// It is one, and good or bad.
    Response {
        /// To what.
        id: RequestId,
        /// Whether it is an error.
        failed: bool,
    },
}

/// A message, as far as it is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    /// What it is.
    pub(super) kind: Kind,
    /// The method; empty for a response.
    pub(super) method: String,
    /// The version that a message of 2026-07-28 and later brings.
    pub(super) version: Option<String>,
    /// The token by which a request wants to be told of its progress, or of which a notification tells.
    pub(super) progress: Option<RequestId>,
    /// The request that a notification says is not wanted any more.
    pub(super) cancels: Option<RequestId>,
}

#[derive(Deserialize)]
struct Head<'a> {
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    id: Option<RequestId>,
    params: Option<Params>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
    progress_token: Option<RequestId>,
    request_id: Option<RequestId>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "progressToken")]
    progress_token: Option<RequestId>,
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<String>,
}

/// Reads `text`; `None` if it is no message of JSON-RPC, or has a member twice: two readers may see two messages then.
pub(super) fn read(text: &[u8]) -> Option<Message> {
    let head: Head<'_> = serde_json::from_slice(text).ok()?;
    if head.jsonrpc != "2.0" {
        return None;
    }
    let kind = match (head.method.is_some(), head.id) {
        (true, Some(id)) => Kind::Request(id),
        (true, None) => Kind::Notification,
        (false, Some(id)) if head.result.is_some() != head.error.is_some() => Kind::Response {
            id,
            failed: head.error.is_some(),
        },
        (false, _) => return None,
    };
    let params = head.params.unwrap_or_default();
    let meta = params.meta.unwrap_or_default();
    let progress = match kind {
        Kind::Request(_) => meta.progress_token,
        _ => params.progress_token,
    };
    let method = head.method.unwrap_or_default().into_owned();
    Some(Message {
        cancels: params.request_id.filter(|_| method == "notifications/cancelled"),
        kind,
        method,
        version: meta.version,
        progress,
    })
}

/// The same message on one line. Within its strings a line break is an escape, so what is left of them is space.
pub(super) fn line(text: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(text.len() + 1);
    line.extend(text.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    }));
    line.extend_from_slice(b"\n");
    line.freeze()
}

/// An answer that is an error.
pub(super) fn error(id: &Value, code: i64, message: &str, data: Option<Value>) -> Bytes {
    let mut error = json!({ "code": code, "message": message });
    if let Some(data) = data {
        error["data"] = data;
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
        .to_string()
        .into()
}

/// An id as it is written.
pub(super) fn written(id: &RequestId) -> Value {
    serde_json::to_value(id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_is() {
        let kind = |text: &str| read(text.as_bytes()).map(|message| message.kind);
        let one = RequestId::Number(1);
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[]}}"#),
            Some(Kind::Request(one.clone()))
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","method":"a"}"#),
            Some(Kind::Notification)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Some(Kind::Response {
                id: one.clone(),
                failed: false
            })
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#),
            Some(Kind::Response {
                id: one,
                failed: true
            })
        );
        for bad in [
            "",
            "[]",
            "starting…",
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#,
        ] {
            assert_eq!(kind(bad), None, "{bad}");
        }
    }

    #[test]
    fn tokens_and_versions_are_found() {
        let request = br#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"_meta":{"progressToken":7,
            "io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let request = read(request).expect("a message");
        assert_eq!(request.progress, Some(RequestId::Number(7)));
        assert_eq!(request.version.as_deref(), Some("2026-07-28"));
        let told = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}"#;
        assert_eq!(
            read(told).expect("a message").progress,
            Some(RequestId::Number(7))
        );
    }

    #[test]
    fn a_message_of_many_lines_becomes_one_with_the_same_meaning() {
        let many = "{\n  \"text\": \"a\\nb\",\r\n  \"n\": 1.0\n}";
        let one = line(many.as_bytes());
        assert_eq!(one.iter().position(|byte| *byte == b'\n'), Some(one.len() - 1));
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
        assert_eq!(parse(&one), parse(many.as_bytes()));
    }
}
