//! Sessions of the older transport.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Stream, TestServer, error_of, initialize, notification, request};

#[tokio::test]
async fn answers_go_to_the_session_that_asked() {
    let server = TestServer::start(&[]).await;
    let (mut one, mut two) = (Stream::open(&server).await, Stream::open(&server).await);
    one.send(&server, &request(1, "ping", json!({}))).await;
    two.send(&server, &request(2, "ping", json!({}))).await;
    assert_eq!(one.message().await["id"], 1);
    assert_eq!(two.message().await["id"], 2);
}

#[tokio::test]
async fn a_session_ends_with_its_stream() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    let endpoint = stream.endpoint.clone();
    server.until_metric("iam_mcp_sse_streams_open 1").await;
    drop(stream);
    server
        .until_metric("iam_mcp_sse_sessions_ended_total{cause=\"client\"} 1")
        .await;
    let sent = server
        .post(&endpoint, &request(1, "ping", json!({})))
        .send()
        .await
        .expect("answered");
    let (status, _, message) = error_of(sent).await;
    assert_eq!(status, 404);
    assert!(
        message.contains("has ended") && message.contains("GET /sse"),
        "{message}"
    );
    server.until_metric("iam_mcp_sse_streams_open 0").await;
}

/// Section 6, item 4: session ids MUST be secure, an unknown one MUST be 404.
#[tokio::test]
async fn must_6_4_a_made_up_session_is_404() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    let mut tampered = stream.endpoint.clone();
    let last = if tampered.pop() == Some('A') { 'B' } else { 'A' };
    tampered.insert(tampered.len() - 1, last);
    for path in [
        "/messages/?session_id=",
        "/messages/?session_id=0123456789abcdef0123456789abcdef",
        &tampered,
    ] {
        let sent = server
            .post(path, &request(1, "ping", json!({})))
            .send()
            .await
            .expect("answered");
        let (status, code, message) = error_of(sent).await;
        assert_eq!((status, code), (404, -32600), "{path}");
        assert!(message.contains("GET /sse"), "{message}");
    }
    server
        .until_metric("iam_mcp_sse_messages_without_session_total{cause=\"forged\"} 3")
        .await;
}

#[tokio::test]
async fn a_session_of_a_replica_is_told_apart_from_a_made_up_one() {
    let key = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(key.path(), [7; 32]).expect("written");
    let file = key.path().to_str().expect("text");
    let here = TestServer::start(&[("SESSION_KEY_FILE", file)]).await;
    let there = TestServer::start(&[("SESSION_KEY_FILE", file)]).await;
    let stream = Stream::open(&there).await;
    let sent = here
        .post(&stream.endpoint, &request(1, "ping", json!({})))
        .send()
        .await
        .expect("answered");
    let (status, _, message) = error_of(sent).await;
    assert_eq!(status, 404);
    assert!(
        message.contains("another replica") && message.contains("GET /sse"),
        "{message}"
    );
    here.until_metric("iam_mcp_sse_messages_without_session_total{cause=\"foreign\"} 1")
        .await;
}

#[tokio::test]
async fn sessions_are_capped_with_a_503() {
    let server = TestServer::start(&[("MAX_SESSIONS", "2")]).await;
    let first = Stream::open(&server).await;
    let _second = Stream::open(&server).await;
    let refused = server.get("/sse").send().await.expect("answered");
    assert!(refused.headers().contains_key("retry-after"));
    let (status, _, message) = error_of(refused).await;
    assert_eq!(status, 503);
    assert!(message.contains("/mcp"), "{message}");
    drop(first);
    server.until_metric("iam_mcp_sse_streams_open 1").await;
    Stream::open(&server).await;
}

#[tokio::test]
async fn malformed_messages_are_400() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    for (body, code) in [("{", -32700), ("[]", -32600), ("{}", -32600), ("7", -32600)] {
        let sent = server
            .client
            .post(server.url(&stream.endpoint))
            .body(body)
            .send()
            .await
            .expect("answered");
        let (status, error, _) = error_of(sent).await;
        assert_eq!((status, error), (400, code), "{body}");
    }
}

#[tokio::test]
async fn only_versions_with_initialize_are_negotiated() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    let meta = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    let discover = stream.ask(&server, &request(1, "server/discover", meta)).await;
    assert_eq!(discover["error"]["code"], -32022, "{discover}");
    let answer = stream.ask(&server, &initialize(2, "2026-07-28")).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    let answer = stream.ask(&server, &initialize(3, "2024-11-05")).await;
    assert_eq!(answer["result"]["protocolVersion"], "2024-11-05");
}

#[tokio::test]
async fn notifications_and_answers_are_taken_without_one() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream
        .send(
            &server,
            &notification("notifications/roots/list_changed", json!({})),
        )
        .await;
    stream
        .send(
            &server,
            &notification("notifications/cancelled", json!({ "requestId": 99 })),
        )
        .await;
    stream
        .send(&server, &notification("notifications/of/the/future", json!({})))
        .await;
    stream
        .send(&server, &json!({ "jsonrpc": "2.0", "id": 5, "result": {} }))
        .await;
    assert_eq!(
        stream.ask(&server, &request(1, "ping", json!({}))).await["result"],
        json!({})
    );
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
    let mut stream = Stream::open(&server).await;
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..4 {
        for id in 0..8 {
            stream
                .send(&server, &request(round * 8 + id, "tools/list", json!({})))
                .await;
        }
        for _ in 0..8 {
            seen.insert(stream.message().await["id"].as_u64().expect("an id"));
        }
    }
    assert_eq!(seen.len(), 32);
}

#[tokio::test]
async fn strings_are_ids_too() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    let ping = json!({ "jsonrpc": "2.0", "id": "a-1", "method": "ping" });
    assert_eq!(stream.ask(&server, &ping).await["id"], "a-1");
    assert_eq!(stream.post(&server, &ping).await.status(), StatusCode::ACCEPTED);
}
