//! Where jobs come from, as a client sees it.

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, TestServer};

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
    let asked = provider.received_requests().await.expect("recorded").len();
    search(&server).await;
    assert_eq!(
        provider.received_requests().await.expect("recorded").len(),
        asked + 1
    );
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
