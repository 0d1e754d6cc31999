//! AUTH=bearer: no request is served without a token, whatever it asks for.

use std::time::Instant;

use axum::{Extension, Router, http::HeaderMap};
use iam_mcp_server::{
    config::{AuthSettings, Settings},
    http::{auth, principal::Principal, proxies::Proxies},
    metrics::Metrics,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::support::{DEADLINE, Stream, TestServer, client, error_of, initialize, request};

const OLD: &str = "old-token-of-alice-0123";
const NEW: &str = "new-token-of-alice-4567";

/// Every kind of answer that the server has: messages, streams, 404 and 405, with and without `BASE_PATH`.
pub(crate) const REQUESTS: [(&str, &str); 17] = [
    ("POST", "/"),
    ("GET", "/"),
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("OPTIONS", "/mcp"),
    ("GET", "/sse"),
    ("GET", "/sse/"),
    ("HEAD", "/sse"),
    ("POST", "/sse"),
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("POST", "/messages/"),
    ("POST", "/messages/?session_id=x"),
    ("GET", "/nothing-here"),
    ("BREW", "/health/"),
];

struct Guarded {
    server: TestServer,
    file: NamedTempFile,
}

impl Guarded {
    async fn start(more: &[(&str, &str)]) -> Self {
        let file = NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), format!("alice {OLD}\n")).expect("written");
        let path = file.path().to_str().expect("a path").to_owned();
        let auth = [("AUTH", "bearer"), ("AUTH_TOKENS_FILE", path.as_str())];
        // The first of a name counts.
        let environment = [more, &auth, &[("RATE_LIMIT", "0")]].concat();
        let server = TestServer::start(&environment).await;
        Self { server, file }
    }

    fn rotate(&self, content: &str) {
        std::fs::write(self.file.path(), content).expect("written");
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.server
            .client
            .request(method, self.server.url(path))
            .header("Accept", "application/json, text/event-stream")
            .json(&request(1, "ping", json!({})))
    }

    async fn ping(&self, token: &str) -> StatusCode {
        send(self.request("POST", "/mcp").bearer_auth(token))
            .await
            .status()
    }

    async fn until_ping(&self, token: &str, expected: StatusCode) {
        let start = Instant::now();
        while self.ping(token).await != expected {
            assert!(start.elapsed() < DEADLINE, "{token} is not {expected}");
            tokio::task::yield_now().await;
        }
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("answered")
}

/// Section 6, item 4: servers with authorization MUST verify all inbound requests.
/// Item 7: invalid => MUST 401; tokens MUST NOT be in the query string.
#[tokio::test]
async fn must_6_4_every_request_on_every_route_needs_a_token() {
    let guarded = Guarded::start(&[("BASE_PATH", "/jobs")]).await;
    for (method, path) in REQUESTS {
        for base in ["", "/jobs"] {
            let path = format!("{base}{path}");
            let ask = || guarded.request(method, &path);
            let query = if path.contains('?') { '&' } else { '?' };
            let in_query = |name: &str| guarded.request(method, &format!("{path}{query}{name}={OLD}"));
            let plain = r#"Bearer realm="mcp""#;
            let invalid = r#"Bearer realm="mcp", error="invalid_token""#;
            for (sent, challenge) in [
                (ask(), plain),
                (in_query("access_token"), plain),
                (in_query("token"), plain),
                (ask().basic_auth("alice", Some(OLD)), plain),
                (ask().header("X-Api-Key", OLD), plain),
                (ask().bearer_auth(NEW), invalid),
                (ask().bearer_auth(format!("{OLD}x")), invalid),
                (ask().bearer_auth(""), invalid),
                (ask().bearer_auth(OLD).bearer_auth(OLD), invalid),
            ] {
                let answer = send(sent).await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                assert_eq!(answer.headers()["www-authenticate"], challenge, "{method} {path}");
            }
            let served = send(ask().bearer_auth(OLD)).await.status();
            assert_ne!(served, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_a_json_rpc_error_and_is_counted() {
    let guarded = Guarded::start(&[]).await;
    let ask = || guarded.request("POST", "/mcp");
    let (status, code, message) = error_of(send(ask()).await).await;
    assert_eq!((status, code), (401, -32600));
    assert!(message.contains("Authorization: Bearer"), "{message}");
    send(ask().bearer_auth(NEW)).await;
    send(ask().bearer_auth("two words")).await;
    send(ask().bearer_auth(OLD)).await;
    let metrics = guarded.server.metrics().await;
    for cause in ["missing", "malformed", "unknown"] {
        let line = format!("iam_mcp_auth_refused_total{{cause=\"{cause}\"}} 1\n");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn health_is_open() {
    let guarded = Guarded::start(&[("BASE_PATH", "/jobs")]).await;
    for path in ["/health", "/jobs/health"] {
        assert_eq!(send(guarded.server.get(path)).await.status(), StatusCode::OK);
    }
}

/// Section 6, item 4: MUST NOT use sessions for authentication.
#[tokio::test]
async fn must_6_4_a_session_id_is_no_token() {
    let guarded = Guarded::start(&[]).await;
    let open = send(guarded.request("GET", "/sse").bearer_auth(OLD)).await;
    let mut stream = Stream::of(open).await;
    let message = initialize(1, "2025-06-18");
    let post = || guarded.server.post(&stream.endpoint, &message);
    assert_eq!(send(post()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        send(post().bearer_auth(NEW)).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(send(post().bearer_auth(OLD)).await.status(), StatusCode::ACCEPTED);
    assert_eq!(stream.message().await["result"]["protocolVersion"], "2025-06-18");
}

/// A browser asks without a token whether it may send one.
#[tokio::test]
async fn a_preflight_needs_no_token_and_a_page_can_read_why_it_is_refused() {
    let origin = "https://app.example.com";
    let guarded = Guarded::start(&[("CORS_ORIGINS", origin)]).await;
    for (_, path) in REQUESTS {
        let answer = send(
            guarded
                .request("OPTIONS", path)
                .header("Origin", origin)
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "authorization, content-type"),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        let allowed = answer.headers()["access-control-allow-headers"]
            .to_str()
            .expect("text");
        assert!(allowed.contains("authorization"), "{allowed}");
    }
    let refused = send(guarded.request("POST", "/mcp").header("Origin", origin)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["access-control-allow-origin"], origin);
    let exposed = refused.headers()["access-control-expose-headers"]
        .to_str()
        .expect("text");
    assert!(exposed.contains("www-authenticate"), "{exposed}");
}

/// Whose page it is counts before whose token: a foreign page learns nothing about tokens.
#[tokio::test]
async fn the_origin_check_comes_first_and_the_rate_limit_last() {
    let guarded = Guarded::start(&[("RATE_LIMIT", "1")]).await;
    let foreign = guarded
        .request("POST", "/mcp")
        .header("Origin", "http://evil.example")
        .bearer_auth(OLD);
    assert_eq!(send(foreign).await.status(), StatusCode::FORBIDDEN);
    for _ in 0..5 {
        assert_eq!(guarded.ping(NEW).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        guarded.ping(OLD).await,
        StatusCode::OK,
        "refused requests cost nothing of the limit"
    );
}

#[tokio::test]
async fn a_rotation_loses_nobody_and_ends_the_old_token() {
    let guarded = Guarded::start(&[]).await;
    assert_eq!(guarded.ping(OLD).await, StatusCode::OK);
    assert_eq!(guarded.ping(NEW).await, StatusCode::UNAUTHORIZED);
    guarded.rotate(&format!("alice {OLD}\n# from today\nalice {NEW}\n"));
    guarded.until_ping(NEW, StatusCode::OK).await;
    assert_eq!(guarded.ping(OLD).await, StatusCode::OK);
    guarded.rotate(&format!("alice {NEW}\n"));
    guarded.until_ping(OLD, StatusCode::UNAUTHORIZED).await;
    assert_eq!(guarded.ping(NEW).await, StatusCode::OK);
}

/// What the transports see of whom they serve.
#[tokio::test]
async fn a_request_carries_its_principal_and_not_its_token() {
    async fn whoami(Extension(principal): Extension<Principal>, headers: HeaderMap) -> String {
        format!("{principal:?} {:?}", headers.get("authorization"))
    }
    let file = NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), format!("alice {OLD}\nalice {NEW}\nbob {OLD}-bob\n")).expect("written");
    let tokens = file.path().to_path_buf();
    let bob = format!("{OLD}-bob");
    for (settings, expected) in [
        (
            AuthSettings::Bearer { tokens },
            [OLD, NEW, &bob].map(|token| {
                let name = if token == bob { "bob" } else { "alice" };
                (token, format!("{:?} None", Principal::named(name)))
            }),
        ),
        (
            AuthSettings::None,
            [OLD, NEW, &bob].map(|token| {
                (
                    token,
                    format!("{:?} Some(\"Bearer {token}\")", Principal::ANONYMOUS),
                )
            }),
        ),
    ] {
        let mut http = Settings::read(|_| None).expect("defaults").http;
        http.auth = settings;
        let served = Router::new().fallback(whoami);
        let app = auth::guard(served, &http, None, &Proxies::default(), &Metrics::new().0);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}/anything", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async { axum::serve(listener, app).await });
        for (token, expected) in expected {
            let answer = send(client().get(&url).bearer_auth(token)).await;
            assert_eq!(answer.text().await.expect("text"), expected);
        }
        serving.abort();
    }
}
