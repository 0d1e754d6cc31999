//! Which method goes where.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Stream, TestServer, error_of, initialize, request};

#[tokio::test]
async fn messages_go_to_mcp_and_to_the_addresses_that_the_guide_hands_out() {
    let server = TestServer::start(&[]).await;
    for path in ["/mcp", "/mcp/", "/", "/messages", "/messages/"] {
        let answer = server
            .post(path, &initialize(1, "2025-06-18"))
            .send()
            .await
            .expect("answered");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(
            answer.headers().get("mcp-session-id").is_none(),
            "{path} is stateless"
        );
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["result"]["protocolVersion"], "2025-06-18", "{path}");
    }
}

#[tokio::test]
async fn streams_open_at_sse_and_at_messages() {
    let server = TestServer::start(&[]).await;
    for path in ["/sse", "/sse/", "/messages", "/messages/"] {
        let open = server
            .get(path)
            .header("Accept", "text/event-stream")
            .send()
            .await
            .expect("answered");
        let mut stream = Stream::of(open).await;
        let answer = stream.ask(&server, &request(1, "ping", json!({}))).await;
        assert_eq!(answer["result"], json!({}), "{path}");
    }
}

/// 2026-07-28: GET and DELETE by older clients SHOULD be 405; older revisions allow it for servers without
/// a stream of their own.
#[tokio::test]
async fn what_a_path_does_not_do_is_405_with_allow() {
    let server = TestServer::start(&[]).await;
    for (method, path, allow) in [
        ("GET", "/", "POST"),
        ("GET", "/mcp", "POST"),
        ("DELETE", "/mcp", "POST"),
        ("HEAD", "/mcp", "POST"),
        ("OPTIONS", "/mcp", "POST"),
        ("GET", "/messages", "POST"),
        ("DELETE", "/messages", "GET, POST"),
        ("POST", "/sse", "GET, HEAD"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let sent = server
            .client
            .request(method.clone(), server.url(path))
            .send()
            .await
            .expect("answered");
        assert_eq!(sent.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(sent.headers()["allow"], allow, "{method} {path}");
    }
}

#[tokio::test]
async fn a_head_request_opens_no_session() {
    let server = TestServer::start(&[]).await;
    let head = server
        .client
        .head(server.url("/sse"))
        .send()
        .await
        .expect("answered");
    assert_eq!(
        (head.status(), &head.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().expect("value"))
    );
    assert!(
        server
            .metrics()
            .await
            .contains("iam_mcp_sse_sessions_opened_total 0\n")
    );
}

#[tokio::test]
async fn an_unknown_path_says_where_to_go() {
    let server = TestServer::start(&[]).await;
    let (status, _, message) = error_of(server.get("/favicon.ico").send().await.expect("answered")).await;
    assert_eq!(status, 404);
    assert!(message.contains("/mcp"), "{message}");
}

#[tokio::test]
async fn cors_is_there_when_it_is_asked_for() {
    let preflight = |server: &TestServer| {
        server
            .client
            .request(Method::OPTIONS, server.url("/mcp"))
            .header("Origin", "https://app.example.com")
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "content-type, mcp-protocol-version, mcp-param-city",
            )
    };
    let server = TestServer::start(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    let answer = preflight(&server).send().await.expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("access-control-allow-origin"), "https://app.example.com");
    assert!(header("access-control-allow-methods").contains("POST"));
    assert!(header("access-control-allow-headers").contains("mcp-param-city"));
    let sent = server
        .post("/mcp", &request(1, "ping", json!({})))
        .header("Origin", "https://app.example.com");
    let answer = sent.send().await.expect("answered");
    let exposed = answer.headers()["access-control-expose-headers"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        exposed.contains("mcp-protocol-version") && exposed.contains("retry-after"),
        "{exposed}"
    );

    let server = TestServer::start(&[("ALLOWED_ORIGINS", "https://app.example.com")]).await;
    let answer = preflight(&server).send().await.expect("answered");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        answer.headers().get("access-control-allow-origin").is_none(),
        "an ingress may do CORS"
    );
}

/// `ingress.path` of an `McpServer`: an ingress passes the path on as it came.
#[tokio::test]
async fn every_address_is_served_below_the_base_path_too() {
    let server = TestServer::start(&[("BASE_PATH", "/jobs")]).await;
    for path in [
        "/jobs/mcp",
        "/jobs",
        "/jobs/",
        "/jobs/?a=b",
        "/jobs/messages",
        "/mcp",
    ] {
        let answer = server
            .post(path, &initialize(1, "2025-06-18"))
            .send()
            .await
            .expect("answered");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    for (path, endpoint) in [
        ("/jobs/sse", "/jobs/messages/?session_id="),
        ("/sse", "/messages/?session_id="),
    ] {
        let open = server.get(path).send().await.expect("answered");
        let mut stream = Stream::of(open).await;
        assert!(stream.endpoint.starts_with(endpoint), "{}", stream.endpoint);
        let answer = stream.ask(&server, &request(1, "ping", json!({}))).await;
        assert_eq!(answer["result"], json!({}), "{path}");
    }
    let lost = server.get("/jobs/nowhere").send().await.expect("answered");
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
}
