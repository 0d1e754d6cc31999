//! Whom the limits take a request to be from, behind proxies.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{TestServer, request};

/// Whether one more message of a client is served that one proxy, the test itself, passes on.
async fn served(server: &TestServer, header: (&str, &str)) -> bool {
    let ping = request(1, "ping", json!({}));
    let sent = server.post("/mcp", &ping).header(header.0, header.1).send();
    match sent.await.expect("answered").status() {
        StatusCode::OK => true,
        StatusCode::TOO_MANY_REQUESTS => false,
        other => panic!("{other}"),
    }
}

async fn spent(server: &TestServer, header: (&str, &str)) -> bool {
    for _ in 0..10 {
        if !served(server, header).await {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn one_proxy_is_not_one_client() {
    let server = TestServer::start(&[
        ("RATE_LIMIT", "1"),
        ("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8"),
    ])
    .await;
    assert!(spent(&server, ("X-Forwarded-For", "203.0.113.1")).await);
    assert!(
        served(&server, ("X-Forwarded-For", "203.0.113.2")).await,
        "another client"
    );
    assert!(
        served(&server, ("Forwarded", "for=203.0.113.3")).await,
        "as RFC 7239 has it"
    );
    assert!(
        !served(
            &server,
            ("X-Forwarded-For", "203.0.113.77, 203.0.113.1, 10.1.1.1")
        )
        .await,
        "what a client writes itself changes nothing"
    );
    assert!(spent(&server, ("X-Forwarded-For", "2001:db8::1")).await);
    assert!(
        !served(&server, ("X-Forwarded-For", "2001:db8::2")).await,
        "the same network"
    );
}

#[tokio::test]
async fn without_trust_the_other_end_is_the_client() {
    let server = TestServer::start(&[("RATE_LIMIT", "1"), ("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    assert!(spent(&server, ("X-Forwarded-For", "203.0.113.1")).await);
    assert!(!served(&server, ("X-Forwarded-For", "203.0.113.2")).await);
    assert!(!served(&server, ("Forwarded", "for=203.0.113.3")).await);
}
