//! Where jobs come from, as a client sees it.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, TestServer, initialize, notification, search as search_for};

const KEY: &str = "very-secret-key";

async fn provider(answer: ResponseTemplate) -> MockServer {
    let provider = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&provider).await;
    provider
}

async fn search(server: &TestServer) -> Value {
    let call = json!({ "name": "search_jobs", "arguments": { "role": "nurse" } });
    server.ask("tools/call", call).await["result"].take()
}

#[tokio::test]
async fn a_key_makes_it_jsearch_and_a_key_that_appears_later_too() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com" });
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] }));
    let provider = provider(answer).await;
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), KEY).expect("written");
    let (url, path) = (provider.uri(), file.path().to_str().expect("text").to_owned());
    let server = TestServer::start(&[("RAPIDAPI_BASE_URL", &url), ("RAPIDAPI_KEY_FILE", &path)]).await;
    let found = search(&server).await;
    assert_eq!(found["structuredContent"]["source"], "jsearch");
    assert!(found["structuredContent"]["jobs"][0].get("sample").is_none());

    let server =
        TestServer::start(&[("RAPIDAPI_BASE_URL", &url), ("RAPIDAPI_KEY_FILE", "/nonexistent")]).await;
    assert_eq!(search(&server).await["structuredContent"]["source"], "catalogue");
}

/// Answers from the samples are kept as they were written, but not for those who may have real ones.
#[tokio::test]
async fn a_key_that_appears_ends_what_was_kept_of_the_samples() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com" });
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] }));
    let provider = provider(answer).await;
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("key");
    let (url, path) = (provider.uri(), file.to_str().expect("text").to_owned());
    let server = TestServer::start(&[("RAPIDAPI_BASE_URL", &url), ("RAPIDAPI_KEY_FILE", &path)]).await;
    for _ in 0..3 {
        assert_eq!(search(&server).await["structuredContent"]["source"], "catalogue");
    }
    std::fs::write(&file, KEY).expect("written");
    let start = std::time::Instant::now();
    while search(&server).await["structuredContent"]["source"] != "jsearch" {
        assert!(start.elapsed() < DEADLINE, "the key is not used");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_choice_can_be_made_by_hand() {
    let server = TestServer::start(&[("JOB_PROVIDER", "Catalogue"), ("RAPIDAPI_KEY", KEY)]).await;
    assert_eq!(search(&server).await["structuredContent"]["source"], "catalogue");
    let server = TestServer::start(&[("JOB_PROVIDER", "JSearch")]).await;
    let failed = search(&server).await;
    assert_eq!(failed["isError"], true);
    assert!(
        failed["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("RAPIDAPI_KEY"))
    );
}

/// Section 6, item 6, and common sense: credentials go where they belong, and nowhere else.
#[tokio::test]
async fn must_6_6_the_key_is_in_no_answer_and_no_metric() {
    for answer in [
        ResponseTemplate::new(403),
        ResponseTemplate::new(429),
        ResponseTemplate::new(302).insert_header("Location", "http://127.0.0.1:9/"),
        ResponseTemplate::new(200).set_body_string("garbled"),
    ] {
        let provider = provider(answer).await;
        let server =
            TestServer::start(&[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", KEY)]).await;
        let failed = search(&server).await;
        assert_eq!(failed["isError"], true);
        assert!(!failed.to_string().contains(KEY));
        assert!(!server.metrics().await.contains(KEY));
    }
}

/// Over stdio, with all that the log can tell.
#[tokio::test]
async fn must_6_6_the_key_is_in_no_log() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com" });
    for answer in [
        ResponseTemplate::new(403),
        ResponseTemplate::new(503),
        ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] })),
    ] {
        let provider = provider(answer).await;
        let mut child = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
            .arg("stdio")
            .env_clear()
            .envs([("LOG_LEVEL", "trace,hyper=trace"), ("RAPIDAPI_KEY", KEY)])
            .env("RAPIDAPI_BASE_URL", provider.uri())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut stdin = child.stdin.take().expect("piped");
        for message in [
            initialize(1, "2025-11-25"),
            notification("notifications/initialized", json!({})),
            search_for(2, json!({ "role": "nurse" })),
        ] {
            let line = format!("{message}\n");
            stdin.write_all(line.as_bytes()).await.expect("written");
        }
        drop(stdin);
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
            .await
            .expect("ends in time")
            .expect("output");
        let requests = provider.received_requests().await.expect("recorded");
        assert_eq!(
            requests[0].headers["x-rapidapi-key"], KEY,
            "or there is nothing to keep secret"
        );
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
        assert!(stdout.contains("\"id\":2"), "{stdout}");
        assert!(stderr.contains("TRACE"), "or the log is not all that it can be");
        assert!(!stdout.contains(KEY) && !stderr.contains(KEY));
    }
}

#[tokio::test]
async fn a_cached_answer_is_the_same_and_is_counted() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com",
                          "job_description": "Care for people." });
    let provider = provider(ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] }))).await;
    let server = TestServer::start(&[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", KEY)]).await;
    let first = search(&server).await;
    for _ in 0..3 {
        assert_eq!(search(&server).await, first);
    }
    // The same jobs, told otherwise.
    let sliced =
        json!({ "name": "search_jobs", "arguments": { "role": "nurse", "slice_job_description": 4 } });
    for _ in 0..2 {
        let sliced = server.ask("tools/call", sliced.clone()).await["result"].take();
        assert_eq!(sliced["structuredContent"]["jobs"][0]["description"], "Care…");
    }
    assert_eq!(search(&server).await, first);
    assert_eq!(provider.received_requests().await.expect("recorded").len(), 1);
    server
        .until_metric("iam_mcp_job_cache_total{outcome=\"hit\"} 6")
        .await;
    server
        .until_metric("iam_mcp_job_cache_total{outcome=\"miss\"} 1")
        .await;
    server
        .until_metric("iam_mcp_provider_requests_total{provider=\"jsearch\"} 1")
        .await;
}

#[tokio::test]
async fn several_boards_answer_together() {
    let jobs = json!([{ "id": 1, "url": "https://remotive.com/1", "title": "Nurse", "company_name": "Remote Ward",
                        "candidate_required_location": "Worldwide", "description": "<p>Care.</p>" }]);
    let provider = provider(ResponseTemplate::new(200).set_body_json(json!({ "jobs": jobs }))).await;
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("catalogue")).expect("made");
    let own = r#"{"title": "Nurse", "company": "My Ward", "job_id": "mine"}"#;
    fs::write(folder.path().join("catalogue/own.jsonl"), own).expect("written");
    let server = TestServer::start(&[
        ("JOB_PROVIDERS", "remotive,catalogue,arbeitnow"),
        ("REMOTIVE_BASE_URL", &provider.uri()),
        ("ARBEITNOW_BASE_URL", "http://127.0.0.1:9"),
        ("IAM_DATA_ROOT", folder.path().to_str().expect("text")),
    ])
    .await;
    let found = search(&server).await;
    let answer = &found["structuredContent"];
    let ids: Vec<_> = answer["jobs"]
        .as_array()
        .expect("jobs")
        .iter()
        .map(|job| &job["job_id"])
        .collect();
    assert_eq!(ids, ["remotive:1", "mine"]);
    assert_eq!(answer["source"], "remotive, catalogue");
    let note = answer["note"].as_str().expect("a note");
    assert!(
        note.contains("https://remotive.com") && note.contains("Arbeitnow could not be reached"),
        "{note}"
    );
    server
        .until_metric("iam_mcp_provider_calls_total{provider=\"arbeitnow\",outcome=\"unreachable\"} 1")
        .await;
}
