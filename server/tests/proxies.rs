//! Whom the limits take a request to be from, behind proxies.

use serde_json::{Value, json};

use crate::support::{TestServer, request};

/// Each client has one call in an hour, so that no time that passes changes anything.
const LIMITS: (&str, &str) = ("TOOL_LIMITS", "search_jobs=1/hour");

/// Whether one more call of a client is served that one proxy, the test itself, passes on.
async fn served(server: &TestServer, header: (&str, &str)) -> bool {
    let call = json!({ "name": "search_jobs", "arguments": { "role": "rust" } });
    let call = request(1, "tools/call", call);
    let sent = server.post("/mcp", &call).header(header.0, header.1).send();
    let answer: Value = sent.await.expect("answered").json().await.expect("JSON");
    answer["result"]["isError"] != true
}

/// Uses what a client has, which it must not have used before.
async fn spend(server: &TestServer, header: (&str, &str)) {
    assert!(served(server, header).await, "{header:?} is known already");
    assert!(!served(server, header).await, "{header:?} is not limited");
}

#[tokio::test]
async fn one_proxy_is_not_one_client() {
    let server = TestServer::start(&[LIMITS, ("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]).await;
    spend(&server, ("X-Forwarded-For", "203.0.113.1")).await;
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
    spend(&server, ("X-Forwarded-For", "2001:db8::1")).await;
    assert!(
        !served(&server, ("X-Forwarded-For", "2001:db8::2")).await,
        "the same network"
    );
}

#[tokio::test]
async fn without_trust_the_other_end_is_the_client() {
    let server = TestServer::start(&[LIMITS, ("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    spend(&server, ("X-Forwarded-For", "203.0.113.1")).await;
    assert!(!served(&server, ("X-Forwarded-For", "203.0.113.2")).await);
    assert!(!served(&server, ("Forwarded", "for=203.0.113.3")).await);
}
