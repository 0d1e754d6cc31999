//! Reads what a server answers: JSON, or server-sent events with JSON in them. Pure, and bounded by its input.

use serde::{Deserialize, de::IgnoredAny};

use super::tools::Tool;

/// A JSON-RPC message, as far as it is read.
#[derive(Debug, Deserialize)]
struct Message<T> {
    #[serde(default)]
    id: Option<Id>,
    #[serde(default = "Option::default")]
    result: Option<T>,
    #[serde(default)]
    error: Option<RpcError>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

impl Id {
    fn is(&self, asked: u64) -> bool {
        match self {
            Self::Number(number) => *number == asked,
            // Not as it should be, but the answer is meant.
            Self::Text(text) => text.parse() == Ok(asked),
            Self::Other(_) => false,
        }
    }
}

/// An error of JSON-RPC.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct RpcError {
    /// Its code.
    pub code: i64,
    /// Its text.
    #[serde(default)]
    pub message: String,
}

/// Why a text is no answer.
#[derive(Debug, Eq, PartialEq)]
pub enum NoAnswer {
    /// The server says why not.
    Refused(RpcError),
    /// It is nothing that MCP knows.
    NotMcp,
}

/// The result in `text`, which answers the request `id`.
///
/// # Errors
/// What else it is.
pub fn result<'a, T: Deserialize<'a>>(text: &'a [u8], id: u64) -> Result<T, NoAnswer> {
    let message: Message<T> = serde_json::from_slice(text).map_err(|_| NoAnswer::NotMcp)?;
    match message {
        Message {
            error: Some(error), ..
        } => Err(NoAnswer::Refused(error)),
        Message {
            id: Some(given),
            result: Some(result),
            ..
        } if given.is(id) => Ok(result),
        _ => Err(NoAnswer::NotMcp),
    }
}

/// Whether `text` is a response to the request `id`, good or bad.
fn answers(text: &[u8], id: u64) -> bool {
    let message: Result<Message<IgnoredAny>, _> = serde_json::from_slice(text);
    message.is_ok_and(|message| {
        (message.result.is_some() || message.error.is_some()) && message.id.is_some_and(|given| given.is(id))
    })
}

/// Finds the response to one request in a stream of events. Each byte is looked at once.
#[derive(Debug, Default)]
pub struct EventStream {
    line: Vec<u8>,
    data: Vec<u8>,
    after_cr: bool,
}

impl EventStream {
    /// Takes in a part of the stream; gives the response to `id` when it is complete.
    pub fn feed(&mut self, part: &[u8], id: u64) -> Option<Vec<u8>> {
        for byte in part {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    if let Some(found) = self.end_of_line(id) {
                        return Some(found);
                    }
                }
                byte => self.line.push(*byte),
            }
        }
        None
    }

    fn end_of_line(&mut self, id: u64) -> Option<Vec<u8>> {
        if self.line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return answers(&data, id).then_some(data);
        }
        if let Some(data) = self.line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend(data.strip_prefix(b" ").unwrap_or(data));
        }
        self.line.clear();
        None
    }
}

/// Whether the stream that begins with `text` has the event by which the older HTTP+SSE transport names the address for
/// messages: a line of the event's name, whole as it is read.
#[must_use]
pub fn names_endpoint(text: &[u8]) -> bool {
    let whole = text.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let lines = text[..whole.unwrap_or(0)].split(|byte| matches!(byte, b'\n' | b'\r'));
    lines
        .filter_map(|line| line.strip_prefix(b"event:"))
        .any(|name| name.trim_ascii() == b"endpoint")
}

/// The name and version that an implementation gives itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Implementation {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// What a server can do, as far as it is read.
#[derive(Debug, Default, Deserialize)]
pub struct Capabilities {
    #[serde(default)]
    tools: Option<IgnoredAny>,
}

impl Capabilities {
    /// Whether it has tools.
    #[must_use]
    pub const fn has_tools(&self) -> bool {
        self.tools.is_some()
    }
}

/// The result of `server/discover` (2026-07-28).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovered {
    /// The versions that it speaks.
    pub supported_versions: Vec<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    #[serde(default, rename = "_meta")]
    meta: Meta,
    #[serde(default)]
    server_info: Option<Implementation>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default, rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Option<Implementation>,
}

impl Discovered {
    /// Who it says it is.
    #[must_use]
    pub fn identity(&self) -> Implementation {
        let told = self.meta.server_info.as_ref().or(self.server_info.as_ref());
        told.cloned().unwrap_or_default()
    }
}

/// The result of `initialize` (until 2025-11-25).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialized {
    /// The version that it chose.
    pub protocol_version: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Who it says it is.
    #[serde(default)]
    pub server_info: Implementation,
}

/// A page of `tools/list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolsPage {
    /// The tools of the page.
    pub tools: Vec<Tool>,
    /// Where the next begins.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> NoAnswer {
        result::<ToolsPage>(text.as_bytes(), 7).unwrap_err()
    }

    #[test]
    fn what_is_an_answer_and_what_is_not() {
        let page = |id: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"a"}}],"ttlMs":1}}}}"#)
        };
        assert_eq!(
            result::<ToolsPage>(page("7").as_bytes(), 7).unwrap().tools.len(),
            1
        );
        assert!(result::<ToolsPage>(page("\"7\"").as_bytes(), 7).is_ok());
        for other in [
            &page("8"),
            &page("null"),
            "",
            "[]",
            "<html>",
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"tools":{}}}"#,
            r#"{"status":"healthy"}"#,
            &format!("{}1{}", "[".repeat(5000), "]".repeat(5000)),
        ] {
            assert_eq!(refused(other), NoAnswer::NotMcp, "{other}");
        }
        // An error that could not find out which request it answers has no id.
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}"#;
        assert!(matches!(refused(error), NoAnswer::Refused(error) if error.code == -32601));
    }

    #[test]
    fn both_eras_say_who_they_are() {
        let modern = json!({"jsonrpc": "2.0", "id": 1, "result": {
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "jobs", "version": "1"}},
        }})
        .to_string();
        let modern: Discovered = result(modern.as_bytes(), 1).unwrap();
        assert!(modern.capabilities.has_tools());
        assert_eq!(modern.identity().name, "jobs");
        let old = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"old","version":"0"}}}"#;
        let old: Initialized = result(old.as_bytes(), 1).unwrap();
        assert!(!old.capabilities.has_tools());
        assert_eq!(old.server_info.name, "old");
    }

    const STREAM: &str = ": hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n\
         data: {\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\ndata: \"result\":{\"tools\":[]}}\n\nrest";

    #[test]
    fn a_stream_is_read_until_the_answer() {
        let found = EventStream::default().feed(STREAM.as_bytes(), 7).unwrap();
        assert!(result::<ToolsPage>(&found, 7).is_ok());
        assert_eq!(EventStream::default().feed(STREAM.as_bytes(), 8), None);
    }

    proptest! {
        #[test]
        fn a_stream_may_come_in_any_parts(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut stream = EventStream::default();
            let (mut from, mut found) = (0, None);
            for to in cuts.into_iter().chain([STREAM.len()]) {
                found = found.or_else(|| stream.feed(&STREAM.as_bytes()[from..to], 7));
                from = to;
            }
            prop_assert!(found.is_some());
        }

        #[test]
        fn nothing_that_comes_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = result::<ToolsPage>(&bytes, 1);
            let _ = result::<Discovered>(&bytes, 1);
            prop_assert_eq!(EventStream::default().feed(&bytes, 1), None);
        }
    }
}
