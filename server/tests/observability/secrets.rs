//! What nobody may read in a log, and a flow that has the server handle all of it.

use std::io::Write as _;

use reqwest::StatusCode;
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::log_level::free_port;
use crate::support::{Process, initialize, request, search};

const TOKEN: &str = "token-of-alice-0123456789";
const UNKNOWN: &str = "token-of-nobody-0123456789";
const ADMIN: &str = "admin-token-0123456789";
const KEY: &str = "rapid-api-key-0123456789";
const SESSION_KEY: &[u8; 32] = b"session-key-session-key-session!";
const ARGUMENT: &str = "underwater-basket-weaver";
const COLLECTOR_KEY: &str = "collector-key-0123456789";

fn file(content: &[u8]) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(content).expect("written");
    let path = file.path().to_str().expect("text").to_owned();
    (file, path)
}

/// Has it handle all of them, and gives the sealed id of a session.
async fn provoke(process: &Process) -> String {
    let call = search(1, json!({ "role": ARGUMENT }));
    for _ in 0..3 {
        let answer = process.post("/mcp", &call).bearer_auth(TOKEN).send().await;
        assert_eq!(answer.expect("answered").status(), StatusCode::OK);
    }
    for token in [UNKNOWN, ADMIN] {
        let answer = process.post("/mcp", &call).bearer_auth(token).send().await;
        assert_eq!(answer.expect("answered").status(), StatusCode::UNAUTHORIZED);
    }
    let leaky = process.post(&format!("/mcp?access_token={UNKNOWN}"), &call);
    assert_eq!(
        leaky.send().await.expect("answered").status(),
        StatusCode::UNAUTHORIZED
    );
    let prompt = json!({ "name": "save_jobs", "arguments": { "role": ARGUMENT } });
    let prompt = process
        .post("/mcp", &request(2, "prompts/get", prompt))
        .bearer_auth(TOKEN);
    prompt.send().await.expect("answered");
    let unknown = json!({ "name": ARGUMENT, "arguments": { "secret": ARGUMENT } });
    let unknown = process
        .post("/mcp", &request(3, "tools/call", unknown))
        .bearer_auth(TOKEN);
    unknown.send().await.expect("answered");

    let stream = process
        .client
        .get(process.url("/sse"))
        .bearer_auth(TOKEN)
        .send()
        .await;
    let mut stream = stream.expect("answered");
    let first = stream.chunk().await.expect("read").expect("an event");
    let first = String::from_utf8(first.to_vec()).expect("text");
    let endpoint = first
        .lines()
        .find_map(|line| line.strip_prefix("data:"))
        .expect("an endpoint")
        .trim();
    let session = endpoint.split_once('=').expect("an id").1;
    for message in [initialize(1, "2025-11-25"), call.clone()] {
        let sent = process.post(endpoint, &message).bearer_auth(TOKEN).send().await;
        assert_eq!(sent.expect("answered").status(), StatusCode::ACCEPTED);
        stream.chunk().await.expect("read").expect("an answer");
    }
    // What a confused client may call its session.
    let confused = process
        .post("/mcp", &call)
        .bearer_auth(TOKEN)
        .header("X-Session-ID", session);
    confused.send().await.expect("answered");
    let forged = process
        .post(&format!("{endpoint}x"), &call)
        .bearer_auth(TOKEN)
        .send()
        .await;
    assert_eq!(forged.expect("answered").status(), StatusCode::NOT_FOUND);
    let admin = process
        .client
        .put(process.admin_url("/log-level"))
        .body("trace")
        .bearer_auth(ADMIN);
    assert_eq!(admin.send().await.expect("answered").status(), StatusCode::OK);
    process
        .until_line(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("collector"))
        })
        .await;
    session.to_owned()
}

#[tokio::test]
async fn no_secret_no_argument_and_no_session_id_is_in_any_line() {
    let provider = MockServer::start().await;
    for status in [200, 500, 429] {
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "data": [] }));
        Mock::given(any())
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&provider)
            .await;
    }
    let (_tokens, tokens) = file(format!("alice {TOKEN}\nshort x\n").as_bytes());
    let (_admin, admin) = file(ADMIN.as_bytes());
    let (_key, key) = file(SESSION_KEY);
    let (provider_url, admin_port) = (provider.uri(), free_port().await);
    let process = Process::start(&[
        ("LOG_LEVEL", "trace"),
        ("ADMIN_PORT", &admin_port),
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", &tokens),
        ("ADMIN_TOKEN_FILE", &admin),
        ("SESSION_KEY_FILE", &key),
        ("RAPIDAPI_KEY", KEY),
        ("RAPIDAPI_BASE_URL", &provider_url),
        ("AUDIT_LOG", "stderr"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("http://127.0.0.1:9/{COLLECTOR_KEY}"),
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-key={COLLECTOR_KEY}")),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ])
    .await;
    let session = provoke(&process).await;
    let log = process.stop().await;
    // It did write about all of it.
    for told in [
        "search_jobs",
        "protocol_error",
        "token",
        "tokens read",
        "forged",
        "line 2",
    ] {
        assert!(log.contains(told), "no {told} in\n{log}");
    }
    let session_key = std::str::from_utf8(SESSION_KEY).expect("text");
    for secret in [
        TOKEN,
        UNKNOWN,
        ADMIN,
        KEY,
        session_key,
        ARGUMENT,
        COLLECTOR_KEY,
        &session,
        // Half an id is too much too.
        &session[..40],
    ] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}
