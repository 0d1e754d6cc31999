//! `LOG_LEVEL` at run time. Who may change it is tested beside the check; here, that it is in front of the route.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::Process;

const TOKEN: &str = "admin-token-0123456789";

async fn put(process: &Process, query: &str, level: &str, headers: &[(&str, &str)]) -> Response {
    let url = process.admin_url(&format!("/log-level{query}"));
    let mut request = process.client.put(url).body(level.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("answered")
}

async fn shown(process: &Process) -> Value {
    let answer = process.client.get(process.admin_url("/log-level")).send().await;
    answer.expect("answered").json().await.expect("JSON")
}

#[tokio::test]
async fn the_level_changes_at_once_and_a_bad_one_changes_nothing() {
    let process = Process::start(&[("ADMIN_PORT", "0")]).await;
    assert_eq!(process.admin, "", "no admin port, no way to change it");
    drop(process);

    let process = Process::start(&[("ADMIN_PORT", &free_port().await)]).await;
    assert_eq!(shown(&process).await, json!({ "level": "INFO" }));
    let answer = put(&process, "", "debug", &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({ "level": "debug" })
    );
    let health = process.client.get(process.url("/health")).send().await;
    assert!(health.expect("answered").status().is_success());
    process
        .until_line(|line| line["level"] == "DEBUG" && line["route"] == "/health")
        .await;

    for bad in ["loud", "", "info,rmcp=loud"] {
        let answer = put(&process, "", bad, &[]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.text().await.expect("text").contains("INFO"), "{bad}");
    }
    let answer = put(&process, "?for=10d", "trace", &[]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(shown(&process).await, json!({ "level": "debug" }));

    let answer = put(&process, "?for=1s", "warn", &[]).await;
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["reverts_to"], "debug");
    process
        .until_line(|line| line["message"] == "the log level changes" && line["level"] == "INFO")
        .await;
    let start = std::time::Instant::now();
    while shown(&process).await != json!({ "level": "debug" }) {
        assert!(start.elapsed() < crate::support::DEADLINE);
    }
}

#[tokio::test]
async fn who_speaks_for_somebody_else_needs_the_token() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), format!("{TOKEN}\n")).expect("written");
    let path = file.path().to_str().expect("text");
    let port = free_port().await;
    let process = Process::start(&[("ADMIN_PORT", &port), ("ADMIN_TOKEN_FILE", path)]).await;
    let elsewhere = ("X-Forwarded-For", "127.0.0.1");
    let answer = put(&process, "", "debug", &[elsewhere]).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(shown(&process).await["level"], "INFO");
    let good = format!("Bearer {TOKEN}");
    let answer = put(&process, "", "debug", &[elsewhere, ("Authorization", &good)]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(shown(&process).await["level"], "debug");
    assert!(!process.stop().await.contains(TOKEN));
}

/// One that was free a moment ago: the setting's 0 is "off".
pub(super) async fn free_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    listener.local_addr().expect("bound").port().to_string()
}
