//! The deployment guide's own commands, line by line.

use serde_json::{Value, json};

use crate::support::{Stream, TestServer};

#[tokio::test]
async fn health() {
    let server = TestServer::start(&[]).await;
    let answer = server.get("/health").send().await.expect("answered");
    assert_eq!(
        answer.text().await.expect("text"),
        r#"{"status":"healthy","service":"iam-mcp-server"}"#
    );
}

#[tokio::test]
async fn the_complete_session() {
    let server = TestServer::start(&[]).await;
    let open = server
        .get("/sse")
        .header("Accept", "text/event-stream")
        .send()
        .await
        .expect("answered");
    assert_eq!(open.headers()["content-type"], "text/event-stream");
    assert_eq!(open.headers()["x-accel-buffering"], "no");
    let mut stream = Stream::of(open).await;
    assert!(
        stream.endpoint.starts_with("/messages/?session_id="),
        "{}",
        stream.endpoint
    );

    let initialize: Value = serde_json::from_str(
        r#"{"jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":"0.1.0","capabilities":{"prompts":{},"tools":{}},"clientInfo":{"name":"test-client","version":"1.0.0"}},"id":1}"#,
    )
    .expect("JSON");
    let answer = stream.ask(&server, &initialize).await;
    assert_eq!(
        answer["result"]["protocolVersion"], "2025-11-25",
        "a version that we have"
    );

    let initialized: Value = serde_json::from_str(
        r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"capabilities":{}}}"#,
    )
    .expect("JSON");
    stream.send(&server, &initialized).await;

    let prompts = json!({ "jsonrpc": "2.0", "method": "prompts/list", "params": {}, "id": 2 });
    let answer = stream.ask(&server, &prompts).await;
    assert_eq!(answer["result"]["prompts"].as_array().map(Vec::len), Some(5));

    let tools = json!({ "jsonrpc": "2.0", "method": "tools/list", "params": {}, "id": 3 });
    let answer = stream.ask(&server, &tools).await;
    assert_eq!(answer["result"]["tools"][0]["name"], "search_jobs");

    let call: Value = serde_json::from_str(
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search_jobs","arguments":{"query":"Python developer","location":"San Francisco, CA","num_pages":1}},"id":4}"#,
    )
    .expect("JSON");
    let answer = stream.ask(&server, &call).await;
    let job = &answer["result"]["structuredContent"]["jobs"][0];
    assert_eq!(job["title"], "Python Developer");
    assert_eq!(job["location"], "San Francisco, CA, United States");
    for field in ["job_id", "company", "description", "apply_link"] {
        assert!(
            job[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field} of {job}"
        );
    }
}
