//! AUTH=oidc: no request is served without a token that the issuer made for this server.

mod bad;
mod keys;
mod resource;

use std::time::Instant;

use iam_mcp_server::config::{AuthSettings, KeyTimes, Settings};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use self::bad::{Bad, bad_tokens};
use crate::auth::REQUESTS;
use crate::support::{
    DEADLINE, Stream, TestServer, error_of, initialize,
    issuer::{AUDIENCE, Issuer, Key, seconds},
    request,
};

struct Guarded {
    server: TestServer,
    issuer: Issuer,
}

impl Guarded {
    async fn start(keys: &[&Key], more: &[(&str, &str)]) -> Self {
        Self::with(Issuer::start(keys).await, more, |_| {}).await
    }

    async fn with(issuer: Issuer, more: &[(&str, &str)], times: impl FnOnce(&mut KeyTimes)) -> Self {
        let audience = format!("https://another.example, {AUDIENCE}");
        let oidc = [
            ("AUTH", "oidc"),
            ("OIDC_ISSUER", issuer.url.as_str()),
            ("OIDC_AUDIENCE", audience.as_str()),
            ("RATE_LIMIT", "0"),
        ];
        let environment = [more, &oidc].concat();
        let change = |settings: &mut Settings| match &mut settings.http.auth {
            AuthSettings::Oidc(oidc) => times(&mut oidc.keys),
            other => panic!("{other:?}"),
        };
        let server = TestServer::start_with(&environment, change).await;
        Self { server, issuer }
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
            assert!(start.elapsed() < DEADLINE, "not {expected}");
            tokio::task::yield_now().await;
        }
    }

    async fn counted(&self, cause: &str) -> u64 {
        let start = format!("iam_mcp_auth_refused_total{{cause=\"{cause}\"}} ");
        let metrics = self.server.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |count| count.parse().expect("a number"))
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("answered")
}

fn challenge(answer: &Response) -> String {
    let challenge = answer.headers().get("www-authenticate").expect("a challenge");
    challenge.to_str().expect("text").to_owned()
}

/// Claims, changed: `null` takes one away.
fn but(mut claims: Value, change: Value) -> Value {
    let all = claims.as_object_mut().expect("an object");
    for (name, value) in change.as_object().expect("an object") {
        match value {
            Value::Null => all.remove(name),
            value => all.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// Section 6, items 4, 6 and 7: MUST verify all inbound requests, MUST validate the audience, MUST answer 401
/// with where to get a token; tokens MUST NOT be in the query string.
#[tokio::test]
async fn must_6_7_a_bad_token_is_refused_on_every_route() {
    let (ec, rsa) = (Key::new("ec", "ES256"), Key::new("rsa", "RS256"));
    let guarded = Guarded::start(
        &[&ec, &rsa],
        &[("BASE_PATH", "/jobs"), ("OIDC_SCOPES", "jobs:read")],
    )
    .await;
    let good = but(guarded.issuer.claims("alice"), json!({ "scope": "jobs:read" }));
    let good = ec.token(&good);
    let bad = bad_tokens(&guarded.issuer, &ec, &rsa);
    for (method, path) in REQUESTS {
        for base in ["", "/jobs"] {
            let ask = || guarded.request(method, &format!("{base}{path}"));
            let plain = path.split('?').next().expect("a path");
            let known = ["/mcp", "/mcp/", "/sse", "/sse/", "/messages", "/messages/"].contains(&plain);
            let described = format!(
                "resource_metadata=\"http://{}{base}/.well-known/oauth-protected-resource{}\", scope=\"jobs:read\"",
                guarded.server.address,
                if known { plain } else { "" },
            );
            let query = if path.contains('?') { '&' } else { '?' };
            let in_query = guarded.request(method, &format!("{base}{path}{query}access_token={good}"));
            for (what, sent) in [
                ("none", ask()),
                ("in the query", in_query),
                ("of another scheme", ask().basic_auth("alice", Some(&good))),
            ] {
                let answer = send(sent).await;
                assert_eq!(
                    answer.status(),
                    StatusCode::UNAUTHORIZED,
                    "{method} {path}: {what}"
                );
                let expected = format!("Bearer realm=\"mcp\", {described}");
                assert_eq!(challenge(&answer), expected, "{method} {path}: {what}");
            }
            let twice = ask().bearer_auth(&good).bearer_auth(&good);
            assert_eq!(
                send(twice).await.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {path}"
            );
            for Bad { what, token, .. } in &bad {
                let answer = send(ask().bearer_auth(token)).await;
                assert_eq!(
                    answer.status(),
                    StatusCode::UNAUTHORIZED,
                    "{method} {path}: one {what}"
                );
                let challenge = challenge(&answer);
                let invalid = challenge.starts_with("Bearer realm=\"mcp\", error=\"invalid_token\", ");
                assert!(
                    invalid && challenge.ends_with(&described),
                    "{method} {path}: one {what}: {challenge}"
                );
            }
            let served = send(ask().bearer_auth(&good)).await.status();
            assert!(
                served != StatusCode::UNAUTHORIZED && served != StatusCode::FORBIDDEN,
                "{method} {path}: {served}"
            );
        }
    }
}

/// Which cause is counted says what was checked: none of them is refused for another's reason.
#[tokio::test]
async fn a_bad_token_is_refused_for_what_is_bad_about_it() {
    let (ec, rsa) = (Key::new("ec", "ES256"), Key::new("rsa", "RS256"));
    let guarded = Guarded::start(&[&ec, &rsa], &[]).await;
    assert_eq!(
        guarded.ping(&ec.token(&guarded.issuer.claims("alice"))).await,
        StatusCode::OK
    );
    for Bad { what, token, cause } in bad_tokens(&guarded.issuer, &ec, &rsa) {
        let before = guarded.counted(cause).await;
        let answer = send(guarded.request("POST", "/mcp").bearer_auth(&token)).await;
        let (status, code, message) = error_of(answer).await;
        assert_eq!((status, code), (401, -32600), "{message}");
        assert_eq!(
            guarded.counted(cause).await,
            before + 1,
            "{what} is not {cause}: {message}"
        );
    }
}

#[tokio::test]
async fn what_is_open_is_open() {
    let key = Key::new("a", "ES256");
    let guarded = Guarded::start(&[&key], &[("BASE_PATH", "/jobs")]).await;
    for path in [
        "/health",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        for base in ["", "/jobs"] {
            let answer = send(guarded.server.get(&format!("{base}{path}"))).await;
            assert_eq!(answer.status(), StatusCode::OK, "{base}{path}");
        }
    }
    // But not to foreign pages and names.
    let foreign = guarded
        .server
        .get("/.well-known/oauth-protected-resource")
        .header("Host", "evil.example");
    assert_eq!(send(foreign).await.status(), StatusCode::FORBIDDEN);
}

/// Section 6, item 4: MUST NOT use sessions for authentication; and one is its principal's alone, on every route
/// that takes a session's id.
#[tokio::test]
async fn must_6_4_somebody_elses_session_is_refused() {
    let key = Key::new("a", "ES256");
    let guarded = Guarded::start(&[&key], &[("BASE_PATH", "/jobs")]).await;
    let claims = |name| guarded.issuer.claims(name);
    let token = |claims: &Value| Some(key.token(claims));
    let alice = key.token(&claims("alice"));
    let open = send(guarded.request("GET", "/sse").bearer_auth(&alice)).await;
    let mut stream = Stream::of(open).await;
    let (_, session) = stream.endpoint.split_once('?').expect("a session");
    let session = session.to_owned();
    let post = |path: &str, token: Option<String>| {
        let sent = guarded
            .server
            .post(&format!("{path}?{session}"), &initialize(1, "2025-06-18"));
        send(match token {
            Some(token) => sent.bearer_auth(token),
            None => sent,
        })
    };
    let (refused, unknown) = (StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND);
    let expired = but(claims("alice"), json!({ "exp": seconds(-60) }));
    let elsewhere = but(claims("alice"), json!({ "aud": "https://other.example" }));
    let foreign = Key::new(&key.kid, "ES256").token(&claims("alice"));
    for path in ["/messages/", "/messages", "/jobs/messages/", "/jobs/messages"] {
        for (what, token, expected) in [
            ("nobody", None, refused),
            ("bob", token(&claims("bob")), unknown),
            ("an expired token", token(&expired), refused),
            ("a token for another", token(&elsewhere), refused),
            ("a foreign key", Some(foreign.clone()), refused),
        ] {
            let status = post(path, token).await.status();
            assert_eq!(status, expected, "{path}: {what}");
        }
    }
    // Bob comes with what only her stream had: he begins anew, and hers stays hers.
    for path in ["/sse", "/sse/", "/messages", "/jobs/sse"] {
        let again = guarded
            .request("GET", path)
            .header("Last-Event-ID", &stream.last_event_id)
            .bearer_auth(key.token(&claims("bob")));
        let bobs = Stream::of(send(again).await).await;
        assert!(!bobs.endpoint.ends_with(&session), "{path}");
    }
    // A new token of the same person goes on with it; and nothing of the others was served.
    let alice_again = token(&but(claims("alice"), json!({ "jti": "2" })));
    let again = post("/messages/", alice_again).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    let answer = stream.message().await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    let metrics = guarded.server.metrics().await;
    assert!(
        metrics.contains("iam_mcp_sse_sessions_resumed_total 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn each_algorithm_with_a_public_key_is_taken() {
    let algorithms = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ];
    let keys: Vec<_> = algorithms.iter().map(|alg| Key::new(alg, alg)).collect();
    let guarded = Guarded::start(&keys.iter().collect::<Vec<_>>(), &[]).await;
    for key in &keys {
        let claims = guarded.issuer.claims("alice");
        assert_eq!(
            guarded.ping(&key.token(&claims)).await,
            StatusCode::OK,
            "{}",
            key.alg
        );
        let several = but(
            claims.clone(),
            json!({ "aud": ["account", AUDIENCE], "exp": seconds(-5) }),
        );
        assert_eq!(
            guarded.ping(&key.token(&several)).await,
            StatusCode::OK,
            "{} with leeway",
            key.alg
        );
        let unnamed = key.sign(&json!({ "alg": key.alg }), &claims);
        assert_eq!(
            guarded.ping(&unnamed).await,
            StatusCode::OK,
            "{} unnamed",
            key.alg
        );
    }
}

#[tokio::test]
async fn the_principal_may_be_another_claim() {
    let key = Key::new("a", "ES256");
    let guarded = Guarded::start(&[&key], &[("OIDC_PRINCIPAL_CLAIM", "azp")]).await;
    let claims = guarded.issuer.claims("alice");
    assert_eq!(guarded.ping(&key.token(&claims)).await, StatusCode::UNAUTHORIZED);
    let named = but(claims, json!({ "azp": "agent" }));
    assert_eq!(guarded.ping(&key.token(&named)).await, StatusCode::OK);
}

/// Section 6, item 7: insufficient scope is 403 `insufficient_scope`.
#[tokio::test]
async fn must_6_7_a_missing_scope_is_403_and_said() {
    let key = Key::new("a", "ES256");
    let guarded = Guarded::start(&[&key], &[("OIDC_SCOPES", "jobs:read|jobs:admin mcp")]).await;
    for (scopes, expected) in [
        (json!({}), StatusCode::FORBIDDEN),
        (json!({ "scope": "mcp" }), StatusCode::FORBIDDEN),
        (json!({ "scope": "mcp jobs:readonly" }), StatusCode::FORBIDDEN),
        (json!({ "scope": "jobs:read mcp" }), StatusCode::OK),
        (json!({ "scp": ["mcp", "jobs:admin"] }), StatusCode::OK),
    ] {
        let token = key.token(&but(guarded.issuer.claims("alice"), scopes.clone()));
        // Twice: what is remembered of a token must not be forgotten of its scopes.
        for _ in 0..2 {
            let answer = send(guarded.request("POST", "/mcp").bearer_auth(&token)).await;
            assert_eq!(answer.status(), expected, "{scopes}");
            if expected == StatusCode::FORBIDDEN {
                let challenge = challenge(&answer);
                assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
                assert!(challenge.ends_with("scope=\"jobs:read mcp\""), "{challenge}");
            }
        }
    }
}
