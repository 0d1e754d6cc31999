//! Who is served: the Host and Origin checks on every route but /health.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{TestServer, client, error_of, request};

/// Every route that must be checked, with the method it serves.
const ROUTES: [(&str, &str); 8] = [
    ("POST", "/"),
    ("POST", "/mcp"),
    ("GET", "/sse"),
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("POST", "/messages/"),
    ("POST", "/messages/?session_id=x"),
    ("GET", "/nothing-here"),
];

async fn status(server: &TestServer, (method, path): (&str, &str), header: (&str, &str)) -> StatusCode {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let sent = server
        .client
        .request(method, server.url(path))
        .header("Accept", "application/json, text/event-stream")
        .header(header.0, header.1)
        .json(&request(1, "ping", json!({})));
    sent.send().await.expect("answered").status()
}

/// Section 6, item 1: MUST validate Origin on all incoming connections; present and invalid is 403.
#[tokio::test]
async fn must_6_1_a_foreign_origin_is_403_on_every_route() {
    let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
    for route in ROUTES {
        for origin in [
            "http://evil.example",
            "https://localhost.evil.example",
            "null",
            "http://",
            "not an origin",
            "file://",
        ] {
            assert_eq!(
                status(&server, route, ("Origin", origin)).await,
                StatusCode::FORBIDDEN,
                "{route:?} {origin}"
            );
        }
        let own = status(&server, route, ("Origin", "http://localhost:6274")).await;
        assert_ne!(own, StatusCode::FORBIDDEN, "{route:?}");
    }
}

/// The same defence against DNS rebinding from the other side.
#[tokio::test]
async fn must_6_1_a_foreign_host_is_403_on_every_route() {
    let server = TestServer::start(&[("ALLOWED_HOSTS", "mcp.example.com, *.svc"), ("RATE_LIMIT", "0")]).await;
    for route in ROUTES {
        for (host, served) in [
            ("localhost", true),
            ("LOCALHOST:9999", true),
            ("127.0.0.1:1", true),
            ("[::1]:9999", true),
            ("mcp.example.com", true),
            ("iam.mcp.svc", true),
            ("evil.example", false),
            ("mcp.example.com.evil.example", false),
            ("169.254.169.254", false),
        ] {
            let forbidden = status(&server, route, ("Host", host)).await == StatusCode::FORBIDDEN;
            assert_eq!(forbidden, !served, "{route:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_a_json_rpc_error_that_names_the_setting() {
    let server = TestServer::start(&[]).await;
    let refused = server
        .get("/sse")
        .header("Origin", "http://evil.example")
        .send()
        .await
        .expect("answered");
    let (status, code, message) = error_of(refused).await;
    assert_eq!((status, code), (403, -32600));
    assert!(message.contains("ALLOWED_ORIGINS"), "{message}");
    let refused = server
        .get("/sse")
        .header("Host", "evil.example")
        .send()
        .await
        .expect("answered");
    assert!(error_of(refused).await.2.contains("ALLOWED_HOSTS"));
}

#[tokio::test]
async fn health_and_the_admin_port_are_open_to_any_name() {
    let server = TestServer::start(&[]).await;
    let answer = server
        .get("/health")
        .header("Host", "10.0.0.7:8080")
        .send()
        .await
        .expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let ready = format!("http://{}/readyz", server.admin);
    let answer = client()
        .get(ready)
        .header("Host", "10.0.0.7:9090")
        .send()
        .await
        .expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn origins_follow_the_settings() {
    let origin = |name: &'static str| ("Origin", name);
    let route = ("POST", "/mcp");
    let server = TestServer::start(&[
        ("ALLOWED_HOSTS", "mcp.example.com"),
        ("CORS_ORIGINS", "https://app.example.com"),
        ("RATE_LIMIT", "0"),
    ])
    .await;
    for good in [
        "https://mcp.example.com",
        "http://mcp.example.com:8080",
        "https://app.example.com",
    ] {
        assert_eq!(
            status(&server, route, origin(good)).await,
            StatusCode::OK,
            "{good}"
        );
    }
    assert_eq!(
        status(&server, route, origin("http://app.example.com")).await,
        StatusCode::FORBIDDEN
    );

    let server = TestServer::start(&[("ALLOWED_ORIGINS", "https://only.example.com")]).await;
    assert_eq!(
        status(&server, route, origin("https://only.example.com")).await,
        StatusCode::OK
    );
    assert_eq!(
        status(&server, route, origin("http://localhost:1")).await,
        StatusCode::FORBIDDEN
    );

    let server = TestServer::start(&[("CORS_ORIGINS", "*")]).await;
    assert_eq!(
        status(&server, route, origin("https://anyone.example")).await,
        StatusCode::OK
    );
}
