//! What clients may know before they have a token.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Guarded, challenge, send};
use crate::support::{TestServer, issuer::Key};

/// Section 6, item 7: MUST implement RFC 9728 with `authorization_servers`.
#[tokio::test]
async fn must_6_7_the_resource_is_described_where_clients_look() {
    const AT: &str = "/.well-known/oauth-protected-resource";
    let key = Key::new("a", "ES256");
    let proxied = [("Host", "mcp.example.com"), ("X-Forwarded-Proto", "http")];
    let hosts = ("ALLOWED_HOSTS", "mcp.example.com");
    let trusted = ("TRUSTED_PROXIES", "127.0.0.1");
    let public = ("PUBLIC_URL", "https://jobs.example/api/");
    let base = ("BASE_PATH", "/jobs");
    let own = "http://OWN";
    for (more, headers, path, resource) in [
        (vec![], vec![], String::from(AT), own.to_owned()),
        (vec![], vec![], format!("{AT}/mcp"), format!("{own}/mcp")),
        (vec![], vec![], format!("{AT}/sse"), format!("{own}/sse")),
        (vec![], vec![], format!("{AT}/nothing"), String::new()),
        (vec![], vec![], format!("{AT}/jobs/mcp"), String::new()),
        (vec![base], vec![], format!("{AT}/mcp"), format!("{own}/mcp")),
        (
            vec![base],
            vec![],
            format!("{AT}/jobs/mcp"),
            format!("{own}/jobs/mcp"),
        ),
        (
            vec![base],
            vec![],
            format!("/jobs{AT}/mcp"),
            format!("{own}/jobs/mcp"),
        ),
        (vec![base], vec![], format!("/jobs{AT}"), format!("{own}/jobs")),
        (
            vec![hosts],
            proxied[..1].to_vec(),
            format!("{AT}/mcp"),
            "https://mcp.example.com/mcp".to_owned(),
        ),
        (
            vec![hosts],
            proxied.to_vec(),
            format!("{AT}/mcp"),
            "https://mcp.example.com/mcp".to_owned(),
        ),
        (
            vec![hosts, trusted],
            proxied.to_vec(),
            format!("{AT}/mcp"),
            "http://mcp.example.com/mcp".to_owned(),
        ),
        (
            vec![public],
            vec![],
            format!("{AT}/mcp"),
            "https://jobs.example/api/mcp".to_owned(),
        ),
        (
            vec![public],
            vec![],
            format!("{AT}/api/mcp"),
            "https://jobs.example/api/mcp".to_owned(),
        ),
        (
            vec![public, base],
            vec![],
            format!("/jobs{AT}/mcp"),
            "https://jobs.example/api/mcp".to_owned(),
        ),
    ] {
        let guarded = Guarded::start(&[&key], &more).await;
        let mut asked = guarded.server.get(&path);
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        let answer = send(asked).await;
        if resource.is_empty() {
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{more:?} {path}");
            continue;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{more:?} {path}");
        let described: Value = answer.json().await.expect("JSON");
        let expected = json!({
            "resource": resource.replace("OWN", &guarded.server.address.to_string()),
            "authorization_servers": [guarded.issuer.url],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(described, expected, "{more:?} {path}");
    }
}

/// A client that begins with nothing: the refusal leads to the description, and that to the issuer.
#[tokio::test]
async fn a_refusal_leads_to_the_issuer() {
    let key = Key::new("a", "ES256");
    let guarded = Guarded::start(&[&key], &[("BASE_PATH", "/jobs"), ("OIDC_SCOPES", "mcp")]).await;
    for path in ["/mcp", "/jobs/mcp", "/jobs/sse", "/jobs/messages/"] {
        let refused = send(guarded.request("POST", path)).await;
        let challenge = challenge(&refused);
        let (_, at) = challenge.split_once("resource_metadata=\"").expect("an address");
        let at = at.split('"').next().expect("its end");
        let described: Value = send(guarded.server.client.get(at))
            .await
            .json()
            .await
            .expect("JSON");
        // RFC 9728, section 3.3: MUST be the address that the client used.
        assert_eq!(described["resource"], guarded.server.url(path));
        assert_eq!(described["authorization_servers"], json!([guarded.issuer.url]));
        assert_eq!(described["scopes_supported"], json!(["mcp"]));
    }
}

/// Without OIDC there is nobody to send clients to.
#[tokio::test]
async fn nothing_is_described_without_an_issuer() {
    let server = TestServer::start(&[]).await;
    let answer = send(server.get("/.well-known/oauth-protected-resource")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
