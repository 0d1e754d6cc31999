//! `POST /mcp` by clients of 2026-07-28, where each request says everything.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{TestServer, error_of, request};

const VERSION: &str = "2026-07-28";

fn meta(version: &str) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    })
}

fn message(method: &str, mut params: Value) -> Value {
    params["_meta"] = meta(VERSION);
    request(1, method, params)
}

fn post(server: &TestServer, message: &Value) -> RequestBuilder {
    let method = message["method"].as_str().expect("a method");
    server
        .post("/mcp", message)
        .header("MCP-Protocol-Version", VERSION)
        .header("Mcp-Method", method)
}

#[tokio::test]
async fn discover_names_the_versions_and_the_server() {
    let server = TestServer::start(&[]).await;
    let answer = post(&server, &message("server/discover", json!({})))
        .send()
        .await
        .expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    let result = &answer["result"];
    assert!(
        result["supportedVersions"]
            .as_array()
            .is_some_and(|versions| versions.len() == 5),
        "{answer}"
    );
    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "iam-mcp-server"
    );
    assert_eq!(
        (&result["ttlMs"], &result["cacheScope"]),
        (&json!(3_600_000), &json!("public"))
    );
}

#[tokio::test]
async fn a_search_in_one_request() {
    let server = TestServer::start(&[]).await;
    let call = message(
        "tools/call",
        json!({ "name": "search_jobs", "arguments": { "role": "nurse" } }),
    );
    let answer = post(&server, &call)
        .header("Mcp-Name", "search_jobs")
        .send()
        .await
        .expect("answered");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"],
        "Registered Nurse"
    );
}

/// Section 6, item 3: header and body MUST agree, else 400 and -32020.
#[tokio::test]
async fn must_6_3_headers_that_contradict_the_body_are_400() {
    let server = TestServer::start(&[]).await;
    let call = message(
        "tools/call",
        json!({ "name": "search_jobs", "arguments": { "role": "nurse" } }),
    );
    let with = |method: &str, name: Option<&str>| {
        let sent = server
            .post("/mcp", &call)
            .header("MCP-Protocol-Version", VERSION)
            .header("Mcp-Method", method);
        name.into_iter()
            .fold(sent, |sent, name| sent.header("Mcp-Name", name))
    };
    for sent in [
        with("tools/list", Some("search_jobs")),
        with("tools/call", Some("other_tool")),
        with("tools/call", None),
        server
            .post("/mcp", &call)
            .header("MCP-Protocol-Version", "2025-11-25"),
    ] {
        let (status, code, message) = error_of(sent.send().await.expect("answered")).await;
        assert_eq!((status, code), (400, -32020), "{message}");
    }
}

/// Section 6, item 3: `_meta` without its required fields MUST be 400 and -32602, an unknown version 400.
#[tokio::test]
async fn must_6_3_missing_meta_and_unknown_versions_are_400() {
    let server = TestServer::start(&[]).await;
    let bare = request(1, "tools/list", json!({}));
    assert_eq!(
        error_of(post(&server, &bare).send().await.expect("answered"))
            .await
            .1,
        -32602
    );
    let unknown = server
        .post("/mcp", &bare)
        .header("MCP-Protocol-Version", "1999-01-01");
    assert_eq!(error_of(unknown.send().await.expect("answered")).await.0, 400);
    let mut future = bare.clone();
    future["params"]["_meta"] = meta("2999-01-01");
    let sent = server
        .post("/mcp", &future)
        .header("MCP-Protocol-Version", "2999-01-01");
    let sent = sent.header("Mcp-Method", "tools/list");
    assert_eq!(error_of(sent.send().await.expect("answered")).await.0, 400);
}

#[tokio::test]
async fn what_the_revision_has_removed_is_404_with_32601() {
    let server = TestServer::start(&[]).await;
    for method in ["ping", "logging/setLevel", "no/such/method"] {
        let params = if method == "logging/setLevel" {
            json!({ "level": "info" })
        } else {
            json!({})
        };
        let sent = post(&server, &message(method, params))
            .send()
            .await
            .expect("answered");
        let (status, code, _) = error_of(sent).await;
        assert_eq!((status, code), (404, -32601), "{method}");
    }
}
