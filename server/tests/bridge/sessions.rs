//! How sessions and their processes begin and end.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Session, bridge, call, program::command};
use crate::support::{DEADLINE, Stream, TestServer, error_of, initialize, modern};

#[tokio::test]
async fn a_program_that_dies_is_told_of_and_its_session_is_over() {
    let server = bridge("refuses", &[]).await;
    let session = Session::begin(&server).await;
    let answer = session.ask(&call(3, "crash")).await;
    let message = answer["error"]["message"].as_str().expect("a message");
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(3), &json!(-32000))
    );
    assert!(
        message.contains("ended before it answered") && message.contains('7'),
        "{message}"
    );
    assert_eq!(
        session.post(&call(4, "pid")).await.status(),
        StatusCode::NOT_FOUND
    );

    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize(0, "2024-11-05")).await;
    let answer = stream.ask(&server, &call(1, "crash")).await;
    assert_eq!(answer["error"]["code"], -32000);
    assert_eq!(stream.event().await, None, "the stream ends with it");

    let pid = || async {
        modern::ask(&server, "tools/call", json!({"name": "pid"})).await["result"]["pid"].clone()
    };
    let before = pid().await;
    let answer = modern::ask(&server, "tools/call", json!({"name": "crash"})).await;
    assert_eq!(answer["error"]["code"], -32000);
    let after = pid().await;
    assert!(after.is_u64() && before != after, "another took its place");
}

#[tokio::test]
async fn sessions_are_bounded() {
    let server = bridge("refuses", &["--max-sessions", "2"]).await;
    let one = Session::begin(&server).await;
    let _two = Stream::open(&server).await;
    for refused in [
        server.post("/mcp", &initialize(5, "2025-06-18")).send().await,
        server.get("/sse").send().await,
    ] {
        let refused = refused.expect("answered");
        assert!(refused.headers().contains_key("retry-after"));
        let (status, _, message) = error_of(refused).await;
        assert!(
            status == 503 && message.contains("2 sessions are open"),
            "{message}"
        );
    }
    // What needs no session is served.
    assert!(modern::ask(&server, "tools/list", json!({})).await["result"].is_object());
    assert_eq!(one.delete().await, StatusCode::NO_CONTENT);
    server.until_metric("iam_mcp_bridge_sessions 1").await;
    Session::begin(&server).await;
}

#[tokio::test]
async fn a_silent_session_ends_and_one_with_a_stream_stays() {
    let server = bridge("refuses", &["--session-idle-seconds", "1"]).await;
    let (silent, streams) = (Session::begin(&server).await, Session::begin(&server).await);
    let request = server.get("/mcp").header("Accept", "text/event-stream");
    let _stream = request
        .header("Mcp-Session-Id", &streams.id)
        .send()
        .await
        .expect("answered");
    server
        .until_metric(r#"iam_mcp_bridge_sessions_ended_total{cause="idle"} 1"#)
        .await;
    assert_eq!(silent.post(&call(1, "pid")).await.status(), StatusCode::NOT_FOUND);
    streams.pid().await;
}

#[tokio::test]
async fn a_session_that_the_program_refuses_is_none() {
    let server = bridge("refuses", &[]).await;
    let answer = server
        .post("/mcp", &initialize(0, "1999-01-01"))
        .send()
        .await
        .expect("answered");
    assert!(!answer.headers().contains_key("mcp-session-id"));
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["error"]["message"], "too old");
    server.until_metric("iam_mcp_bridge_sessions 0").await;
    let missing = server
        .post("/mcp", &call(1, "pid"))
        .send()
        .await
        .expect("answered");
    let (status, _, message) = error_of(missing).await;
    assert!(status == 400 && message.contains("Mcp-Session-Id"), "{message}");
}

#[tokio::test]
async fn a_program_that_is_said_to_be_stateless_has_no_sessions() {
    let own = env!("CARGO_BIN_EXE_iam-mcp-server");
    let server = TestServer::bridge(&[], &["--protocol", "stateless", "--", own, "stdio"]).await;
    assert!(modern::ask(&server, "tools/list", json!({})).await["result"]["tools"].is_array());
    let refused = server.post("/mcp", &initialize(1, "2025-06-18")).send().await;
    assert_eq!(error_of(refused.expect("answered")).await.1, -32022);
    assert_eq!(server.get("/sse").send().await.expect("answered").status(), 400);
}

#[tokio::test]
async fn what_cannot_be_started_is_never_ready_and_says_why() {
    let server = TestServer::bridge(&[], &["--", "/no/such/program"]).await;
    let message = modern::message("tools/list", json!({}), &json!({}));
    let answer = modern::post(&server, &message).send().await.expect("answered");
    let (status, _, message) = error_of(answer).await;
    assert!(
        status == 503 && message.contains("cannot be started"),
        "{message}"
    );
    let ready = format!("http://{}/readyz", server.admin);
    assert_eq!(
        server.client.get(ready).send().await.expect("answered").status(),
        503
    );
    let good = bridge("refuses", &[]).await;
    let ready = format!("http://{}/readyz", good.admin);
    let until = async {
        while good.client.get(&ready).send().await.expect("answered").status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, until).await.expect("in time");
}

/// The processes end with the server, in good order.
#[tokio::test]
async fn a_server_that_stops_answers_and_ends_all() {
    let server = bridge("refuses", &[]).await;
    let session = Session::begin(&server).await;
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize(0, "2024-11-05")).await;
    let pid = session.pid().await;
    server.shutdown.stop();
    assert_eq!(stream.event().await, None);
    drop(stream);
    server.ended().await;
    let alive = std::path::Path::new("/proc").join(pid.to_string()).join("stat");
    let state = std::fs::read_to_string(alive).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[tokio::test]
async fn host_names_and_tokens_are_checked_as_ever() {
    let own = command("refuses");
    let given: Vec<&str> = own.iter().map(String::as_str).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "alice aaaaaaaaaaaaaaaaaaaa\nbob bbbbbbbbbbbbbbbbbbbb\n").expect("written");
    let environment = [
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", tokens.to_str().expect("text")),
    ];
    let server = TestServer::bridge(&environment, &given).await;
    let hello = || server.post("/mcp", &initialize(0, "2025-06-18"));
    assert_eq!(hello().send().await.expect("answered").status(), 401);
    let strange = hello()
        .header("Host", "evil.example.com")
        .send()
        .await
        .expect("answered");
    assert_eq!(strange.status(), 403);
    let mine = hello()
        .bearer_auth("aaaaaaaaaaaaaaaaaaaa")
        .send()
        .await
        .expect("answered");
    let id = mine.headers()["mcp-session-id"].clone();
    let ask = |token: &str| {
        let request = server.post("/mcp", &call(1, "pid")).bearer_auth(token);
        request.header("Mcp-Session-Id", &id).send()
    };
    assert_eq!(ask("aaaaaaaaaaaaaaaaaaaa").await.expect("answered").status(), 200);
    let other = ask("bbbbbbbbbbbbbbbbbbbb").await.expect("answered");
    assert_eq!(other.status(), 404, "a session is its client's alone");
}

#[tokio::test]
async fn install_puts_a_copy_that_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let install = |to: &std::path::Path| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"));
        command.arg("install").arg(to).output()
    };
    for _ in 0..2 {
        let done = install(directory.path()).await.expect("run");
        assert!(done.status.success(), "{done:?}");
    }
    let copy = directory.path().join("iam-mcp-server");
    let told = tokio::process::Command::new(&copy)
        .args(["bridge", "--help"])
        .output()
        .await
        .expect("run");
    let help = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && help.contains("--max-sessions"), "{help}");
    let refused = install(&directory.path().join("none")).await.expect("run");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains("has to exist"),
        "{error}"
    );
}
