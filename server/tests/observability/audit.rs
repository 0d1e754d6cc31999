//! A line for each tool call.

use std::{path::Path, process::Stdio, time::Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, Process, Stream, TestServer, initialize, notification, request, search};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a log");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

async fn until_lines(path: &Path, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let lines = lines(path);
        if lines.len() >= count {
            return lines;
        }
        assert!(start.elapsed() < DEADLINE, "{lines:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_call_leaves_one_line_however_it_ends_and_nothing_else_does() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("audit.log");
    let provider = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_delay(DEADLINE * 3))
        .mount(&provider)
        .await;
    let url = provider.uri();
    let environment = [
        ("AUDIT_LOG", path.to_str().expect("text")),
        ("RAPIDAPI_BASE_URL", &url),
        ("RAPIDAPI_KEY", "key"),
    ];
    let server = TestServer::start(&environment).await;
    server.ask("tools/list", json!({})).await;
    let bad = json!({ "name": "search_jobs", "arguments": { "role": 7 } });
    let asked = server
        .post("/mcp", &request(1, "tools/call", bad))
        .header("X-Request-ID", "one");
    asked.send().await.expect("answered");
    let unknown = json!({ "name": "rm -rf", "arguments": { "role": "nurse" } });
    server
        .post("/mcp", &request(2, "tools/call", unknown))
        .send()
        .await
        .expect("answered");
    let stream = Stream::open(&server).await;
    stream.send(&server, &search(3, json!({ "role": "nurse" }))).await;
    server.until_metric("iam_mcp_tool_calls_in_flight 1").await;
    let cancel = notification("notifications/cancelled", json!({ "requestId": 3 }));
    stream.send(&server, &cancel).await;

    let lines = until_lines(&path, 3).await;
    let of = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Value>();
    assert_eq!(of("tool"), json!(["search_jobs", "other", "search_jobs"]));
    assert_eq!(
        of("outcome"),
        json!(["tool_error", "protocol_error", "cancelled"])
    );
    assert_eq!(of("principal"), json!(["anonymous", "anonymous", "anonymous"]));
    assert_eq!(of("target"), json!(["audit", "audit", "audit"]));
    assert_eq!(lines[0]["request_id"], "one");
    for line in &lines {
        let fields: Vec<_> = line
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        let expected = [
            "duration_ms",
            "outcome",
            "principal",
            "request_id",
            "session",
            "target",
            "timestamp",
            "tool",
        ];
        assert_eq!(fields.len(), expected.len());
        assert!(expected.iter().all(|name| fields.contains(name)), "{line}");
        assert!(
            line["duration_ms"].as_f64().is_some_and(|time| time >= 0.0),
            "{line}"
        );
        assert!(
            line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')),
            "{line}"
        );
        assert_eq!(line["session"].as_str().map(str::len), Some(16), "{line}");
    }
    server.until_metric("iam_mcp_tool_calls_in_flight 0").await;
    assert!(!std::fs::read_to_string(&path).expect("read").contains("nurse"));
}

#[tokio::test]
async fn a_principal_is_the_same_in_every_line_and_not_its_token() {
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(
        tokens.path(),
        "alice alices-token-0123456789\nbob bobs-token-0123456789\n",
    )
    .expect("written");
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let environment = [
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", tokens.path().to_str().expect("text")),
        ("AUDIT_LOG", log.path().to_str().expect("text")),
    ];
    let server = TestServer::start(&environment).await;
    for token in [
        "alices-token-0123456789",
        "bobs-token-0123456789",
        "alices-token-0123456789",
    ] {
        let call = server
            .post("/mcp", &search(1, json!({ "role": "nurse" })))
            .bearer_auth(token);
        assert!(call.send().await.expect("answered").status().is_success());
    }
    let principals: Vec<_> = lines(log.path())
        .iter()
        .map(|line| line["principal"].clone())
        .collect();
    assert_eq!(principals[0], "881f4d6bcaa51c57ff8fb187d8a5892b");
    assert_eq!(principals[0], principals[2]);
    assert_ne!(principals[0], principals[1]);
}

#[tokio::test]
async fn lines_go_to_stderr_whatever_the_log_level_and_to_no_place_when_off() {
    let process = Process::start(&[
        ("ADMIN_PORT", "0"),
        ("AUDIT_LOG", "stderr"),
        ("LOG_LEVEL", "error,iam_mcp_server::app=info"),
    ])
    .await;
    let call = search(1, json!({ "role": "nurse" }));
    process.post("/mcp", &call).send().await.expect("answered");
    let line = process.until_line(|line| line["target"] == "audit").await;
    assert_eq!(line["outcome"], "ok");

    let process = Process::start(&[("ADMIN_PORT", "0")]).await;
    process.post("/mcp", &call).send().await.expect("answered");
    assert!(!process.stop().await.contains("audit"));
}

#[tokio::test]
async fn sighup_opens_the_file_anew_and_one_that_cannot_be_made_ends_the_start() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("audit.log");
    let process = Process::start(&[("ADMIN_PORT", "0"), ("AUDIT_LOG", path.to_str().expect("text"))]).await;
    std::fs::rename(&path, folder.path().join("audit.log.1")).expect("moved");
    process.signal("HUP").await;
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    process
        .post("/mcp", &search(1, json!({ "role": "nurse" })))
        .send()
        .await
        .expect("answered");
    assert_eq!(lines(&path).len(), 1);

    let output = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
        .arg("stdio")
        .env_clear()
        .env("AUDIT_LOG", "/nonexistent/audit.log")
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains("AUDIT_LOG=/nonexistent/audit.log"), "{told}");
}

#[tokio::test]
async fn over_stdio_lines_are_never_on_stdout() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
        .arg("stdio")
        .env_clear()
        .env("AUDIT_LOG", "stderr")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
    for message in [
        initialize(1, "2025-11-25"),
        notification("notifications/initialized", json!({})),
        search(2, json!({ "role": "nurse" })),
    ] {
        stdin
            .write_all(format!("{message}\n").as_bytes())
            .await
            .expect("written");
    }
    for id in 1..=2 {
        let line = tokio::time::timeout(DEADLINE, stdout.next_line())
            .await
            .expect("in time");
        let line = line.expect("text").expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON-RPC");
        assert_eq!(answer["id"], id, "{line}");
    }
    drop(stdin);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .expect("ends")
        .expect("output");
    let told = String::from_utf8(output.stderr).expect("text");
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let audited: Vec<_> = lines.iter().filter(|line| line["target"] == "audit").collect();
    assert_eq!(audited.len(), 1, "{told}");
    assert_eq!(audited[0]["request_id"], Value::Null);
}
