//! Stopping.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, Stream, TestServer, client, search};

async fn until_called(provider: &MockServer, times: usize) {
    let called = async {
        while provider
            .received_requests()
            .await
            .is_none_or(|calls| calls.len() < times)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, called)
        .await
        .expect("called in time");
}

#[tokio::test]
async fn open_streams_end_cleanly_and_at_once() {
    let server = TestServer::start(&[]).await;
    let mut streams = vec![Stream::open(&server).await, Stream::open(&server).await];
    let start = Instant::now();
    server.shutdown.stop();
    for stream in &mut streams {
        assert_eq!(
            stream.event().await,
            None,
            "the end of the body, not a broken connection"
        );
    }
    let address = server.address;
    server.ended().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn calls_in_flight_are_answered_first_on_both_transports() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com" });
    let provider = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] }));
    Mock::given(any())
        .respond_with(answer.set_delay(Duration::from_millis(700)))
        .mount(&provider)
        .await;
    let server = TestServer::start(&[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", "key")]).await;
    let mut stream = Stream::open(&server).await;
    // Unlike ones, or they would be one request.
    stream.send(&server, &search(1, json!({ "role": "nurse" }))).await;
    let call = tokio::spawn(server.post("/mcp", &search(2, json!({ "role": "baker" }))).send());
    until_called(&provider, 2).await;
    server.shutdown.stop();
    let ready = client().get(format!("http://{}/readyz", server.admin)).send();
    assert_eq!(ready.await.expect("answered to the end").status(), 503);
    assert_eq!(
        stream.message().await["result"]["structuredContent"]["source"],
        "jsearch"
    );
    assert_eq!(stream.event().await, None);
    let answer: serde_json::Value = call
        .await
        .expect("ran")
        .expect("answered")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["result"]["structuredContent"]["source"], "jsearch");
    server.ended().await;
}

#[tokio::test]
async fn force_does_not_wait() {
    let provider = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_delay(DEADLINE))
        .mount(&provider)
        .await;
    let server = TestServer::start(&[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", "key")]).await;
    let call = tokio::spawn(server.post("/mcp", &search(1, json!({ "role": "nurse" }))).send());
    until_called(&provider, 1).await;
    let start = Instant::now();
    server.shutdown.force();
    server.ended().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(call);
}
