//! A client of 2026-07-28 over `POST /mcp`.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{TestServer, request};

pub(crate) const VERSION: &str = "2026-07-28";

/// A message that says everything, of a client that can do `capabilities`.
pub(crate) fn message(method: &str, mut params: Value, capabilities: &Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = VERSION.into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
    request(1, method, params)
}

/// The same as a POST, with the headers that belong to it.
pub(crate) fn post(server: &TestServer, message: &Value) -> RequestBuilder {
    let method = message["method"].as_str().expect("a method");
    let name = ["name", "uri"].map(|field| message["params"][field].as_str());
    let sent = server
        .post("/mcp", message)
        .header("MCP-Protocol-Version", VERSION)
        .header("Mcp-Method", method);
    match name {
        [Some(name), _] | [None, Some(name)] => sent.header("Mcp-Name", name),
        [None, None] => sent,
    }
}

/// The answer to a request of a client without capabilities.
pub(crate) async fn ask(server: &TestServer, method: &str, params: Value) -> Value {
    ask_as(server, None, method, params).await
}

/// And with a token.
pub(crate) async fn ask_as(server: &TestServer, token: Option<&str>, method: &str, params: Value) -> Value {
    let mut sent = post(server, &message(method, params, &json!({})));
    if let Some(token) = token {
        sent = sent.bearer_auth(token);
    }
    sent.send().await.expect("answered").json().await.expect("JSON")
}
